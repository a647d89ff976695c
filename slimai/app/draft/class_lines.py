"""Class labels in a text, a CSV table or an array, and the samples that they belong to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from slimai.data.array_file import open_npy
from slimai.data.sample import Sample
from slimai.encodings import CURE, decoded
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.matching import match_names

KEY = "--labels"
COLUMNS = ("label", "class", "category", "target", "class_id", "label_id", "y")
FORM = "write one label a line in the order of the names, or lines 'image label' (CSV: image,label)"

__all__ = ["read_class_lines"]


def read_class_lines(place: Path, samples: Sequence[Sample]) -> dict[int, str]:
    """Return the label of each sample by its index, for the samples that have one.

    place: lines ``image label`` in any order (blanks, or a delimiter of CSV, with or without a header), or one label a
    line, or an .npy of whole numbers, for all samples in the order of their names.

    Raises: InputError for anything else, and for one label a sample of another number than there are samples.
    """
    if place.suffix.lower() == ".npy":
        return _in_order(_array(place), samples, place)
    rows = _rows(place)
    if rows and rows[0] == [str(len(rows) - 1)] and len(rows) != len(samples):
        rows = rows[1:]
    if not rows:
        raise InputError(Diagnostic("there are no labels in it", KEY, str(place), FORM))
    if all(len(row) == 1 for row in rows):
        return _in_order([row[0] for row in rows], samples, place)
    return _by_name(rows, samples, place)


def _array(place: Path) -> list[str]:
    try:
        found = open_npy(place)
    except (OSError, ValueError) as error:
        raise InputError(Diagnostic(f"is no .npy array: {error}", KEY, str(place))) from None
    if found.dtype.kind not in "iu" or found.ndim != 1:
        message = f"an array of labels is a row of whole numbers, not {found.dtype.name} {list(found.shape)}"
        raise InputError(Diagnostic(message, KEY, str(place), FORM))
    return [str(int(value)) for value in found]


def _rows(place: Path) -> list[list[str]]:
    try:
        text = decoded(place.read_bytes())
    except OSError as error:
        raise InputError(Diagnostic(f"cannot be read: {error.strerror}", KEY, str(place))) from None
    except ValueError as error:
        raise InputError(Diagnostic(f"the label file {error}", KEY, str(place), CURE)) from None
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = next((sign for sign in (",", ";", "\t") if lines and all(sign in line for line in lines)), None)
    if delimiter is None:
        return [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]


def _in_order(labels: Sequence[str], samples: Sequence[Sample], place: Path) -> dict[int, str]:
    if len(labels) != len(samples):
        message = f"{len(labels)} labels without names for {len(samples)} samples"
        raise InputError(Diagnostic(message, KEY, str(place), FORM))
    return {sample.index: label for sample, label in zip(samples, labels, strict=True)}


def _by_name(rows: Sequence[Sequence[str]], samples: Sequence[Sample], place: Path) -> dict[int, str]:
    """Return the labels of a table: the column of names is the first whose names are samples."""
    width = min(len(row) for row in rows)
    for column in range(width):
        found = match_names(samples, [row[column] for row in rows], str(place))
        if not found.places:
            continue
        label = _label_column(rows[0], column, width)
        if label is None:
            break
        used = set(found.places.values())
        if 0 in used and rows[0][label].lower() in COLUMNS:
            used.discard(0)
        return {index: rows[at][label] for index, at in found.places.items() if at in used}
    return {}


def _label_column(header: Sequence[str], names: int, width: int) -> int | None:
    """Return the column that a header calls a label, else the next beside the names."""
    titles = [title.lower() for title in header[:width]]
    named = [at for at, title in enumerate(titles) if title in COLUMNS and at != names]
    if named:
        return named[0]
    others = [at for at in range(width) if at != names]
    return next((at for at in others if at > names), others[0] if others else None)
