"""Which kind of labels a file or folder holds, and which samples they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slimai.app.draft.class_lines import read_class_lines
from slimai.app.draft.class_order import ordered, written_order
from slimai.app.draft.samples import ARRAY, PICTURES
from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.matching import match_names
from slimai.metrics.labels.voc import find_xml, read_voc

KEY = "--labels"
FORMS = (
    "COCO json, a folder of VOC xml, of mask pictures or of one folder a class, or a text, CSV or .npy of class labels"
)

__all__ = ["Labels", "read_labels"]


@dataclass(frozen=True)
class Labels:
    """Labels of some samples.

    kind: none, coco, voc, classes or masks. place: the json, or the folder of xml. texts: sample -> what its list line
    says: a class number, the path of a mask as its file is, or nothing. names: of the classes, in the order that their
    numbers have. order: what that order rests on. sure: whether that is more than a guess.
    """

    kind: str = "none"
    place: Path | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    order: str = ""
    sure: bool = True


def read_labels(place: Path | None, folder: Path, names: Sequence[str], beside: Sequence[Path] = ()) -> Labels:
    """Return the labels of the samples `names` below `folder`; without a place, those of one folder a class.

    beside: folders where a list of class names may lie too.

    Raises: InputError: no such file, no known form, or labels of no sample.
    """
    if place is None:
        return _folders(folder, names, beside) or Labels()
    if not place.exists():
        raise InputError(Diagnostic("there is no such file or folder", key=KEY, value=str(place)))
    samples = [Sample(index, (folder / name,)) for index, name in enumerate(names)]
    found = _of_folder(place, folder, samples, beside) if place.is_dir() else _of_file(place, folder, samples, beside)
    if not found.texts:
        example = f"such as '{names[0]}'"
        cure = "labels and pictures belong together by their names"
        raise InputError(
            Diagnostic(f"its labels belong to none of the {len(names)} samples {example}", KEY, str(place), cure)
        )
    return found


def _of_file(place: Path, folder: Path, samples: Sequence[Sample], beside: Sequence[Path]) -> Labels:
    suffix = place.suffix.lower()
    if suffix == ".json":
        return _coco(place, _instances(place), folder, samples)
    if suffix == ".xml":
        return _voc(place.parent, folder, samples)
    if suffix in PICTURES:
        raise InputError(Diagnostic("a single picture is no set of labels", KEY, str(place), f"give {FORMS}"))
    texts = {_name(samples[index], folder): text for index, text in read_class_lines(place, samples).items()}
    if texts and all(Path(text).suffix.lower() in (*PICTURES, ARRAY) for text in texts.values()):
        return _listed_masks(place, folder, texts)
    return _classes(texts, (place.parent, *beside), skip=place)


def _of_folder(place: Path, folder: Path, samples: Sequence[Sample], beside: Sequence[Path]) -> Labels:
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    kinds = {path.suffix.lower() for path in files}
    if ".xml" in kinds:
        return _voc(place, folder, samples)
    if ".json" in kinds:
        return _best_coco([path for path in files if path.suffix.lower() == ".json"], folder, samples)
    by_class = _folders(folder, [_name(sample, folder) for sample in samples], beside)
    if place.resolve() == folder.resolve() and by_class:
        return by_class
    images = [path for path in files if path.suffix.lower() in (*PICTURES, ARRAY)]
    if images:
        return _masks(place, images, folder, samples)
    if ".txt" in kinds:
        cure = f"give {FORMS}; YOLO text: convert to COCO"
        raise InputError(Diagnostic("a folder of .txt files is not read", KEY, str(place), cure))
    raise InputError(Diagnostic("there are no labels in it", KEY, str(place), f"give {FORMS}"))


def _name(sample: Sample, folder: Path) -> str:
    return sample.files[0].relative_to(folder).as_posix()


def _instances(place: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(place.read_bytes())
    except OSError as error:
        raise InputError(Diagnostic(f"cannot be read: {error.strerror}", KEY, str(place))) from None
    except (ValueError, RecursionError) as error:
        raise InputError(Diagnostic(f"is no json: {error}", KEY, str(place))) from None
    keys = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        raise InputError(
            Diagnostic("is no COCO json: it lacks the lists images, annotations and categories", KEY, str(place))
        )
    return data


def _coco(place: Path, data: Mapping[str, Any], folder: Path, samples: Sequence[Sample]) -> Labels:
    entries = [item for item in data["images"] if isinstance(item, dict)]
    listed = [str(item.get("file_name") or "") for item in entries]
    found = match_names(samples, listed, str(place)).places
    categories = [item for item in data["categories"] if isinstance(item, dict) and isinstance(item.get("id"), int)]
    names = tuple(str(item.get("name", "")) for item in sorted(categories, key=lambda item: item["id"]))
    texts = {_name(samples[index], folder): "" for index in found}
    return Labels("coco", place, texts, names, "categories of the json by id")


def _best_coco(files: Sequence[Path], folder: Path, samples: Sequence[Sample]) -> Labels:
    found, errors = [], []
    for path in files:
        try:
            found.append(_coco(path, _instances(path), folder, samples))
        except InputError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return max(found, key=lambda item: len(item.texts))


def _voc(place: Path, folder: Path, samples: Sequence[Sample]) -> Labels:
    texts: dict[str, str] = {}
    names: set[str] = set()
    for sample in samples:
        file = find_xml(place, sample)
        if file.is_file():
            names.update(read_voc(file).names)
            texts[_name(sample, folder)] = ""
    known = written_order((place, place.parent, folder), names)
    return Labels("voc", place, texts, *ordered(names, known))


def _masks(place: Path, images: Sequence[Path], folder: Path, samples: Sequence[Sample]) -> Labels:
    matched = match_names(samples, [str(path) for path in images], str(place)).places
    pairs = {index: images[at] for index, at in matched.items()}
    own = {index: path for index, path in pairs.items() if path.resolve() != samples[index].files[0].resolve()}
    return Labels("masks", place, {_name(samples[index], folder): str(path) for index, path in own.items()})


def _listed_masks(place: Path, folder: Path, texts: Mapping[str, str]) -> Labels:
    """Return the masks that a list names, below its own folder or that of the pictures."""
    found: dict[str, str] = {}
    for name, text in texts.items():
        path = next((base / text for base in (place.parent, folder) if (base / text).is_file()), None)
        if path is None:
            raise InputError(Diagnostic(f"there is no label picture '{text}' of '{name}'", KEY, str(place)))
        found[name] = os.path.normpath(path)
    return Labels("masks", place, found)


def _folders(folder: Path, names: Sequence[str], beside: Sequence[Path]) -> Labels | None:
    """Return the class of each sample by its first folder; None where the samples are not sorted so."""
    parts = [name.split("/") for name in names]
    tops = {part[0] for part in parts}
    if len(tops) < 2 or any(len(part) < 2 for part in parts):
        return None
    found = _classes({name: part[0] for name, part in zip(names, parts, strict=True)}, (folder, folder.parent, *beside))
    return replace(found, order=f"one folder a class; {found.order}")


def _classes(texts: Mapping[str, str], folders: Sequence[Path], skip: Path | None = None) -> Labels:
    """Return class numbers; words become numbers by a list of classes beside them, else by the alphabet."""
    words = set(texts.values())
    if all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        return Labels("classes", None, {name: str(int(word)) for name, word in texts.items()}, (), "numbers as written")
    known = written_order(folders, words, skip)
    names, order, sure = ordered(words, known)
    number = {name: str(place) for place, name in enumerate(names)}
    return Labels("classes", None, {name: number[word] for name, word in texts.items()}, names, order, sure)
