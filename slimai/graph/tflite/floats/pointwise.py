"""Operators that work element by element, and those along the last axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slimai.graph.tflite.file import FileOperator
from slimai.graph.tflite.floats.writer import Writer

Rule = Callable[[Writer, FileOperator], None]
L2_FLOOR = 1e-6  # of the norm that L2_NORMALIZATION divides by: TFLite, reference/l2normalization.h


def elementwise(kind: str, **attrs: Any) -> Rule:
    """Return the rule of an operator whose inputs broadcast and whose name in ONNX is `kind`."""

    def rule(w: Writer, op: FileOperator) -> None:
        names, first = w.operands(op, range(len(op.inputs)))
        w.emit(op, kind, names, attrs, first=first)

    return rule


def composed(*kinds: str) -> Rule:
    """Return the rule of ONNX operators one after the other; the first takes all inputs."""

    def rule(w: Writer, op: FileOperator) -> None:
        names, first = w.operands(op, range(len(op.inputs)))
        for kind in kinds[:-1]:
            names = [w.add(kind, names, w.inner(op, kind.lower()))]
        w.emit(op, kinds[-1], names, first=first)

    return rule


def clipped(low: float, high: float) -> Rule:
    """Return the rule of a clamp between two limits."""

    def rule(w: Writer, op: FileOperator) -> None:
        (x,), first = w.operands(op, (0,))
        w.clip(x, w.output(op, first=first), ("Clip", {"lo": low, "hi": high}))

    return rule


def square(w: Writer, op: FileOperator) -> None:
    """SQUARE: x times itself."""
    (x,), first = w.operands(op, (0,))
    w.emit(op, "Mul", (x, x), first=first)


def squared_difference(w: Writer, op: FileOperator) -> None:
    """SQUARED_DIFFERENCE."""
    names, first = w.operands(op, (0, 1))
    found = w.add("Sub", names, w.inner(op, "difference"))
    w.emit(op, "Mul", (found, found), first=first)


def gelu(w: Writer, op: FileOperator) -> None:
    """GELU by erf, or by tanh where its option says so."""
    elementwise("Gelu", approximate="tanh" if w.option(op, "Approximate") else "none")(w, op)


def leaky_relu(w: Writer, op: FileOperator) -> None:
    """LEAKY_RELU with its slope."""
    alpha = float(w.option(op, "Alpha"))
    if not np.isfinite(alpha):
        raise w.wrong(op, "its slope is not a number", alpha)
    elementwise("LeakyRelu", alpha=alpha)(w, op)


def prelu(w: Writer, op: FileOperator) -> None:
    """PRELU with stored slopes that broadcast to the input."""
    slopes, shape = w.values(op, 1), w.shape(op)
    try:
        fits = np.broadcast_shapes(shape, slopes.shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise w.wrong(op, "its slopes do not fit its input", list(slopes.shape))
    (x, slope), first = w.operands(op, (0, 1))
    if first:  # ONNX: the batch has no slopes of its own
        slope = w.constant(slope, w.constants[slope][0]) if w.constants[slope].shape[:1] == (1,) else slope
    w.emit(op, "PRelu", (x, slope), first=first)


def softmax(kind: str) -> Rule:
    """Return the rule of SOFTMAX and LOG_SOFTMAX along the last axis."""

    def rule(w: Writer, op: FileOperator) -> None:
        beta = float(w.option(op, "Beta")) if kind == "Softmax" else 1.0
        if not w.shape(op) or not np.isfinite(beta):
            raise w.wrong(op, "its input has no axis, or its beta is not a number", beta)
        first = w.prefers_first(op)
        x = w.picture(op) if first else w.filed(op)
        if beta != 1.0:
            scale = w.constant(f"{w.names[op.outputs[0]]}__beta", np.float32(beta))
            x = w.add("Mul", (x, scale), w.inner(op, "scaled"))
        w.emit(op, kind, (x,), {"axis": 1 if first else len(w.shape(op)) - 1}, first=first)

    return rule


def l2_normalization(w: Writer, op: FileOperator) -> None:
    """L2_NORMALIZATION along the last axis: x / max(|x|, 1e-6)."""
    first = w.prefers_first(op)
    x, name = (w.picture(op) if first else w.filed(op)), w.names[op.outputs[0]]
    axis = w.constant(f"{name}__axis", np.array([1 if first else len(w.shape(op)) - 1], np.int64))
    norm = w.add("ReduceL2", (x, axis), w.inner(op, "norm"), {"keepdims": 1})
    floor = w.constant(f"{name}__floor", np.float32(L2_FLOOR))
    w.emit(op, "Div", (x, w.add("Max", (norm, floor), w.inner(op, "floored"))), first=first)


def add_n(w: Writer, op: FileOperator) -> None:
    """ADD_N of tensors of one shape."""
    names, first = w.operands(op, range(len(op.inputs)))
    if len(names) < 2:
        w.emit(op, "Identity", names, first=first)
        return
    total = names[0]
    for name in names[1:-1]:
        total = w.add("Add", (total, name), w.inner(op, "sum"))
    w.emit(op, "Add", (total, names[-1]), first=first)


_TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9}  # numbers of ONNX's TensorProto.DataType


def cast(w: Writer, op: FileOperator) -> None:
    """CAST between float32, int32, int64 and truth values."""
    target = w.model.tensors[op.outputs[0]].dtype
    if target not in _TYPES or w.tensor(op, 0).dtype not in _TYPES:
        raise w.wrong(op, f"a cast from {w.tensor(op, 0).dtype} is not supported", target)
    elementwise("Cast", to=_TYPES[target])(w, op)


_PLAIN = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow",
    "RELU": "Relu", "HARD_SWISH": "HardSwish", "LOGISTIC": "Sigmoid", "TANH": "Tanh", "EXP": "Exp", "LOG": "Log",
    "SQRT": "Sqrt", "ABS": "Abs", "NEG": "Neg", "FLOOR": "Floor", "CEIL": "Ceil", "ROUND": "Round", "SIN": "Sin",
    "COS": "Cos", "SIGN": "Sign", "LESS": "Less", "LESS_EQUAL": "LessOrEqual", "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual", "EQUAL": "Equal", "LOGICAL_NOT": "Not", "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or", "SELECT_V2": "Where",
}  # fmt: skip
RULES: dict[str, Rule] = {
    **{code: elementwise(kind) for code, kind in _PLAIN.items()},
    "ELU": elementwise("Elu", alpha=1.0),
    "RSQRT": composed("Sqrt", "Reciprocal"),
    "FLOOR_DIV": composed("Div", "Floor"),
    "NOT_EQUAL": composed("Equal", "Not"),
    "RELU6": clipped(0.0, 6.0),
    "RELU_N1_TO_1": clipped(-1.0, 1.0),
    "RELU_0_TO_1": clipped(0.0, 1.0),
    "SQUARE": square,
    "SQUARED_DIFFERENCE": squared_difference,
    "GELU": gelu,
    "LEAKY_RELU": leaky_relu,
    "PRELU": prelu,
    "SOFTMAX": softmax("Softmax"),
    "LOG_SOFTMAX": softmax("LogSoftmax"),
    "L2_NORMALIZATION": l2_normalization,
    "ADD_N": add_n,
    "CAST": cast,
}
