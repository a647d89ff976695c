"""What operators compute of constants, in NumPy. TFLite's meaning: integers wrap, a quotient of them is truncated.

A folder gets the inputs, the options and the tensors to be written, and returns their values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slimai.graph.ir import Array
from slimai.graph.tflite.cut import strided_cuts
from slimai.graph.tflite.file import FileTensor

Values = Sequence[Array]
Outputs = Sequence[FileTensor]
Folder = Callable[[Values, Mapping[str, Any], Outputs], Sequence[Any]]
_LARGEST = 2**24


def _numbers(value: Array) -> list[int]:
    if value.dtype.kind != "i":
        raise TypeError("integers are expected")
    return [int(item) for item in value.reshape(-1)]


def _bounded(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape that may be made; ValueError when it is impossible or too large."""
    total = 1
    for size in shape:
        total *= size
        if size < 0 or total > _LARGEST:
            raise ValueError("the size of a result")
    return tuple(shape)


def _reshape(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    shape = _numbers(values[1]) if len(values) > 1 else outputs[0].shape
    return [values[0].reshape(shape)]


def _declared(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    return [values[0].reshape(outputs[0].shape)]


def _expand_dims(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    return [np.expand_dims(values[0], _numbers(values[1])[0])]


def _transpose(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    return [_own(values[0].transpose(_numbers(values[1])))]


def _concatenation(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del outputs
    return [np.concatenate(values, int(options["Axis"]))]


def _pack(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del outputs
    return [np.stack(values, int(options["Axis"]))]


def _own(values: Any) -> Any:
    """Return an array of its own, of as many axes (`ascontiguousarray` gives a scalar one)."""
    return np.array(values, order="C")


def _unpack(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del outputs
    moved = np.moveaxis(values[0], int(options["Axis"]), 0)
    return [_own(part) for part in moved]


def _slice(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    begins, sizes = _numbers(values[1]), _numbers(values[2])
    ends = [n if size == -1 else b + size for b, size, n in zip(begins, sizes, values[0].shape, strict=True)]
    if any(not 0 <= b <= end <= n for b, end, n in zip(begins, ends, values[0].shape, strict=True)):
        raise ValueError("begin and size leave the input")
    return [values[0][tuple(slice(b, end) for b, end in zip(begins, ends, strict=True))]]


def _strided_slice(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del outputs
    cuts, kept = strided_cuts(values[0].shape, [_numbers(item) for item in values[1:4]], options)
    taken = values[0]
    for axis, cut in enumerate(cuts):
        taken = taken.take(range(*cut), axis)
    return [taken.reshape(kept)]


def _split(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    return [_own(part) for part in np.split(values[1], len(outputs), _numbers(values[0])[0])]


def _split_v(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    sizes, axis = _numbers(values[1]), _numbers(values[2])[0]
    total = values[0].shape[axis]
    sizes = [total - sum(n for n in sizes if n >= 0) if size == -1 else size for size in sizes]
    if min(sizes) < 0 or sum(sizes) != total:
        raise ValueError("parts do not make up the axis")
    return [_own(part) for part in np.split(values[0], np.cumsum(sizes)[:-1], axis)]


def _gather(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del outputs
    if options["BatchDims"] or values[1].min(initial=0) < 0:
        raise ValueError("its indices")
    return [values[0].take(values[1], int(options["Axis"]))]


def _gather_nd(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    if values[1].min(initial=0) < 0:
        raise ValueError("its indices")
    return [values[0][tuple(np.moveaxis(values[1], -1, 0))]]


def _tile(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    repeats = _numbers(values[1])
    _bounded([n * times for n, times in zip(values[0].shape, repeats, strict=True)])
    return [np.tile(values[0], repeats)]


def _broadcast_to(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    return [_own(np.broadcast_to(values[0], _bounded(_numbers(values[1]))))]


def _reverse(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    return [_own(np.flip(values[0], tuple(_numbers(values[1]))))]


def _plain(compute: Callable[..., Any]) -> Folder:
    """Return the folder of a function of the inputs whose result has the type of the tensor that is written."""

    def fold(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
        del options
        return [np.asarray(compute(*values)).astype(outputs[0].dtype)]

    return fold


def _same(compute: Callable[..., Any]) -> Folder:
    """Return the folder of a function that keeps the type of its inputs, which is one."""

    def fold(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
        del options, outputs
        if len({value.dtype for value in values}) > 1:
            raise TypeError("inputs of one type are expected")
        return [np.asarray(compute(*values))]

    return fold


def _reduced(compute: Callable[..., Any]) -> Folder:
    def fold(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
        del outputs
        axes = tuple(_numbers(values[1]))
        return [np.asarray(compute(values[0], axis=axes, keepdims=bool(options["KeepDims"]))).astype(values[0].dtype)]

    return fold


def _divided(a: Array, b: Array) -> Array:
    if a.dtype.kind != "i":
        return np.asarray(a / b)
    if not b.all():
        raise ZeroDivisionError
    whole = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -whole, whole).astype(a.dtype)


def _floor_divided(a: Array, b: Array) -> Array:
    if not b.all():
        raise ZeroDivisionError
    return np.asarray(np.floor_divide(a, b))


def _remainder(a: Array, b: Array) -> Array:
    if not b.all():
        raise ZeroDivisionError
    return np.asarray(np.mod(a, b))


def _cast(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    with np.errstate(invalid="raise"):
        return [values[0].astype(outputs[0].dtype)]


def _range(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    start, limit, delta = (value.reshape(()).item() for value in values)
    _bounded([max(0, int(np.ceil((limit - start) / delta)))])
    return [np.arange(start, limit, delta).astype(outputs[0].dtype)]


def _fill(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    return [np.full(_bounded(_numbers(values[0])), values[1].reshape(()))]


def _broadcast_args(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options
    shape = np.broadcast_shapes(tuple(_numbers(values[0])), tuple(_numbers(values[1])))
    return [np.array(shape, outputs[0].dtype)]


def _pad(values: Values, options: Mapping[str, Any], outputs: Outputs) -> Sequence[Any]:
    del options, outputs
    widths = np.array(_numbers(values[1])).reshape(values[0].ndim, 2)
    _bounded([n + int(w.sum()) for n, w in zip(values[0].shape, widths, strict=True)])
    value = values[2].reshape(()) if len(values) > 2 else 0
    return [np.pad(values[0], widths, constant_values=value)]


# Integers of a quantized constant keep their meaning under these.
MOVES: Mapping[str, Folder] = {
    "RESHAPE": _reshape, "SQUEEZE": _declared, "EXPAND_DIMS": _expand_dims, "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation, "PACK": _pack, "UNPACK": _unpack, "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice, "SPLIT": _split, "SPLIT_V": _split_v, "GATHER": _gather,
    "GATHER_ND": _gather_nd, "TILE": _tile, "BROADCAST_TO": _broadcast_to, "REVERSE_V2": _reverse,
}  # fmt: skip
ARITHMETIC: Mapping[str, Folder] = {
    "ADD": _same(np.add), "SUB": _same(np.subtract), "MUL": _same(np.multiply), "DIV": _same(_divided),
    "FLOOR_DIV": _same(_floor_divided), "FLOOR_MOD": _same(_remainder), "MAXIMUM": _same(np.maximum),
    "MINIMUM": _same(np.minimum), "POW": _same(np.power), "NEG": _same(np.negative), "ABS": _same(np.abs),
    "SQUARE": _same(np.square), "SQRT": _same(np.sqrt), "RSQRT": _same(lambda x: 1 / np.sqrt(x)), "EXP": _same(np.exp),
    "LOG": _same(np.log), "FLOOR": _same(np.floor), "CEIL": _same(np.ceil),
    "EQUAL": _plain(np.equal), "NOT_EQUAL": _plain(np.not_equal), "LESS": _plain(np.less),
    "LESS_EQUAL": _plain(np.less_equal), "GREATER": _plain(np.greater), "GREATER_EQUAL": _plain(np.greater_equal),
    "LOGICAL_AND": _plain(np.logical_and), "LOGICAL_OR": _plain(np.logical_or), "LOGICAL_NOT": _plain(np.logical_not),
    "SELECT_V2": _plain(np.where), "SELECT": _plain(np.where), "ZEROS_LIKE": _same(np.zeros_like),
    "REDUCE_PROD": _reduced(np.prod), "SUM": _reduced(np.sum), "REDUCE_MAX": _reduced(np.max),
    "REDUCE_MIN": _reduced(np.min), "REDUCE_ANY": _reduced(np.any), "REDUCE_ALL": _reduced(np.all),
    "CAST": _cast, "RANGE": _range, "FILL": _fill, "BROADCAST_ARGS": _broadcast_args, "PAD": _pad, "PADV2": _pad,
}  # fmt: skip
