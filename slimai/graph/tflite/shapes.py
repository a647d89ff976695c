"""Sizes that a file leaves open (-1 in a signature, 1 in the shape) and that follow from its constants.

A converter that cannot follow SHAPE, PACK, RESHAPE writes 1 for what it does not know, and TFLite finds the sizes
when it runs. The first axis of a network input is a batch, and is 1 here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from slimai.graph.ir import Array
from slimai.graph.tflite.cut import strided_cuts
from slimai.graph.tflite.file import FileOperator, FileTensor
from slimai.graph.tflite.matrix import axis_window

Shape = tuple[int, ...]
Tensors = Sequence[FileTensor]
_FAILURES = (ValueError, IndexError, KeyError, TypeError, ArithmeticError)


def settled_shapes(op: FileOperator, tensors: Tensors) -> dict[int, Shape]:
    """Return tensor number -> shape of the outputs whose sizes are open and can be told from the inputs.

    An operator whose shapes are not known here, or that does not fit its inputs, gives nothing.
    """
    open_outputs = [number for number in op.outputs if -1 in tensors[number].signature]
    if not open_outputs or op.code not in SHAPES or not op.inputs:
        return {}
    try:
        found = SHAPES[op.code](op, tensors)
    except _FAILURES:
        return {}
    shapes = found if isinstance(found, list) else [found] * len(op.outputs)
    return {
        number: tuple(int(size) for size in shape)
        for number, shape in zip(op.outputs, shapes, strict=False)
        if number in open_outputs and min(shape, default=1) > 0
    }


def _shape(op: FileOperator, tensors: Tensors, position: int = 0) -> Shape:
    return tensors[op.inputs[position]].shape


def _numbers(op: FileOperator, tensors: Tensors, position: int) -> list[int]:
    data = tensors[op.inputs[position]].data
    if data is None or data.dtype.kind != "i":
        raise ValueError("a constant of integers is expected")
    return [int(value) for value in data.reshape(-1)]


def _same(op: FileOperator, tensors: Tensors) -> Shape:
    return _shape(op, tensors)


def _broadcast(op: FileOperator, tensors: Tensors) -> Shape:
    return np.broadcast_shapes(*(tensors[number].shape for number in op.inputs))


def _reshape(op: FileOperator, tensors: Tensors) -> Shape:
    wanted = _numbers(op, tensors, 1)
    count = prod(_shape(op, tensors))
    if wanted.count(-1) == 1:
        wanted[wanted.index(-1)] = count // -prod(wanted)
    if prod(wanted) != count:
        raise ValueError("the shape does not fit")
    return tuple(wanted)


def _expand_dims(op: FileOperator, tensors: Tensors) -> Shape:
    return np.expand_dims(_dummy(_shape(op, tensors)), _numbers(op, tensors, 1)[0]).shape


def _squeeze(op: FileOperator, tensors: Tensors) -> Shape:
    shape = _shape(op, tensors)
    gone = {axis % len(shape) for axis in op.options["SqueezeDims"]} or {i for i, size in enumerate(shape) if size == 1}
    return tuple(size for i, size in enumerate(shape) if i not in gone)


def _transpose(op: FileOperator, tensors: Tensors) -> Shape:
    shape = _shape(op, tensors)
    return tuple(shape[axis] for axis in _numbers(op, tensors, 1))


def _window(op: FileOperator, tensors: Tensors, kernel: Sequence[int], channels: int) -> Shape:
    shape, options = _shape(op, tensors), op.options
    strides = (options["StrideH"], options["StrideW"])
    dilations = (options.get("DilationHFactor", 1), options.get("DilationWFactor", 1))
    sides = [
        axis_window(n, k, s, d, options["Padding"])[0]
        for n, k, s, d in zip(shape[1:3], kernel, strides, dilations, strict=True)
    ]
    return (shape[0], *sides, channels)


def _conv(op: FileOperator, tensors: Tensors) -> Shape:
    outputs, rows, columns, _ = _shape(op, tensors, 1)
    return _window(op, tensors, (rows, columns), outputs)


def _depthwise(op: FileOperator, tensors: Tensors) -> Shape:
    _, rows, columns, outputs = _shape(op, tensors, 1)
    return _window(op, tensors, (rows, columns), outputs)


def _pool(op: FileOperator, tensors: Tensors) -> Shape:
    kernel = (op.options["FilterHeight"], op.options["FilterWidth"])
    return _window(op, tensors, kernel, _shape(op, tensors)[3])


def _dense(op: FileOperator, tensors: Tensors) -> Shape:
    shape, (outputs, depth) = _shape(op, tensors), _shape(op, tensors, 1)
    return (*shape[:-1], outputs) if op.options.get("KeepNumDims") else (prod(shape) // depth, outputs)


def _matmul(op: FileOperator, tensors: Tensors) -> Shape:
    sides = [
        (*shape[:-2], shape[-1], shape[-2]) if op.options[option] else shape
        for shape, option in ((_shape(op, tensors, i), f"Adj{'XY'[i]}") for i in (0, 1))
    ]
    return (*np.broadcast_shapes(sides[0][:-2], sides[1][:-2]), sides[0][-2], sides[1][-1])


def _reduced(op: FileOperator, tensors: Tensors) -> Shape:
    shape = _shape(op, tensors)
    axes = {axis % len(shape) for axis in _numbers(op, tensors, 1)}
    keep = bool(op.options["KeepDims"])
    return tuple(1 if i in axes else size for i, size in enumerate(shape) if keep or i not in axes)


def _concatenation(op: FileOperator, tensors: Tensors) -> Shape:
    return np.concatenate([_dummy(tensors[number].shape) for number in op.inputs], int(op.options["Axis"])).shape


def _pack(op: FileOperator, tensors: Tensors) -> Shape:
    return np.stack([_dummy(tensors[number].shape) for number in op.inputs], int(op.options["Axis"])).shape


def _unpack(op: FileOperator, tensors: Tensors) -> Shape:
    shape = list(_shape(op, tensors))
    del shape[int(op.options["Axis"])]
    return tuple(shape)


def _strided(op: FileOperator, tensors: Tensors) -> Shape:
    bounds = [_numbers(op, tensors, position) for position in (1, 2, 3)]
    return strided_cuts(_shape(op, tensors), bounds, op.options)[1]


def _slice(op: FileOperator, tensors: Tensors) -> Shape:
    begins, sizes = _numbers(op, tensors, 1), _numbers(op, tensors, 2)
    return tuple(
        n - begin if size == -1 else size for n, begin, size in zip(_shape(op, tensors), begins, sizes, strict=True)
    )


def _split(op: FileOperator, tensors: Tensors) -> Shape:
    shape, axis = list(_shape(op, tensors, 1)), _numbers(op, tensors, 0)[0]
    shape[axis] //= len(op.outputs)
    return tuple(shape)


def _split_v(op: FileOperator, tensors: Tensors) -> list[Shape]:
    shape, sizes, axis = _shape(op, tensors), _numbers(op, tensors, 1), _numbers(op, tensors, 2)[0]
    axis %= len(shape)
    rest = shape[axis] - sum(size for size in sizes if size >= 0)
    return [(*shape[:axis], rest if size == -1 else size, *shape[axis + 1 :]) for size in sizes]


def _pad(op: FileOperator, tensors: Tensors) -> Shape:
    widths = _numbers(op, tensors, 1)
    return tuple(n + widths[2 * i] + widths[2 * i + 1] for i, n in enumerate(_shape(op, tensors)))


def _gather(op: FileOperator, tensors: Tensors) -> Shape:
    shape, axis = _shape(op, tensors), int(op.options["Axis"]) % max(len(_shape(op, tensors)), 1)
    return (*shape[:axis], *_shape(op, tensors, 1), *shape[axis + 1 :])


def _tile(op: FileOperator, tensors: Tensors) -> Shape:
    return tuple(n * times for n, times in zip(_shape(op, tensors), _numbers(op, tensors, 1), strict=True))


def _target(position: int) -> Callable[[FileOperator, Tensors], Shape]:
    return lambda op, tensors: tuple(_numbers(op, tensors, position))


def _resized(op: FileOperator, tensors: Tensors) -> Shape:
    shape = _shape(op, tensors)
    return (shape[0], *_numbers(op, tensors, 1), shape[3])


def _blocks(op: FileOperator, tensors: Tensors) -> Shape:
    count, height, width, channels = _shape(op, tensors)
    block = int(op.options["BlockSize"])
    if op.code == "SPACE_TO_DEPTH":
        return (count, height // block, width // block, channels * block * block)
    return (count, height * block, width * block, channels // (block * block))


def _dummy(shape: Shape) -> Array:
    """Return an array of this shape that takes no memory."""
    return np.broadcast_to(np.int8(0), shape)


_KEEPING = (
    "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU PRELU HARD_SWISH ELU GELU LOGISTIC TANH EXP LOG SQRT RSQRT ABS NEG "
    "SQUARE SIN COS FLOOR CEIL ROUND SIGN SOFTMAX LOG_SOFTMAX L2_NORMALIZATION CAST "
    "QUANTIZE DEQUANTIZE REVERSE_V2 LOGICAL_NOT"
)
_BROADCASTING = (
    "ADD SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV ADD_N LESS LESS_EQUAL GREATER GREATER_EQUAL "
    "EQUAL NOT_EQUAL LOGICAL_AND LOGICAL_OR SELECT_V2"
)
SHAPES: dict[str, Callable[[FileOperator, Tensors], Shape | list[Shape]]] = {
    **dict.fromkeys(_KEEPING.split(), _same),
    **dict.fromkeys(_BROADCASTING.split(), _broadcast),
    "RESHAPE": _reshape, "EXPAND_DIMS": _expand_dims, "SQUEEZE": _squeeze, "TRANSPOSE": _transpose,
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool,
    "FULLY_CONNECTED": _dense, "BATCH_MATMUL": _matmul,
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), _reduced),
    "CONCATENATION": _concatenation, "PACK": _pack, "UNPACK": _unpack, "STRIDED_SLICE": _strided, "SLICE": _slice,
    "SPLIT": _split, "SPLIT_V": _split_v, **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "GATHER": _gather, "TILE": _tile, "BROADCAST_TO": _target(1), "TRANSPOSE_CONV": _target(0),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resized),
    **dict.fromkeys(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), _blocks),
}  # fmt: skip
