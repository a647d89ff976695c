"""Reductions, moves by constants and products of two activations: REDUCE_MAX, TILE, GATHER, BATCH_MATMUL ..."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.move import KEPT

_REDUCTIONS = {"REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def reduced(b: Builder, op: FileOperator) -> None:
    """REDUCE_MAX and REDUCE_MIN over constant axes; LiteRT runs them only where both grids are one."""
    x, shape, given = b.activation(op, 0), b.shape(op), b.numbers(op, 1)
    if not given or any(not -len(shape) <= axis < len(shape) for axis in given):
        raise b.wrong(op, f"its axes do not fit {len(shape)} axes", list(given))
    axes = tuple(sorted({axis % len(shape) for axis in given}))
    keep = int(bool(b.option(op, "KeepDims")))
    if prod(shape[axis] for axis in axes) < 1:
        raise b.wrong(op, "its input is empty", list(shape))
    b.expect(op, tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes))
    output = b.output(op)
    own, other = b.params[x], b.params[output]
    if (own.dtype, float(own.scale[0]), own.zero_point) != (other.dtype, float(other.scale[0]), other.zero_point):
        raise b.wrong(op, "its output needs the scale and zero point of its input")
    b.emit(_REDUCTIONS[op.code], (x,), (output,), {"axes": axes, "keepdims": keep, **KEPT})


def tile(b: Builder, op: FileOperator) -> None:
    """TILE with constant repeats."""
    x, shape, repeats = b.activation(op, 0), b.shape(op), b.numbers(op, 1)
    if len(repeats) != len(shape) or min(repeats, default=1) < 1:
        raise b.wrong(op, f"its repeats do not fit {len(shape)} axes", list(repeats))
    b.expect(op, tuple(n * times for n, times in zip(shape, repeats, strict=True)))
    b.emit("Tile", (x,), (b.output(op),), {"repeats": repeats, **KEPT})


def broadcast_to(b: Builder, op: FileOperator) -> None:
    """BROADCAST_TO a constant shape of as many axes."""
    x, shape, target = b.activation(op, 0), b.shape(op), b.numbers(op, 1)
    if len(target) != len(shape) or any(n not in {1, size} for n, size in zip(shape, target, strict=True)):
        raise b.wrong(op, f"cannot give {list(shape)} the shape {list(target)}")
    b.expect(op, target)
    repeats = tuple(size if n == 1 else 1 for n, size in zip(shape, target, strict=True))
    b.emit("Tile", (x,), (b.output(op),), {"repeats": repeats, **KEPT})


def gather(b: Builder, op: FileOperator) -> None:
    """GATHER along one axis by constant indices."""
    x, shape, indices = b.activation(op, 0), b.shape(op), b.numbers(op, 1)
    axis = int(b.option(op, "Axis"))
    if b.option(op, "BatchDims"):
        raise b.wrong(op, "batch_dims is not supported", b.option(op, "BatchDims"))
    if not -len(shape) <= axis < len(shape):
        raise b.wrong(op, f"axis {axis} is outside the {len(shape)} axes of its input")
    axis, of = axis % len(shape), b.shape(op, 1)
    if any(not 0 <= index < shape[axis] for index in indices):
        raise b.wrong(op, f"an index leaves an axis of {shape[axis]}", [min(indices), max(indices)])
    b.expect(op, (*shape[:axis], *of, *shape[axis + 1 :]))
    b.emit("Gather", (x,), (b.output(op),), {"axis": axis, "indices": indices, "shape": of, **KEPT})


def batch_matmul(b: Builder, op: FileOperator) -> None:
    """BATCH_MATMUL of two activations; an operand that is read transposed is transposed first."""
    sides = []
    for position, option in enumerate(("AdjX", "AdjY")):
        name, shape = b.activation(op, position), b.shape(op, position)
        if len(shape) < 2:
            raise b.wrong(op, f"input {position} has fewer than two axes", list(shape))
        if b.option(op, option):
            perm = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            turned = tuple(shape[axis] for axis in perm)
            made = b.inner(f"{name}__turned", name, turned)
            b.emit("Transpose", (name,), (made,), {"perm": perm, **KEPT})
            name, shape = made, turned
        sides.append((name, shape))
    (first, left), (second, right) = sides
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        batch = ()
    if left[-1] != right[-2] or len(batch) != max(len(left), len(right)) - 2:
        raise b.wrong(op, f"cannot multiply {list(left)} by {list(right)}")
    b.expect(op, (*batch, left[-2], right[-1]))
    b.emit("MatMul", (first, second), (b.output(op),))


RULES: dict[str, Callable[[Builder, FileOperator], None]] = {
    **dict.fromkeys(_REDUCTIONS, reduced),
    "TILE": tile,
    "BROADCAST_TO": broadcast_to,
    "GATHER": gather,
    "BATCH_MATMUL": batch_matmul,
}
