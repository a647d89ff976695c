"""Operators whose output integers are input integers, and ARG_MAX.

TFLite copies the integers whatever the two grids say; such a node carries ``integers_kept`` = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.cut import cut_of
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.stored import constant_problem

Rule = Callable[[Builder, FileOperator], None]
KEPT = {"integers_kept": 1}


def _moved(b: Builder, op: FileOperator, kind: str, x: str, attrs: dict[str, Any], shape: Any) -> None:
    b.expect(op, shape)
    b.emit(kind, (x,), (b.output(op),), {**attrs, **KEPT})


def _axis(b: Builder, op: FileOperator, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise b.wrong(op, f"axis {axis} is outside the {rank} axes of its input")
    return axis % rank


def reshape(b: Builder, op: FileOperator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the declared output shape counts."""
    x, shape = b.activation(op, 0), b.out_shape(op)
    if len(op.inputs) > 2:
        raise b.wrong(op, "has more inputs than a tensor and its new shape", len(op.inputs))
    if prod(shape) != prod(b.shape(op)):
        raise b.wrong(op, f"cannot give {list(b.shape(op))} the shape {list(shape)}")
    _moved(b, op, "Reshape", x, {"shape": shape}, shape)


def transpose(b: Builder, op: FileOperator) -> None:
    """TRANSPOSE."""
    x, perm, shape = b.activation(op, 0), b.numbers(op, 1), b.shape(op)
    if sorted(perm) != list(range(len(shape))):
        raise b.wrong(op, f"its permutation does not fit {len(shape)} axes", list(perm))
    _moved(b, op, "Transpose", x, {"perm": perm}, tuple(shape[axis] for axis in perm))


def concatenation(b: Builder, op: FileOperator) -> None:
    """CONCATENATION of activations and stored constants."""
    if b.clamp(op) is not None:
        raise b.wrong(op, "its fused activation is not supported")
    shapes = [b.shape(op, position) for position in range(len(op.inputs))]
    if not shapes or any(len(shape) != len(shapes[0]) for shape in shapes) or not shapes[0]:
        raise b.wrong(op, "its inputs have different numbers of axes", [list(shape) for shape in shapes])
    axis = _axis(b, op, int(b.option(op, "Axis")), len(shapes[0]))
    if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) > 1:
        raise b.wrong(op, "its inputs do not fit each other", [list(shape) for shape in shapes])
    names = [_part(b, op, position) for position in range(len(op.inputs))]
    total = sum(shape[axis] for shape in shapes)
    b.expect(op, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))
    output = b.output(op)
    _one_grid(b, op, names, output)
    b.emit("Concat", names, (output,), {"axis": axis})


def _part(b: Builder, op: FileOperator, position: int) -> str:
    if b.tensor(op, position).data is None:
        return b.activation(op, position)
    name = b.constant(op, position)
    problem = constant_problem(b.params[name])
    if problem:
        raise b.wrong(op, f"constant '{name}' {problem}", b.params[name].dtype)
    return name


def _one_grid(b: Builder, op: FileOperator, names: list[str], output: str) -> None:
    kind = b.params[output].dtype
    if kind != "uint8" and any(_grid(b, name) != _grid(b, output) for name in names):
        raise b.wrong(op, f"{kind} inputs need the scale and zero point of the output")


def _grid(b: Builder, name: str) -> tuple[str, float, int]:
    params = b.params[name]
    return params.dtype, float(params.scale[0]), params.zero_point


def pack(b: Builder, op: FileOperator) -> None:
    """PACK: tensors of one shape and grid, joined along a new axis."""
    shape = b.out_shape(op)
    axis = _axis(b, op, int(b.option(op, "Axis")), len(shape))
    names = [_part(b, op, position) for position in range(len(op.inputs))]
    part = (*shape[:axis], *shape[axis + 1 :])
    if not names or any(b.shape(op, position) != part for position in range(len(names))):
        raise b.wrong(op, f"its inputs have not all the shape {list(part)}")
    whole = (*shape[:axis], 1, *shape[axis + 1 :])
    b.expect(op, (*shape[:axis], len(names), *shape[axis + 1 :]))
    output = b.output(op)
    parts: list[str] = []
    for name in names:
        if _grid(b, name) != _grid(b, output):
            raise b.wrong(op, "its inputs need the scale and zero point of its output")
        parts.append(b.inner(f"{output}__part{len(parts)}", output, whole))
        b.emit("Reshape", (name,), (parts[-1],), {"shape": whole, **KEPT})
    b.emit("Concat", parts, (output,), {"axis": axis})


def unpack(b: Builder, op: FileOperator) -> None:
    """UNPACK: the slices of one axis, which goes."""
    x, shape = b.activation(op, 0), b.shape(op)
    axis = _axis(b, op, int(b.option(op, "Axis")), len(shape))
    if shape[axis] != len(op.outputs):
        raise b.wrong(op, f"has {len(op.outputs)} outputs for an axis of {shape[axis]}")
    part = (*shape[:axis], 1, *shape[axis + 1 :])
    outputs = [b.output(op, place) for place in range(len(op.outputs))]
    cuts = [b.inner(f"{name}__slice", x, part) for name in outputs]
    b.emit("Split", (x,), cuts, {"axis": axis, "split": (1,) * len(cuts), **KEPT})
    for place, (cut, name) in enumerate(zip(cuts, outputs, strict=True)):
        b.expect(op, (*shape[:axis], *shape[axis + 1 :]), place)
        b.emit("Reshape", (cut,), (name,), {"shape": b.tensors[name].shape, **KEPT})


def split(b: Builder, op: FileOperator) -> None:
    """SPLIT: equal parts; the axis is the first input."""
    x, (axis,) = b.activation(op, 1), b.numbers(op, 0)[:1] or (0,)
    _split(b, op, x, b.shape(op, 1), axis)


def split_v(b: Builder, op: FileOperator) -> None:
    """SPLIT_V: parts of given sizes."""
    x, (axis,) = b.activation(op, 0), b.numbers(op, 2)[:1] or (0,)
    _split(b, op, x, b.shape(op), axis)


def _split(b: Builder, op: FileOperator, x: str, shape: tuple[int, ...], axis: int) -> None:
    axis = _axis(b, op, axis, len(shape))
    parts = [b.out_shape(op, position) for position in range(len(op.outputs))]
    if any(len(part) != len(shape) for part in parts) or not parts:
        raise b.wrong(op, "its outputs have another number of axes than its input")
    sizes = tuple(part[axis] for part in parts)
    for position, size in enumerate(sizes):
        b.expect(op, (*shape[:axis], size, *shape[axis + 1 :]), position)
    if sum(sizes) != shape[axis]:
        raise b.wrong(op, f"parts of {list(sizes)} do not make up an axis of {shape[axis]}")
    outputs = [b.output(op, position) for position in range(len(sizes))]
    b.emit("Split", (x,), outputs, {"axis": axis, "split": sizes, **KEPT})


def slice_(b: Builder, op: FileOperator) -> None:
    """SLICE: begin and size; a size of -1 reaches to the end."""
    x, shape = b.activation(op, 0), b.shape(op)
    begins, sizes = b.numbers(op, 1), b.numbers(op, 2)
    if not len(begins) == len(sizes) == len(shape):
        raise b.wrong(op, f"begin and size do not fit {len(shape)} axes", [list(begins), list(sizes)])
    ends = tuple(n if size == -1 else begin + size for n, begin, size in zip(shape, begins, sizes, strict=True))
    if any(not 0 <= begin < end <= n for begin, end, n in zip(begins, ends, shape, strict=True)):
        raise b.wrong(op, "begin and size leave its input", [list(begins), list(sizes)])
    result = tuple(end - begin for begin, end in zip(begins, ends, strict=True))
    _moved(b, op, "Slice", x, _slice_attrs(begins, ends, (1,) * len(shape), shape), result)


def _slice_attrs(starts: Any, ends: Any, steps: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the attributes of the axes that are really cut."""
    axes = [i for i, n in enumerate(shape) if (starts[i], ends[i], steps[i]) != (0, n, 1)]
    pick = [tuple(values[axis] for axis in axes) for values in (starts, ends, steps)]
    return {"starts": pick[0], "ends": pick[1], "axes": tuple(axes), "steps": pick[2]}


def strided_slice(b: Builder, op: FileOperator) -> None:
    """STRIDED_SLICE with all its masks."""
    x, shape = b.activation(op, 0), b.shape(op)
    cuts, kept = cut_of(b, op)
    sizes = tuple(len(range(*cut)) for cut in cuts)
    if 0 in sizes:
        raise b.wrong(op, "its output is empty", list(sizes))
    starts, ends, steps = ([cut[place] for cut in cuts] for place in range(3))
    attrs = _slice_attrs(starts, ends, steps, shape)
    if kept == sizes:
        _moved(b, op, "Slice", x, attrs, sizes)
        return
    whole = b.inner(f"{b.names[op.outputs[0]]}__slice", x, sizes)
    b.emit("Slice", (x,), (whole,), {**attrs, **KEPT})
    _moved(b, op, "Reshape", whole, {"shape": kept}, kept)


def reverse(b: Builder, op: FileOperator) -> None:
    """REVERSE_V2 along constant axes."""
    x, shape = b.activation(op, 0), b.shape(op)
    axes = tuple(sorted({_axis(b, op, axis, len(shape)) for axis in b.numbers(op, 1)}))
    steps = (-1,) * len(axes)  # an end of -1 runs through element 0
    attrs = {"starts": tuple(shape[axis] - 1 for axis in axes), "ends": steps, "axes": axes, "steps": steps}
    _moved(b, op, "Slice", x, attrs, shape)


def pad(b: Builder, op: FileOperator) -> None:
    """PAD (zeros), PADV2 (a stored value) and MIRROR_PAD (reflect)."""
    x, shape = b.activation(op, 0), b.shape(op)
    widths = b.numbers(op, 1)
    if len(widths) != 2 * len(shape) or min(widths, default=0) < 0:
        raise b.wrong(op, f"its paddings do not fit {len(shape)} axes", list(widths))
    mode, value = "constant", 0.0
    if op.code == "MIRROR_PAD":
        if b.option(op, "Mode") != 0:
            raise b.wrong(op, "only REFLECT is supported", b.option(op, "Mode"))
        mode = "reflect"
        if any(max(widths[2 * i : 2 * i + 2]) >= n for i, n in enumerate(shape)):
            raise b.wrong(op, "its paddings are not smaller than its input", list(widths))
    elif op.code == "PADV2":
        value = float(b.constants[b.constant(op, 2)].reshape(-1)[:1].sum())
    pads = (*widths[::2], *widths[1::2])
    grown = tuple(n + widths[2 * i] + widths[2 * i + 1] for i, n in enumerate(shape))
    _moved(b, op, "Pad", x, {"pads": pads, "mode": mode, "value": value}, grown)


def arg_max(b: Builder, op: FileOperator) -> None:
    """ARG_MAX over one axis, which goes; the output holds indices."""
    x, shape = b.activation(op, 0), b.shape(op)
    axis = _axis(b, op, (b.numbers(op, 1)[:1] or (0,))[0], len(shape))
    b.expect(op, shape[:axis] + shape[axis + 1 :])
    if b.model.tensors[op.outputs[0]].dtype not in {"int32", "int64"}:
        raise b.wrong(op, "its output is not int32 or int64", b.model.tensors[op.outputs[0]].dtype)
    b.emit("ArgMax", (x,), (b.output(op, dtype="int64"),), {"axis": axis, "keepdims": 0, "select_last_index": 0})


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
    "ARG_MAX": arg_max,
}
