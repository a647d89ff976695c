"""Pascal VOC annotation files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.imagelist import raise_all
from slimai.metrics.labels.matching import claimed_twice, path_parts

LARGEST_FILE = 16 << 20
# what tools write for "no" and "yes"; some leave the word of a list box
FLAGS = {
    "": False,
    **dict.fromkeys(("0", "false", "no", "unspecified", "none"), False),
    **dict.fromkeys(("1", "true", "yes"), True),
}
FOLDERS = 4  # of a picture's path that its annotation may have too

__all__ = ["VocObjects", "find_xml", "read_voc", "read_voc_labels"]


@dataclass(frozen=True)
class VocObjects:
    """The objects of one picture: names [m], boxes [m, 4] float64 xmin, ymin, xmax, ymax, difficult [m].

    size: (width, height) of the picture that the boxes belong to; None where the file does not say.
    """

    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]
    size: tuple[int, int] | None = None


def read_voc(path: Path) -> VocObjects:
    """Return the objects of one xml file; raises InputError naming the file and what is wrong in it."""
    root = _parse(path)
    names, boxes, difficult = [], [], []
    for number, entry in enumerate(root.iter("object"), 1):
        where = f"object {number}"
        names.append(_text(entry, "name", path, where))
        box = entry.find("bndbox")
        if box is None:
            raise InputError.at(str(path), "no <bndbox>", key=where)
        corners = [_number(box, side, path, where) for side in ("xmin", "ymin", "xmax", "ymax")]
        if corners[2] < corners[0] or corners[3] < corners[1]:
            raise InputError.at(str(path), "a box whose end lies before its start", corners, key=where)
        boxes.append(corners)
        difficult.append(_flag(entry, "difficult", path, where))
    return VocObjects(
        tuple(names), np.array(boxes, np.float64).reshape(-1, 4), np.array(difficult, np.bool_), _size(root, path)
    )


def _parse(path: Path) -> Element:
    """Return the root element. Documents with a DOCTYPE are refused: only there can entities be declared."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError.at(str(path), f"the annotation cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise InputError.at(str(path), f"an annotation of more than {LARGEST_FILE} bytes", len(data))
    try:
        parser = XMLParser(target=_PlainTree())  # noqa: S314 - a declaration of entities is refused by the target
        parser.feed(data)
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError) as error:
        raise InputError.at(str(path), f"not a well-formed xml annotation: {error}") from None
    return root


class _PlainTree(TreeBuilder):
    """A tree builder that refuses a document type, and with it every entity of the author's own."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise ValueError(f"a DOCTYPE declaration ('{name}') is not allowed in an annotation")


def _text(entry: Element, tag: str, path: Path, where: str) -> str:
    text = (entry.findtext(tag) or "").strip()
    if not text:
        raise InputError.at(str(path), f"no <{tag}>", key=where)
    return text


def _number(box: Element, tag: str, path: Path, where: str) -> float:
    text = _text(box, tag, path, where)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError.at(str(path), f"<{tag}> must be a number", text, key=where)
    return value


def _flag(entry: Element, tag: str, path: Path, where: str) -> bool:
    text = (entry.findtext(tag) or "0").strip().lower()
    if text not in FLAGS:
        raise InputError.at(str(path), f"<{tag}> must be 0 or 1", text, key=where)
    return FLAGS[text]


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    sides = []
    for tag in ("width", "height"):
        text = (root.findtext(f"size/{tag}") or "0").strip()
        try:
            side = float(text or 0)
        except ValueError:
            side = -1.0
        if not 0 <= side < 1 << 31 or not side.is_integer():
            raise InputError.at(str(path), f"<{tag}> must be a whole number of pixels", text, key="size")
        sides.append(int(side))
    return (sides[0], sides[1]) if all(sides) else None


def find_xml(folder: Path, sample: Sample) -> Path:
    """Return where the annotation of a sample is, or must be.

    Its label if that is an xml name, below `folder`, with its own folders or without them; else the picture's stem +
    .xml, with as many of the picture's folders as there are below `folder`.
    """
    for label in sample.labels:
        if label.lower().endswith(".xml"):
            return _longest(folder, path_parts(label))
    parts = path_parts(str(sample.files[0]))
    return _longest(folder, (*parts[-FOLDERS - 1 : -1], f"{sample.stem}.xml"))


def _longest(folder: Path, parts: Sequence[str]) -> Path:
    """Return the file below `folder` that has most of the trailing parts; the last part alone where there is none."""
    tried = (folder.joinpath(*parts[at:]) for at in range(len(parts)))
    return next((path for path in tried if path.is_file()), folder / parts[-1])


def read_voc_labels(folder: Path, samples: Sequence[Sample]) -> list[VocObjects]:
    """Return the objects of every sample.

    Raises: InputError with all missing and wrong files at once, and the files that two pictures would share.
    """
    mistakes: list[Diagnostic] = []
    found: list[VocObjects] = []
    if not folder.is_dir():
        raise InputError.at(str(folder), "the folder of annotations does not exist", key="metric.metric_input")
    claims: dict[int, str] = {}
    for sample in samples:
        path = find_xml(folder, sample)
        if path not in [folder.joinpath(*path_parts(label)) for label in sample.labels]:  # not named in full
            claims[sample.index] = str(path)
        if not path.is_file():
            mistakes.append(Diagnostic(f"no annotation for image '{sample.files[0].name}'", file=str(path)))
            continue
        try:
            found.append(read_voc(path))
        except InputError as error:
            mistakes.extend(error.diagnostics)
    raise_all([*mistakes, *claimed_twice(samples, claims, str(folder))])
    return found
