"""Arithmetic on constants and shapes: what a file computes the same way for every input is computed once, here.

Converters write a reshape to a fixed shape as SHAPE, STRIDED_SLICE, PACK, RESHAPE. Shapes are those at batch 1. Where
a file leaves sizes open that follow from such values, they are settled in the same walk (`shapes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from slimai.graph.ir import Array
from slimai.graph.tflite.file import FileModel, FileOperator, FileTensor
from slimai.graph.tflite.folders import ARITHMETIC, MOVES
from slimai.graph.tflite.shapes import settled_shapes

LARGEST_FOLDED = 2**24  # elements of a result; larger ones are no arithmetic on shapes, and may be a bomb
_QUANTIZED = frozenset({"int8", "uint8", "int16"})
_OF_SHAPES = {"SHAPE": lambda item: np.array(item.shape), "RANK": lambda item: np.array(len(item.shape))}
_FAILURES = (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AttributeError)


def folded(model: FileModel) -> FileModel:
    """Return the model without operators whose inputs are all constant; their results are constants of the model.

    An operator that does not fit its inputs stays, for its rule to say so.
    """
    tensors, kept, counted = list(model.tensors), [], Counter[str]()
    for op in model.operators:
        for number, shape in settled_shapes(op, tensors).items():
            tensors[number] = replace(tensors[number], shape=shape, signature=shape)
        results = _results(op, tensors)
        if results is None:
            kept.append(op)
            continue
        counted[op.code] += 1
        for number, value in zip(op.outputs, results, strict=True):
            tensors[number] = replace(tensors[number], data=value, shape=tuple(value.shape))
    if not counted:
        return replace(model, tensors=tuple(tensors))
    text = ", ".join(f"{code} {count}" for code, count in sorted(counted.items()))
    history = (*model.history, f"operators on constants and shapes computed: {text}")
    return replace(model, tensors=tuple(tensors), operators=tuple(kept), history=history)


def _results(op: FileOperator, tensors: Sequence[FileTensor]) -> list[Array] | None:
    """Return what the operator writes, or None where that is not known before the network runs."""
    outputs = [tensors[number] for number in op.outputs]
    if not outputs or -1 in op.inputs or op.options.get("FusedActivationFunction", 0):
        return None
    if any(prod(item.shape) > LARGEST_FOLDED for item in outputs):
        return None
    items = [tensors[number] for number in op.inputs]
    try:
        found = _computed(op, items, outputs)
    except _FAILURES:
        return None
    if found is None or len(found) != len(outputs) or any(value.size > LARGEST_FOLDED for value in found):
        return None
    fits = all(value.dtype == item.dtype for value, item in zip(found, outputs, strict=True))
    return found if fits else None


def _computed(op: FileOperator, items: Sequence[FileTensor], outputs: Sequence[FileTensor]) -> list[Array] | None:
    if op.code in _OF_SHAPES and len(items) == 1:
        return [_OF_SHAPES[op.code](items[0]).astype(outputs[0].dtype)]
    values = [np.asarray(item.data) for item in items if item.data is not None]
    if len(values) < len(items):
        return None
    if op.code == "DEQUANTIZE" and len(items) == 1:
        return [_real(items[0], values[0])]
    quantized = [item for item in (*items, *outputs) if item.dtype in _QUANTIZED]
    if op.code not in (MOVES if quantized else {**MOVES, **ARITHMETIC}) or not _one_grid(quantized):
        return None
    with np.errstate(all="raise", over="ignore", under="ignore"):
        found = {**MOVES, **ARITHMETIC}[op.code](values, op.options, outputs)
    return [np.asarray(value) for value in found]


def _one_grid(items: Sequence[FileTensor]) -> bool:
    """Return whether quantized tensors share one scale and zero point, so that moving integers keeps their values."""
    grids = {(item.dtype, item.scale.tobytes(), item.zero_point.tobytes()) for item in items}
    return len(grids) < 2 and all(item.scale.size < 2 for item in items)


def _real(item: FileTensor, value: Array) -> Array:
    if item.dtype not in _QUANTIZED:
        return value.astype(np.float32)
    if not item.scale.size or item.scale.size not in {1, value.shape[item.axis] if value.ndim else 1}:
        raise ValueError("scales do not fit")
    shape = [1] * value.ndim
    if item.scale.size > 1:
        shape[item.axis] = item.scale.size
    zero = item.zero_point.reshape(shape) if item.zero_point.size > 1 else item.zero_point[0]
    scale = item.scale.astype(np.float32).reshape(shape if value.ndim else ())
    return np.asarray((value.astype(np.int64) - zero).astype(np.float32) * scale, np.float32)
