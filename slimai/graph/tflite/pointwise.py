"""Operators that work element by element, softmax, and changes of the grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.stored import constant_problem

Rule = Callable[[Builder, FileOperator], None]


def two_operands(kind: str, **attrs: int) -> Rule:
    """Return the rule of ADD, SUB, MUL, MAXIMUM ...; one operand may be a stored constant."""

    def rule(b: Builder, op: FileOperator) -> None:
        constant = [b.tensor(op, position).data is not None for position in (0, 1)]
        if all(constant):
            raise b.wrong(op, "both operands are constants")
        names = [_operand(b, op, position, constant=constant[position]) for position in (0, 1)]
        try:
            shape = np.broadcast_shapes(b.shape(op, 0), b.shape(op, 1))
        except ValueError:
            raise b.wrong(op, "its operands do not broadcast", [list(b.shape(op, 0)), list(b.shape(op, 1))]) from None
        b.emit_clamped(op, kind, names, dict(attrs), shape=shape)

    return rule


def squared_difference(b: Builder, op: FileOperator) -> None:
    """SQUARED_DIFFERENCE, of 8 bits."""
    if any(b.tensor(op, position).dtype == "int16" for position in (0, 1)):
        raise b.wrong(op, "TFLite has no kernel of it for 16 bits", "int16")
    two_operands("SquaredDifference")(b, op)


def _operand(b: Builder, op: FileOperator, position: int, *, constant: bool) -> str:
    if not constant:
        return b.activation(op, position)
    name = b.constant(op, position)
    _one_scale(b, op, name)
    return name


def _one_scale(b: Builder, op: FileOperator, name: str) -> None:
    problem = constant_problem(b.params[name])
    if problem:
        raise b.wrong(op, f"constant '{name}' {problem}", b.params[name].dtype)


def unary(kind: str, **attrs: float) -> Rule:
    """Return the rule of an operator with one input and no options."""

    def rule(b: Builder, op: FileOperator) -> None:
        x = b.activation(op, 0)
        b.expect(op, b.shape(op))
        b.emit(kind, (x,), (b.output(op),), dict(attrs))

    return rule


def gelu(b: Builder, op: FileOperator) -> None:
    """GELU by erf, or by tanh where its option says so."""
    form = "tanh" if b.option(op, "Approximate") else "none"
    x = b.activation(op, 0)
    b.expect(op, b.shape(op))
    b.emit("Gelu", (x,), (b.output(op),), {"approximate": form})


def leaky_relu(b: Builder, op: FileOperator) -> None:
    """LEAKY_RELU with its slope."""
    alpha = float(b.option(op, "Alpha"))
    if not np.isfinite(alpha):
        raise b.wrong(op, "its slope is not a number", alpha)
    unary("LeakyRelu", alpha=alpha)(b, op)


def prelu(b: Builder, op: FileOperator) -> None:
    """PRELU with stored slopes, one a channel or one for all."""
    x, slope = b.activation(op, 0), b.constant(op, 1)
    _one_scale(b, op, slope)
    if _broadcast(b.shape(op, 0), b.shape(op, 1)) != b.shape(op, 0):
        raise b.wrong(op, "its slopes do not fit its input", list(b.shape(op, 1)))
    b.expect(op, b.shape(op))
    b.emit("PRelu", (x, slope), (b.output(op),))


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return None


# Scale and zero point that TFLite's kernels take for granted, by type.
_FIXED = {
    "SOFTMAX": {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)},
    "LOGISTIC": {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)},
    "TANH": {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)},
}


def fixed(kind: str) -> Rule:
    """Return the rule of LOGISTIC or TANH, whose output grid is part of the operator."""

    def rule(b: Builder, op: FileOperator) -> None:
        unary(kind)(b, op)
        _check_grid(b, op)

    return rule


def _check_grid(b: Builder, op: FileOperator) -> None:
    grid = b.params[b.names[op.outputs[0]]]
    scale, zero = _FIXED[op.code][grid.dtype]
    if abs(grid.scale[0] - scale) > 1e-3 * scale or grid.zero_point != zero:
        raise b.wrong(
            op,
            f"the output's scale and zero point are not {scale:g} and {zero}",
            [float(grid.scale[0]), grid.zero_point],
        )


def softmax(b: Builder, op: FileOperator) -> None:
    """SOFTMAX along the last axis, with beta 1."""
    x, beta = b.activation(op, 0), b.option(op, "Beta")
    if beta != 1.0 or not b.shape(op):
        raise b.wrong(op, "only a beta of 1 is supported", beta)
    b.expect(op, b.shape(op))
    b.emit("Softmax", (x,), (b.output(op),), {"axis": len(b.shape(op)) - 1, "interpolated": 1})
    _check_grid(b, op)


def quantize(b: Builder, op: FileOperator) -> None:
    """QUANTIZE between two integer grids."""
    x = b.activation(op, 0)
    b.expect(op, b.shape(op))
    b.emit("Requantize", (x,), (b.output(op),))


RULES: dict[str, Rule] = {
    "ADD": two_operands("Add"),
    "SUB": two_operands("Sub"),
    "MUL": two_operands("Mul"),
    "MAXIMUM": two_operands("Max", integers_kept=1),
    "MINIMUM": two_operands("Min", integers_kept=1),
    "SQUARED_DIFFERENCE": squared_difference,
    "RELU": unary("Relu"),
    "RELU6": unary("Clip", lo=0.0, hi=6.0),
    "RELU_N1_TO_1": unary("Clip", lo=-1.0, hi=1.0),
    "HARD_SWISH": unary("HardSwish"),
    "LOGISTIC": fixed("Sigmoid"),
    "TANH": fixed("Tanh"),
    "GELU": gelu,
    "EXP": unary("Exp"),
    "ABS": unary("Abs"),
    **{code: unary(op, as_tflite=1) for code, op in (("SQRT", "Sqrt"), ("RSQRT", "Rsqrt"), ("LOG", "Log"))},
    "LEAKY_RELU": leaky_relu,
    "PRELU": prelu,
    "SOFTMAX": softmax,
    "QUANTIZE": quantize,
}
