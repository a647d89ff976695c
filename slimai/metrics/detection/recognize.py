"""Which detector head the outputs of a network look like, by their shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

Shape = Sequence[int]
Size = tuple[int, int]

STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
ANCHORS = (3, 2, 5)  # boxes a cell of YOLO heads, the usual number first
BINS = 8  # a side's distribution in PicoDet and NanoDet
LEAST_STRIDE = 8  # denser maps are pictures
LEAST_BOXES = 20  # fewer rows of 4 numbers are no list of boxes

__all__ = ["likely_heads"]


def likely_heads(shapes: Sequence[Shape], input_size: Size | None) -> tuple[str, ...]:
    """Return what the outputs may be, the most particular first: ``custom_pp=...`` and what it implies.

    shapes: of the outputs at batch 1. input_size: (width, height) of the network's input, None where it has none. An
    empty answer means that no known head has these shapes.
    """
    found: list[str] = []
    for look in _LOOKS:
        found.extend(text for text in look(shapes, input_size) if text not in found)
    return tuple(found)


def _cells(size: Size, stride: int) -> int:
    return -(-size[0] // stride) * -(-size[1] // stride)


def _rows(shape: Shape) -> tuple[int, int] | None:
    """Return (rows, numbers) of [1, rows, numbers], None for other shapes."""
    return (shape[-2], shape[-1]) if len(shape) >= 2 and prod(shape) == shape[-2] * shape[-1] else None


def _yunet(shapes: Sequence[Shape], size: Size | None) -> Iterator[str]:
    if size is None:
        return
    for strides in STRIDE_SETS:
        widths = [
            sorted(prod(shape) // _cells(size, stride) for shape in shapes if _cells(size, stride) in shape[1:-1])
            for stride in strides
        ]
        if len(shapes) == sum(map(len, widths)) and all(item in ([1, 1, 4], [1, 1, 4, 10]) for item in widths):
            yield f"custom_pp=yunet, strides={_text(strides)}"


def _gfl(shapes: Sequence[Shape], size: Size | None) -> Iterator[str]:
    rows = [_rows(shape) for shape in shapes]
    if size is None or None in rows:
        return
    known = [row for row in rows if row is not None]
    for strides in STRIDE_SETS:
        counts = [_cells(size, stride) for stride in strides]
        if len(known) == 1 and known[0][0] == sum(counts) and known[0][1] > 4 * BINS:
            yield f"custom_pp=gfl, strides={_text(strides)}, reg_max={BINS - 1}: {known[0][1] - 4 * BINS} classes"
        pairs = [sorted(width for count, width in known if count == cells) for cells in counts]
        apart = [pair for pair in pairs if len(pair) == 2 and 4 * BINS in pair]
        if len(apart) == len(counts) and len(known) == 2 * len(counts):
            classes = sum(apart[0]) - 4 * BINS
            yield f"custom_pp=gfl, strides={_text(strides)}, reg_max={BINS - 1}: {classes} classes"


def _one_table(shapes: Sequence[Shape], size: Size | None) -> Iterator[str]:
    """One output of boxes and classes: yolox, yolov8, or any that the network has decoded."""
    row = _rows(shapes[0]) if len(shapes) == 1 else None
    if row is None:
        return
    cells = 0 if size is None else sum(_cells(size, stride) for stride in STRIDE_SETS[0])
    if row[0] == cells and row[1] > 5:
        yield f"custom_pp=yolox: {row[1] - 5} classes"
    if row[1] == cells and row[0] > 4:
        yield f"custom_pp=yolov8: {row[0] - 4} classes"
    if max(row) >= LEAST_BOXES and min(row) > 4 and len(shapes[0]) == 3:
        yield f"custom_pp=decoded: {min(row) - 4} classes, where the network decodes its boxes"


def _maps(shapes: Sequence[Shape], size: Size | None) -> Iterator[str]:
    """Maps of cells: yolo, one a scale; yolox, one a stride; FastestDet, one alone."""
    if size is None or any(len(shape) != 4 for shape in shapes):
        return
    for layout, at, height, width in (("CHW", 1, 2, 3), ("HWC", 3, 1, 2)):
        strides = {size[0] // shape[width] for shape in shapes if shape[width] and size[0] % shape[width] == 0}
        fits = all(shape[width] and size[0] * shape[height] == size[1] * shape[width] for shape in shapes)
        channels = {shape[at] for shape in shapes}
        if not fits or min(strides, default=0) < LEAST_STRIDE or len(strides) != len(shapes) or len(channels) != 1:
            continue
        number = channels.pop()
        for anchors in ANCHORS:
            if number % anchors == 0 and number // anchors > 5 and len(shapes) <= 3:
                classes = number // anchors - 5
                yield f"custom_pp=yolo, layout={layout}: {anchors} anchors a scale, {classes} classes"
                break
        if strides == {8, 16, 32} and number > 5:
            yield f"custom_pp=yolox: {number - 5} classes"
        if len(shapes) == 1 and number > 5:
            yield f"custom_pp=fastestdet, layout={layout}: {number - 5} classes"


def _lists(shapes: Sequence[Shape], size: Size | None) -> Iterator[str]:
    """Boxes and scores apart."""
    del size
    boxes = [at for at, shape in enumerate(shapes) if shape and shape[-1] == 4 and prod(shape) // 4 >= LEAST_BOXES]
    if len(boxes) != 1:
        return
    count = prod(shapes[boxes[0]]) // 4
    others = [prod(shape) for at, shape in enumerate(shapes) if at not in boxes]
    if len(others) == 2 and others == [count, count]:
        yield "no custom_pp: boxes, confidences, class indices"
    if len(others) == 1 and others[0] % count == 0:
        yield f"custom_pp=ssd with priors, or custom_pp=facebox: {others[0] // count} columns of scores"


def _text(strides: Sequence[int]) -> str:
    return f"[{';'.join(map(str, strides))}]"


_LOOKS: tuple[Callable[[Sequence[Shape], Size | None], Iterator[str]], ...] = (_yunet, _gfl, _maps, _one_table, _lists)
