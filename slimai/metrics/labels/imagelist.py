"""Labels that stand in an image list or in a label file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slimai.data.sample import Sample
from slimai.encodings import CURE, decoded
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.matching import match_names

SHOWN = 20

__all__ = ["class_numbers", "label_paths", "raise_all"]


def raise_all(mistakes: list[Diagnostic]) -> None:
    """Raise InputError with the first mistakes and the number of the rest; nothing when there are none."""
    if not mistakes:
        return
    rest = len(mistakes) - SHOWN
    more = [Diagnostic(f"and {rest} more of these mistakes")] if rest > 0 else []
    raise InputError([*mistakes[:SHOWN], *more])


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the non-empty lines of a label file, with their numbers, split at white space."""
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise InputError.at(str(path), f"the label file cannot be read: {error}", key="metric.metric_input") from None
    except ValueError as error:
        raise InputError.at(str(path), f"the label file {error}", key="metric.metric_input", cure=CURE) from None
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def assign(path: Path, samples: Sequence[Sample]) -> dict[int, tuple[int, str]]:
    """Return for each sample's index the line and the label of a label file.

    The file has one label a line in the order of the samples, or lines ``image label`` in any order; a
    first line with nothing but the number of lines that follow is skipped where the count fits.
    """
    lines = read_lines(path)
    if lines and len(lines) > len(samples) and len(lines[0][1]) == 1 and lines[0][1][0] == str(len(lines) - 1):
        lines = lines[1:]
    if lines and all(len(words) == 2 for _, words in lines):
        return _by_image(path, lines, samples)
    wide = next((number for number, words in lines if len(words) != 1), None)
    if wide is not None:
        raise InputError.at(f"{path}:{wide}", "a line holds one label, or every line 'image label'")
    if len(lines) < len(samples):
        raise InputError.at(str(path), f"{len(samples)} images need as many labels", len(lines))
    return {sample.index: (number, words[0]) for sample, (number, words) in zip(samples, lines, strict=False)}


def _by_image(path: Path, lines: list[tuple[int, list[str]]], samples: Sequence[Sample]) -> dict[int, tuple[int, str]]:
    found = match_names(samples, [words[0] for _, words in lines], str(path))
    missing = [sample for sample in samples if sample.index not in {*found.places, *found.doubtful}]
    absent = [Diagnostic(f"no label for image '{sample.files[0].name}'", file=str(path)) for sample in missing]
    raise_all([*found.mistakes, *absent])
    return {index: (lines[place][0], lines[place][1][1]) for index, place in found.places.items()}


def class_numbers(samples: Sequence[Sample], label_file: Path | None, classes: int | None) -> dict[int, int]:
    """Return the class number of each sample by its index, from 0; from `label_file` or from the image list.

    classes: the network's number of classes, which no label may reach; None = unknown.
    Raises: InputError with every missing or wrong label.
    """
    found = assign(label_file, samples) if label_file else {}
    mistakes: list[Diagnostic] = []
    numbers: dict[int, int] = {}
    for sample in samples:
        line, text = found.get(sample.index, (0, sample.labels[0] if sample.labels else ""))
        where = f"{label_file}:{line}" if label_file else ""
        head = f"image '{sample.files[0].name}'"
        if not text:
            mistakes.append(Diagnostic(f"{head}: no label in the image list", file=where or None))
        elif not text.isascii() or not text.isdigit():
            cure = "a label is a class number from 0"
            mistakes.append(Diagnostic(f"{head}: not a class number", value=text, file=where or None, suggestion=cure))
        elif classes is not None and int(text) >= classes:
            message = f"{head}: label beyond the {classes} classes of the network"
            mistakes.append(Diagnostic(message, value=int(text), file=where or None))
        else:
            numbers[sample.index] = int(text)
    raise_all(mistakes)
    return numbers


def label_paths(
    samples: Sequence[Sample], label_file: Path | None, folders: Sequence[Path], kind: str
) -> dict[int, Path]:
    """Return the label file (a mask or a picture) of each sample by its index.

    The name comes from `label_file`, else from the image list; it is looked for in `folders`, in order.
    Raises: InputError with every file that is missing.
    """
    found = assign(label_file, samples) if label_file else {}
    mistakes: list[Diagnostic] = []
    paths: dict[int, Path] = {}
    for sample in samples:
        _, text = found.get(sample.index, (0, sample.labels[0] if sample.labels else ""))
        if not text:
            mistakes.append(Diagnostic(f"image '{sample.files[0].name}': no {kind} in the image list"))
            continue
        path = next((folder / text for folder in folders if (folder / text).is_file()), None)
        if path is None:
            head = f"no {kind} for image '{sample.files[0].name}'"
            mistakes.append(Diagnostic(head, file=str(folders[0] / text)))
        else:
            paths[sample.index] = path
    raise_all(mistakes)
    return paths
