"""Operators that move values: reshaping, cutting, joining, padding, and indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from slimai.graph.tflite.cut import cut_of
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.floats.writer import Writer, first_axes, permuted

Rule = Callable[[Writer, FileOperator], None]


def _axis(w: Writer, op: FileOperator, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise w.wrong(op, f"axis {axis} is outside the {rank} axes of its input")
    return axis % rank


def _placed(axis: int, rank: int, *, first: bool) -> int:
    """Return where an axis of the file lies in the order that is used."""
    return first_axes(rank).index(axis) if first else axis


def _integers(w: Writer, op: FileOperator, what: str, values: Sequence[int]) -> str:
    return w.constant(f"{w.names[op.outputs[0]]}__{what}", np.array(values, np.int64))


def reshape(w: Writer, op: FileOperator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the declared output shape counts."""
    shape = w.out_shape(op)
    if prod(shape) != prod(w.shape(op)):
        raise w.wrong(op, f"cannot give {list(w.shape(op))} the shape {list(shape)}")
    w.reshape(w.any_order(op), shape, w.output(op))


def transpose(w: Writer, op: FileOperator) -> None:
    """TRANSPOSE, from whichever order its input is held in."""
    perm, rank = w.numbers(op, 1), len(w.shape(op))
    if sorted(perm) != list(range(rank)):
        raise w.wrong(op, f"its permutation does not fit {rank} axes", list(perm))
    first = w.prefers_first(op)
    steps = tuple(_placed(axis, rank, first=first) for axis in perm)
    x = w.picture(op) if first else w.filed(op)
    if steps == tuple(range(rank)):
        w.emit(op, "Identity", (x,))
    else:
        w.emit(op, "Transpose", (x,), {"perm": steps})


def concatenation(w: Writer, op: FileOperator) -> None:
    """CONCATENATION of activations and stored constants."""
    if not op.inputs:
        raise w.wrong(op, "has no input")
    rank = len(w.out_shape(op))
    if any(len(w.shape(op, position)) != rank for position in range(len(op.inputs))):
        raise w.wrong(op, "its inputs have different numbers of axes")
    axis = _axis(w, op, int(w.option(op, "Axis")), rank)
    names, first = w.operands(op, range(len(op.inputs)))
    w.emit(op, "Concat", names, {"axis": _placed(axis, rank, first=first)}, first=first)


def pack(w: Writer, op: FileOperator) -> None:
    """PACK: tensors of one shape, joined along a new axis."""
    shape = w.out_shape(op)
    axis = _axis(w, op, int(w.option(op, "Axis")), len(shape))
    whole = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [w.reshape(w.filed(op, i), whole, w.inner(op, f"part{i}")) for i in range(len(op.inputs))]
    w.emit(op, "Concat", parts, {"axis": axis})


def unpack(w: Writer, op: FileOperator) -> None:
    """UNPACK: the slices of one axis, which goes."""
    shape = w.shape(op)
    axis = _axis(w, op, int(w.option(op, "Axis")), len(shape))
    if shape[axis] != len(op.outputs):
        raise w.wrong(op, f"has {len(op.outputs)} outputs for an axis of {shape[axis]}")
    for place in range(len(op.outputs)):
        cut = w.inner(op, f"slice{place}")
        _cut(w, op, w.filed(op), cut, [(axis, place, place + 1, 1)])
        w.reshape(cut, (*shape[:axis], *shape[axis + 1 :]), w.output(op, place))


def split(w: Writer, op: FileOperator) -> None:
    """SPLIT: equal parts; the axis is the first input."""
    _split(w, op, 1, (w.numbers(op, 0)[:1] or (0,))[0])


def split_v(w: Writer, op: FileOperator) -> None:
    """SPLIT_V: parts of given sizes."""
    _split(w, op, 0, (w.numbers(op, 2)[:1] or (0,))[0])


def _split(w: Writer, op: FileOperator, position: int, axis: int) -> None:
    shape = w.shape(op, position)
    axis = _axis(w, op, axis, len(shape))
    parts = [w.out_shape(op, place) for place in range(len(op.outputs))]
    sizes = [part[axis] if len(part) == len(shape) else -1 for part in parts]
    if sum(sizes) != shape[axis] or min(sizes, default=-1) < 0:
        raise w.wrong(op, f"parts of {sizes} do not make up an axis of {shape[axis]}")
    first = w.prefers_first(op, position)
    x = w.picture(op, position) if first else w.filed(op, position)
    names, begin = [w.output(op, place, first=first) for place in range(len(sizes))], 0
    for name, size in zip(names, sizes, strict=True):
        _cut(w, op, x, name, [(_placed(axis, len(shape), first=first), begin, begin + size, 1)])
        begin += size


def _cut(w: Writer, op: FileOperator, x: str, y: str, cuts: Sequence[tuple[int, int, int, int]]) -> str:
    """Append a Slice; cuts: (axis, start, end, step), an end of -1 with a negative step runs through element 0."""
    if not cuts:
        return w.add("Identity", (x,), y)
    axes, starts, ends, steps = zip(*cuts, strict=True)
    floor = int(np.iinfo(np.int64).min)
    ends = tuple(floor if end < 0 else end for end in ends)
    named = (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps))
    return w.add("Slice", (x, *(_integers(w, op, what, values) for what, values in named)), y)


def slice_(w: Writer, op: FileOperator) -> None:
    """SLICE: begin and size; a size of -1 reaches to the end."""
    shape, begins, sizes = w.shape(op), w.numbers(op, 1), w.numbers(op, 2)
    if not len(begins) == len(sizes) == len(shape):
        raise w.wrong(op, f"begin and size do not fit {len(shape)} axes", [list(begins), list(sizes)])
    ends = [n if size == -1 else begin + size for n, begin, size in zip(shape, begins, sizes, strict=True)]
    if any(not 0 <= begin < end <= n for begin, end, n in zip(begins, ends, shape, strict=True)):
        raise w.wrong(op, "begin and size leave its input", [list(begins), list(sizes)])
    cuts = [(begin, end, 1) for begin, end in zip(begins, ends, strict=True)]
    first = w.prefers_first(op)
    x = w.picture(op) if first else w.filed(op)
    _cut(w, op, x, w.output(op, first=first), _real_cuts(cuts, shape, first=first))


def _real_cuts(
    cuts: Sequence[tuple[int, int, int]], shape: Sequence[int], *, first: bool
) -> list[tuple[int, int, int, int]]:
    """Return the cuts that take something away, with their axes in the order that is used."""
    return [
        (_placed(axis, len(shape), first=first), *cut)
        for axis, (cut, size) in enumerate(zip(cuts, shape, strict=True))
        if cut != (0, size, 1)
    ]


def strided_slice(w: Writer, op: FileOperator) -> None:
    """STRIDED_SLICE with begin, end, shrink, ellipsis and new-axis masks."""
    cuts, kept = cut_of(w, op)
    shape = w.shape(op)
    sizes = tuple(len(range(*cut)) for cut in cuts)
    if 0 in sizes:
        raise w.wrong(op, "its output is empty", list(sizes))
    same = kept == sizes
    first = same and w.prefers_first(op)
    x = w.picture(op) if first else w.filed(op)
    real = _real_cuts(cuts, shape, first=first)
    if same:
        _cut(w, op, x, w.output(op, first=first), real)
    else:
        w.reshape(_cut(w, op, x, w.inner(op, "slice"), real), kept, w.output(op))


def reverse(w: Writer, op: FileOperator) -> None:
    """REVERSE_V2 along constant axes."""
    shape = w.shape(op)
    axes = sorted({_axis(w, op, axis, len(shape)) for axis in w.numbers(op, 1)})
    _cut(w, op, w.filed(op), w.output(op), [(axis, shape[axis] - 1, -1, -1) for axis in axes])


def pad(w: Writer, op: FileOperator) -> None:
    """PAD (zeros), PADV2 (a stored value) and MIRROR_PAD (reflect, symmetric)."""
    shape, widths = w.shape(op), w.numbers(op, 1)
    if len(widths) != 2 * len(shape) or min(widths, default=0) < 0:
        raise w.wrong(op, f"its paddings do not fit {len(shape)} axes", list(widths))
    if op.code == "MIRROR_PAD":
        _mirrored(w, op, widths)
        return
    first = w.prefers_first(op)
    x = w.picture(op) if first else w.filed(op)
    axes = first_axes(len(shape)) if first else tuple(range(len(shape)))
    pads = (*permuted(widths[::2], axes), *permuted(widths[1::2], axes))
    inputs = [x, _integers(w, op, "pads", pads)]
    if op.code == "PADV2":
        value = w.values(op, 2)
        if value.size != 1:
            raise w.wrong(op, "its value is not one number", list(value.shape))
        inputs.append(w.constant(w.tensor(op, 2).name, value.reshape(())))
    w.emit(op, "Pad", inputs, {"mode": "constant"}, first=first)


def _mirrored(w: Writer, op: FileOperator, widths: Sequence[int]) -> None:
    """Append a Pad that reflects, or a Gather an axis where the edge is repeated too, which ONNX has no mode for."""
    shape, symmetric = w.shape(op), w.option(op, "Mode") == 1
    if any(max(widths[2 * i : 2 * i + 2]) > n - (not symmetric) for i, n in enumerate(shape)):
        raise w.wrong(op, "its paddings are not smaller than its input", list(widths))
    if w.option(op, "Mode") not in {0, 1}:
        raise w.wrong(op, "only REFLECT and SYMMETRIC are supported", w.option(op, "Mode"))
    first = w.prefers_first(op)
    x = w.picture(op) if first else w.filed(op)
    axes = first_axes(len(shape)) if first else tuple(range(len(shape)))
    if not symmetric:
        pads = (*permuted(widths[::2], axes), *permuted(widths[1::2], axes))
        w.emit(op, "Pad", (x, _integers(w, op, "pads", pads)), {"mode": "reflect"}, first=first)
        return
    padded = [axis for axis in range(len(shape)) if widths[2 * axis] or widths[2 * axis + 1]]
    for axis in padded:
        taken = np.pad(np.arange(shape[axis]), widths[2 * axis : 2 * axis + 2], mode="symmetric")
        attrs = {"axis": _placed(axis, len(shape), first=first)}
        x = w.add("Gather", (x, _integers(w, op, "places", taken.tolist())), w.inner(op, "mirrored"), attrs)
    w.emit(op, "Identity", (x,), first=first)


def gather(w: Writer, op: FileOperator) -> None:
    """GATHER along one axis, by stored or computed indices."""
    shape, rank = w.shape(op), len(w.shape(op))
    axis = _axis(w, op, int(w.option(op, "Axis")), rank)
    if w.option(op, "BatchDims"):
        raise w.wrong(op, "batch_dims is not supported", w.option(op, "BatchDims"))
    if w.is_constant(op, 1) and any(not 0 <= index < shape[axis] for index in w.numbers(op, 1)):
        raise w.wrong(op, f"an index leaves an axis of {shape[axis]}", list(w.numbers(op, 1))[:8])
    first = w.prefers_first(op) and len(w.shape(op, 1)) == 1
    x = w.picture(op) if first else w.filed(op)
    w.emit(op, "Gather", (x, w.filed(op, 1)), {"axis": _placed(axis, rank, first=first)}, first=first)


def gather_nd(w: Writer, op: FileOperator) -> None:
    """GATHER_ND by stored indices."""
    w.emit(op, "GatherND", (w.filed(op), _integers_like(w, op, 1)))


def _integers_like(w: Writer, op: FileOperator, position: int) -> str:
    values = np.array(w.numbers(op, position), np.int64).reshape(w.shape(op, position))
    return w.constant(w.tensor(op, position).name, values)


def tile(w: Writer, op: FileOperator) -> None:
    """TILE with constant repeats."""
    repeats, rank = w.numbers(op, 1), len(w.shape(op))
    if len(repeats) != rank or min(repeats, default=1) < 1:
        raise w.wrong(op, f"its repeats do not fit {rank} axes", list(repeats))
    first = w.prefers_first(op)
    x = w.picture(op) if first else w.filed(op)
    given = permuted(repeats, first_axes(rank)) if first else repeats
    w.emit(op, "Tile", (x, _integers(w, op, "repeats", given)), first=first)


def broadcast_to(w: Writer, op: FileOperator) -> None:
    """BROADCAST_TO a constant shape."""
    w.emit(op, "Expand", (w.filed(op), _integers(w, op, "shape", w.numbers(op, 1))))


def extreme(kind: str) -> Rule:
    """Return the rule of ARG_MAX or ARG_MIN over one axis, which goes."""

    def rule(w: Writer, op: FileOperator) -> None:
        axis = _axis(w, op, (w.numbers(op, 1)[:1] or (0,))[0], len(w.shape(op)))
        attrs: dict[str, Any] = {"axis": axis, "keepdims": 0}
        item, number = w.model.tensors[op.outputs[0]], op.outputs[0]
        if item.dtype not in {"int32", "int64"}:
            raise w.wrong(op, "its output is not int32 or int64", item.dtype)
        read = any(number in other.inputs for other in w.model.operators)
        if item.dtype == "int64" or not read:  # a network gives indices as int64, whatever the file declares
            w.emit(op, kind, (w.filed(op),), attrs)
        else:
            w.emit(op, "Cast", (w.add(kind, (w.filed(op),), w.inner(op, "index"), attrs),), {"to": 6})

    return rule


RULES: dict[str, Rule] = {
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshape),
    "TRANSPOSE": transpose,
    "CONCATENATION": concatenation,
    "PACK": pack,
    "UNPACK": unpack,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "SLICE": slice_,
    "STRIDED_SLICE": strided_slice,
    "REVERSE_V2": reverse,
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), pad),
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "TILE": tile,
    "BROADCAST_TO": broadcast_to,
    "ARG_MAX": extreme("ArgMax"),
    "ARG_MIN": extreme("ArgMin"),
}
