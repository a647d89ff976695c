"""Names of a file's tensors."""

from __future__ import annotations

from collections.abc import Mapping

from slimai.graph.tflite.file import FileModel


def unique_names(model: FileModel, renamed: Mapping[int, int] | None = None) -> tuple[str, ...]:
    """Return a name for each tensor: its own, or that of its float edge; equal ones get numbers from 2.

    renamed: integer tensor -> the float tensor whose name it takes, which is gone.
    """
    edges = renamed or {}
    gone = set(edges.values())
    taken: set[str] = set()
    names = []
    for number in range(len(model.tensors)):
        base = model.tensors[edges.get(number, number)].name
        name, count = base, 2
        while number not in gone and name in taken:
            name, count = f"{base}_{count}", count + 1
        if number not in gone:
            taken.add(name)
        names.append(name)
    return tuple(names)
