"""The numbers of named classes: by a list beside the labels, by a well-known set, else by the alphabet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from slimai.encodings import decoded
from slimai.metrics.detection.detections import VOC_NAMES

FILES = ("classes.txt", "labels.txt", "class_names.txt", "obj.names", "classes.names")
LARGEST = 1 << 20

__all__ = ["ordered", "written_order"]


def written_order(
    folders: Sequence[Path], words: Collection[str], skip: Path | None = None
) -> tuple[tuple[str, ...], str]:
    """Return the classes of a list in one of `folders` that names all `words`, and that list; nothing without one."""
    for folder in folders:
        for path in (folder / name for name in FILES):
            if path == skip or not path.is_file() or path.stat().st_size > LARGEST:
                continue
            try:
                lines = [line.strip() for line in decoded(path.read_bytes()).splitlines() if line.strip()]
            except (OSError, ValueError):
                continue  # a list that cannot be read says nothing
            for names in (lines, [line.split(maxsplit=1)[-1] for line in lines]):
                if len(set(names)) == len(names) and set(words) <= set(names):
                    return tuple(names), str(path)
    return (), ""


def ordered(words: Collection[str], known: tuple[tuple[str, ...], str]) -> tuple[tuple[str, ...], str, bool]:
    """Return the class names in the order of their numbers, what the order rests on, and whether that is sure."""
    names, file = known
    if names:
        return names, f"order of {file}", True
    if len(words) > 1 and set(words) <= set(VOC_NAMES):
        return VOC_NAMES, "the 20 classes of Pascal VOC", True
    return tuple(sorted(words)), "the alphabet's order", len(words) == 1
