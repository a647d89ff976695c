"""What a scalar model gets and what a sample of an operator is; models that only move elements."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scalar_models as scalar

from slimai.quantizer.plan import QWeight

SHAPE = (1, 4, 6, 6)
SQUARE = {"strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1), "group": 1}
WINDOW = {"kernel_shape": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1), "ceil_mode": 0}


@dataclass
class Case:
    """One layer with integers: what a scalar model gets. x: [nested lists] of each operand, in the node's order."""

    rule: str
    attrs: dict[str, Any]
    x: list[np.ndarray]
    ins: list[scalar.Quantity]
    outs: list[scalar.Quantity]
    weight: QWeight | None
    bias: list[int]
    out_shapes: tuple[tuple[int, ...], ...]
    matrices: dict[int, QWeight] = field(default_factory=dict)

    def moved(self, integers, number: int = 0, source: int = 0):
        """Return integers of operand `source` on the grid of an output: as they are where the two are equal."""
        a, b = self.ins[source], self.outs[number]
        same = (a.scale, a.zero, a.bits, a.signed) == (b.scale, b.zero, b.bits, b.signed)
        return list(integers) if same else scalar.requantize(self.rule, integers, a, b)


Model = Callable[[Case], list[list[int]]]


@dataclass(frozen=True)
class Sample:
    """One node: its model, shapes of its activations, outputs and constants (by input position), its attributes.

    masks: constants that are no numbers, by input position. above: in a network of several layers, the input ends there
    (and at 3); 0: it is a Relu.
    spelled_out: its ONNX form is other operators, which are not read back as this one.
    inner: how many outputs, at the end, the network does not give.

    masks: constants that are no numbers, by input position.
    above: in a network of several layers, the input ends there (and at 3); 0: it is a Relu.
    """

    model: Model
    inputs: tuple[tuple[int, ...], ...] = (SHAPE,)
    outputs: tuple[tuple[int, ...], ...] = (SHAPE,)
    attrs: dict[str, Any] = field(default_factory=dict)
    constants: dict[int, tuple[int, ...]] = field(default_factory=dict)
    masks: dict[int, np.ndarray] = field(default_factory=dict)
    above: float = 0.0
    spelled_out: bool = False
    inner: int = 0


def flat(values) -> list[int]:
    return [int(value) for value in np.asarray(values).ravel()]


def gathered(source, number: int = 0) -> Model:
    """Return the model of an operator that moves: source(case, coordinate of the output) -> coordinate of the input."""

    def model(case):
        nested = case.x[0].tolist()
        return [case.moved([_at(nested, source(case, at)) for at in places(case.out_shapes[number])], number)]

    return model


def places(shape):
    return itertools.product(*map(range, shape))


def _at(nested, place):
    for index in place:
        nested = nested[index]
    return nested
