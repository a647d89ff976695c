"""COCO instance annotations (json), without pycocotools."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.imagelist import raise_all
from slimai.metrics.labels.matching import claimed_twice, match_names

__all__ = ["Instances", "read_instances"]

Annotation = Mapping[str, Any]


@dataclass(frozen=True)
class Instances:
    """The annotated objects of the samples.

    names: of the categories in ascending id order; class k of an annotation is `names[k]`.
    objects: by the sample's index, dicts with `class`, `bbox` [x, y, w, h], `area`, `iscrowd`, `segmentation`.
    sizes: (width, height) of each picture by the sample's index; None where the file does not say.
    """

    names: tuple[str, ...]
    objects: Mapping[int, tuple[Annotation, ...]]
    sizes: Mapping[int, tuple[int, int] | None]


def read_instances(path: Path, classes: int, samples: Sequence[Sample]) -> Instances:
    """Return the objects of `samples` in an instances json with `classes` categories.

    A sample is found by its name (see `slimai.metrics.labels.matching`), else by its label as image id; in a file
    without file names by the number in its stem too.
    Raises: InputError with everything that is wrong, every sample that the file does not know, or knows twice.
    """
    data = _load(path)
    categories = _categories(data, path)
    if len(categories) != classes:
        raise InputError.at(
            str(path),
            f"the file has {len(categories)} categories, not {classes}",
            key="metric.metric_input",
            cure="give its number of categories, without background",
        )
    pictures = _pictures(data, samples, path)
    order = {identity: at for at, identity in enumerate(sorted(categories))}
    by_image = _objects(data, order, {entry["id"] for entry in pictures.values()}, path)
    return Instances(
        names=tuple(categories[identity] for identity in sorted(categories)),
        objects={index: tuple(by_image[entry["id"]]) for index, entry in pictures.items()},
        sizes={index: _size(entry) for index, entry in pictures.items()},
    )


def _load(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError.at(
            str(path), f"the instances file cannot be read: {error.strerror}", key="metric.metric_input"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError.at(str(path), f"not a json file: {error}") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise InputError.at(str(path), "an instances file has the lists images, annotations and categories")
    for key in keys:
        if not all(isinstance(entry, dict) for entry in data[key]):
            raise InputError.at(str(path), f"every entry of '{key}' is a mapping")
    return data


def _categories(data: Mapping[str, Any], path: Path) -> dict[int, str]:
    entries = data["categories"]
    found = {entry["id"]: str(entry.get("name", "")) for entry in entries if type(entry.get("id")) is int}
    if len(found) != len(entries):
        raise InputError.at(str(path), "categories have different whole numbers as id")
    return found


def _pictures(data: Mapping[str, Any], samples: Sequence[Sample], path: Path) -> dict[int, Mapping[str, Any]]:
    """Return the entry of each sample: by name; what no name fits by a label that is an image id.

    The number in a stem counts as id only in a file without a single file_name.
    """
    images = data["images"]
    doubles = [key for key, count in Counter(_identity(entry) for entry in images).items() if count > 1]
    if doubles:
        raise InputError.at(str(path), "pictures have different whole numbers as id", doubles[:5], key="images")
    names = [str(entry.get("file_name") or "") for entry in images]
    matches = match_names(samples, names, str(path))
    places, mistakes = matches.places, list(matches.mistakes)
    by_id = {_identity(entry): entry for entry in images}
    found: dict[int, Mapping[str, Any]] = {}
    for sample in samples:
        if sample.index in matches.doubtful:
            continue
        entry = images[places[sample.index]] if sample.index in places else None
        numbers = (*sample.labels, sample.stem) if not any(names) else sample.labels
        for text in numbers if entry is None else ():
            entry = entry or (by_id.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else None)
        if entry is None:
            mistakes.append(Diagnostic(f"no entry for image '{sample.files[0].name}'", file=str(path)))
        elif type(entry.get("id")) is not int or not all(_is_side(entry.get(key)) for key in ("width", "height")):
            message = (
                f"image '{sample.files[0].name}' needs a whole number as id, and as width and height if it has them"
            )
            mistakes.append(Diagnostic(message, file=str(path), value=entry))
        else:
            found[sample.index] = entry
    claims = {index: f"id {entry['id']}" for index, entry in found.items() if index not in places}
    raise_all([*mistakes, *claimed_twice(samples, claims, str(path))])
    return found


def _identity(entry: Mapping[str, Any]) -> Any:
    """Return the id of an entry; something of its own where that is no whole number."""
    identity = entry.get("id")
    return identity if type(identity) is int else object()


def _is_side(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31)


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width") or 0, entry.get("height") or 0
    return (width, height) if width and height else None


def _objects(
    data: Mapping[str, Any], order: Mapping[int, int], wanted: set[Any], path: Path
) -> defaultdict[int, list[Annotation]]:
    by_image: defaultdict[int, list[Annotation]] = defaultdict(list)
    mistakes: list[Diagnostic] = []
    for number, entry in enumerate(data["annotations"]):
        if not isinstance(entry.get("image_id"), int) or entry["image_id"] not in wanted:
            continue
        wrong = next(_mistakes(entry, order), None)
        if wrong:
            mistakes.append(Diagnostic(wrong, key=f"annotations[{number}]", file=str(path)))
            continue
        box = [float(side) for side in entry["bbox"]]
        by_image[entry["image_id"]].append(
            {
                "class": order[entry["category_id"]],
                "bbox": box,
                "area": float(entry.get("area", box[2] * box[3])),
                "iscrowd": int(entry.get("iscrowd", 0)),
                "segmentation": entry.get("segmentation"),
            }
        )
    raise_all(mistakes)
    return by_image


def _mistakes(entry: Mapping[str, Any], order: Mapping[int, int]) -> Iterator[str]:
    if type(entry.get("category_id")) is not int or entry["category_id"] not in order:
        yield f"category_id {entry.get('category_id')!r} is not among the categories"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(side) for side in box):
        yield "bbox must be four numbers [x, y, width, height]"
    elif box[2] < 0 or box[3] < 0:
        yield f"bbox of negative size {box}"
    if not _is_number(entry.get("area", 0)) or entry.get("iscrowd", 0) not in (0, 1):
        yield "area must be a number and iscrowd 0 or 1"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
