"""What STRIDED_SLICE takes: its masks as one (start, end, step) an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slimai.graph.tflite.access import FileAccess
from slimai.graph.tflite.file import FileOperator

Cut = tuple[int, int, int]
_MASKS = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset")


def cut_of(b: FileAccess, op: FileOperator) -> tuple[list[Cut], tuple[int, ...]]:
    """Return (start, end, step) of every axis of the input, and the output's shape."""
    bounds = [b.numbers(op, position) for position in (1, 2, 3)]
    masks = {name: b.option(op, name) for name in _MASKS}
    try:
        return strided_cuts(b.shape(op), bounds, masks)
    except ValueError as error:
        raise b.wrong(op, str(error), [list(values) for values in bounds]) from None


def strided_cuts(
    shape: Sequence[int], bounds: Sequence[Sequence[int]], masks: Mapping[str, Any]
) -> tuple[list[Cut], tuple[int, ...]]:
    """Return (start, end, step) of every axis, and the shape that is left.

    bounds: begin, end and strides. Raises ValueError: they do not fit the axes.
    """
    count = len(bounds[0])
    if any(len(values) != count for values in bounds) or 0 in bounds[2] or masks["EllipsisMask"].bit_count() > 1:
        raise ValueError(f"begin, end and strides do not fit {len(shape)} axes")
    new = [bool(masks["NewAxisMask"] >> place & 1) for place in range(count)]
    cuts: list[Cut] = []
    kept: list[int] = []
    for place in range(count):
        if masks["EllipsisMask"] >> place & 1:
            after = sum(not item for item in new[place + 1 :])
            _whole(shape, len(shape) - after - len(cuts), cuts, kept)
        elif new[place]:
            kept.append(1)
        elif len(cuts) == len(shape):
            raise ValueError(f"begin, end and strides do not fit {len(shape)} axes")
        else:
            _one(shape[len(cuts)], [int(values[place]) for values in bounds], place, masks, cuts, kept)
    _whole(shape, len(shape) - len(cuts), cuts, kept)
    return cuts, tuple(kept)


def _whole(shape: Sequence[int], count: int, cuts: list[Cut], kept: list[int]) -> None:
    for size in shape[len(cuts) : len(cuts) + count]:
        cuts.append((0, size, 1))
        kept.append(size)


def _one(size: int, bound: list[int], place: int, masks: Mapping[str, Any], cuts: list[Cut], kept: list[int]) -> None:
    begin, end, step = bound
    if masks["ShrinkAxisMask"] >> place & 1:
        begin = begin + size if begin < 0 else begin
        if not 0 <= begin < size:
            raise ValueError(f"index {begin} leaves an axis of {size}")
        cuts.append((begin, begin + 1, 1))
        return
    if masks["Offset"] and not masks["EndMask"] >> place & 1:
        end += begin
    start = None if masks["BeginMask"] >> place & 1 else begin
    cut = slice(start, None if masks["EndMask"] >> place & 1 else end, step).indices(size)
    cuts.append(cut)
    kept.append(len(range(*cut)))
