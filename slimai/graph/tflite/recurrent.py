"""UNIDIRECTIONAL_SEQUENCE_LSTM, int8 and int16x8: four gates of TFLite's own order become one LSTM, steps first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimai.graph.ir import Array, TensorInfo
from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.file import FileOperator, FileTensor
from slimai.graph.tflite.move import KEPT
from slimai.graph.tflite.stored import StoredParams

_INPUT, _RECURRENT, _BIAS = (
    1,
    5,
    12,
)  # first input position of each kind, gates in the order input, forget, cell, output
_HIDDEN, _CELL = 18, 19
_ONNX_ORDER = (0, 3, 1, 2)
_LEFT_OUT = {
    "a connection from cells to gates": range(9, 12),
    "a projection": range(16, 18),
    "layer normalization": range(20, 24),
}
_TANH = 4
_BIASES = {"int8": "int32", "int16": "int64"}  # by the type of the activations


def lstm(b: Builder, op: FileOperator) -> None:
    """The LSTM with int8 weights of one scale a gate and an int16 cell; its states begin at zero.

    Its input and output have one type: int8 with int32 biases, or int16 with int64 ones.
    """
    for what, positions in _LEFT_OUT.items():
        if any(b.has(op, position) for position in positions):
            raise b.wrong(op, f"{what} is not supported")
    if not b.has(op, _INPUT):
        raise b.wrong(op, "coupled input and forget gates are not supported")
    if b.option(op, "FusedActivationFunction") != _TANH or b.option(op, "ProjClip"):
        raise b.wrong(op, "another function than tanh, or clipping of a projection, is not supported")
    x, shape = b.activation(op, 0), b.shape(op)
    if len(shape) != 3:
        raise b.wrong(op, "its input has not three axes", list(shape))
    units, steps_first = b.shape(op, _RECURRENT)[-1], bool(b.option(op, "TimeMajor"))
    steps, batch = shape[:2] if steps_first else shape[1::-1]
    b.expect(op, (*shape[:2], units))
    output = b.output(op)
    kinds = b.params[x].dtype, b.params[output].dtype
    if kinds[0] != kinds[1] or kinds[0] not in _BIASES:
        raise b.wrong(op, "its input and output are not both int8 or both int16", " and ".join(kinds))
    _check_states(b, op, output)
    names = [
        _stacked(b, op, _INPUT, output, "weights", (units, shape[2])),
        _stacked(b, op, _RECURRENT, output, "recurrent", (units, units)),
        _biases(b, op, x, output, units),
    ]
    if not steps_first:
        turned = b.inner(f"{x}__steps_first", x, (steps, batch, shape[2]))
        b.emit("Transpose", (x,), (turned,), {"perm": (1, 0, 2), **KEPT})
        x = turned
    y, flat = b.inner(f"{output}__y", output, (steps, 1, batch, units)), (steps, batch, units)
    cells = b.fresh(f"{output}__cells")
    b.tensors[cells] = TensorInfo(cells, (steps, 1, batch, units))
    b.params[cells] = StoredParams("int16", b.tensor(op, _CELL).scale)
    attrs = {"direction": "forward", "hidden_size": units, "cell_clip": float(b.option(op, "CellClip"))}
    b.emit("LSTM", (x, *names), (y, "", "", cells), attrs)
    last = output if steps_first else b.inner(f"{output}__steps_first", output, flat)
    b.emit("Reshape", (y,), (last,), {"shape": flat, **KEPT})
    if not steps_first:
        b.emit("Transpose", (last,), (output,), {"perm": (1, 0, 2), **KEPT})


def _check_states(b: Builder, op: FileOperator, output: str) -> None:
    """Refuse states that are given, and hidden values on another grid than the output's."""
    cell, own = b.tensor(op, _CELL), b.params[output]
    for position in (_HIDDEN, _CELL):
        if not b.tensor(op, position).variable:
            raise b.wrong(op, f"input {position}, a state, is no variable of the file")
    if (
        cell.dtype != "int16"
        or cell.scale.size != 1
        or cell.zero_point.any()
        or not _power_of_two(float(cell.scale[0]))
    ):
        message = "its cell is not int16 with a power of two from 2^-15 to 2^-3 as its scale"
        raise b.wrong(op, message, cell.dtype)
    told = [b.tensor(op, _HIDDEN)]
    told += [b.model.tensors[number] for number in op.intermediates[4:5] if number >= 0]
    for item in told:
        given = (item.dtype, item.scale.tolist(), item.zero_point.tolist())
        if given != (own.dtype, own.scale.tolist(), [own.zero_point]):
            raise b.wrong(op, f"'{item.name}' has not the scale and zero point of the output")


def _power_of_two(scale: float) -> bool:
    return 2.0**-15 <= scale <= 2.0**-3 and float(np.frexp(scale)[0]) == 0.5


def _gates(b: Builder, op: FileOperator, first: int, dtype: str, shape: tuple[int, ...]) -> list[FileTensor]:
    """Return the constants of the four gates in ONNX's order."""
    found = [b.tensor(op, first + gate) for gate in _ONNX_ORDER]
    for item in found:
        if item.data is None or item.dtype != dtype or item.shape != shape or item.zero_point.any():
            raise b.wrong(op, f"'{item.name}' is not a constant {dtype} of the shape {list(shape)} without zero point")
    return found


def _stacked(b: Builder, op: FileOperator, first: int, output: str, what: str, shape: tuple[int, ...]) -> str:
    """Return the name of the weights [1, 4H, K] of all gates, whose scales are repeated for each row."""
    found = _gates(b, op, first, "int8", shape)
    if any(item.scale.size != 1 or not 0 < item.scale[0] < np.inf for item in found):
        raise b.wrong(op, f"its {what} have not one positive scale a gate")
    values: Array = np.concatenate([item.data for item in found if item.data is not None])[None]
    return _added(b, f"{output}__{what}", values, np.repeat([item.scale[0] for item in found], shape[0]))


def _biases(b: Builder, op: FileOperator, x: str, output: str, units: int) -> str:
    """Return the name of the biases [1, 8H] at s_x * s_w, the second half zeros."""
    kind = _BIASES[b.params[x].dtype]
    found = _gates(b, op, _BIAS, kind, (units,))
    first = np.concatenate([item.data for item in found if item.data is not None])
    weights, recurrent = (b.params[f"{output}__{what}"].scale for what in ("weights", "recurrent"))
    scale = np.concatenate([b.params[x].scale * weights, b.params[output].scale * recurrent])
    values = np.concatenate([first, np.zeros(4 * units, kind)])[None].astype(kind)
    return _added(b, f"{output}__bias", values, scale)


def _added(b: Builder, name: str, values: Array, scale: Array) -> str:
    """Add a constant with a scale for each entry of axis 1 and return its name."""
    if name != b.fresh(name):
        raise ValueError(f"the file already has a tensor '{name}'")
    b.params[name] = StoredParams(values.dtype.name, scale, 0, 1)
    b.add_constant(name, np.ascontiguousarray(values))
    return name


RULES: dict[str, Callable[[Builder, FileOperator], None]] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm}
