"""Recurrent layers: the integers of their matrices, the grids of their cells, which of their tensors share one.

Formulas: docs/arithmetic.md, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from slimai.calibration.limits import Limits, union
from slimai.graph.ir import Array, Graph
from slimai.graph.ops import TRAITS
from slimai.graph.recurrent import GATES
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import SMALLEST_SCALE
from slimai.quantizer.params import S16, S32, S64, IntType, QParams
from slimai.quantizer.plan import Decision, QWeight
from slimai.quantizer.weight_layout import WeightLayout
from slimai.quantizer.weights import quantize_layer

CELL_BITS = 16
GATE_SCALE = 2.0**-12  # of the sums of gates: 3 integer bits
MOST_CELL_BITS = 12  # integer bits: cells beyond 4096 saturate
HIDDEN, CELL = 4, 5  # input positions of the initial states
Y, Y_H, Y_C, CELLS = range(4)  # output positions


def is_recurrent(step: Step) -> bool:
    """Return whether the step is an LSTM or GRU with an integer kernel."""
    return step.integer and TRAITS[step.node.op].family == "recurrent"


def cell_tensors(step: Step) -> tuple[str, ...]:
    """Return the tensors on the grid of the cells: those of all steps first, then the last ones; none of a GRU."""
    if not is_recurrent(step):
        return ()
    return tuple(name for name in (*step.node.outputs[CELLS:], *step.node.outputs[Y_C:CELLS]) if name)


def initial_state(step: Step, position: int) -> str:
    """Return the input with an initial state, or ''."""
    return step.node.inputs[position] if len(step.node.inputs) > position else ""


def shared_grids(graph: Graph, step: Step) -> Iterator[tuple[str, str]]:
    """Yield pairs of tensors that share one grid: results of one kind, and a network input that only brings cells."""
    hidden, cells = step.node.outputs[Y : Y_H + 1], cell_tensors(step)
    for found in (hidden, cells):
        yield from ((found[0], name) for name in found[1:] if name)
    state = initial_state(step, CELL)
    if cells and state in graph.inputs and graph.only_consumer(state) is not None:
        yield cells[0], state


def reach_initial_cells(graph: Graph, steps: tuple[Step, ...], limits: dict[str, Limits]) -> None:
    """Widen the limits of cells, in place, so that they hold the cells that a sequence begins with."""
    for step in steps:
        initial, cells = initial_state(step, CELL), cell_tensors(step)
        if not cells or not initial:
            continue
        value = graph.constants.get(initial)
        found = limits[initial] if value is None else Limits(float(value.min()), float(value.max()))
        limits[cells[0]] = union((limits[cells[0]], found))


def cell_params(low: float, high: float) -> QParams:
    """Return the grid of cells within low..high: s16 at 2**(k - 15), k the smallest of 0..12 that reaches both."""
    largest = max(-low, high, SMALLEST_SCALE)
    bits = min(max(math.ceil(math.log2(largest)), 0), MOST_CELL_BITS)
    return QParams(S16, 2.0 ** (bits - 15), 0)


def quantized_matrices(
    graph: Graph, step: Step, x: QParams, y: QParams, dtype: IntType, *, per_row: bool = False
) -> tuple[dict[int, QWeight], tuple[Decision, ...]]:
    """Return weights, recurrent weights and biases by input position: one scale a gate and matrix, or one a row.

    Weights [1, G * H, K] and biases [1, 2 * G * H] have the shapes of ONNX. Both biases of a gate are added and stand
    behind the input's product; only that of a GRU's hidden gate stays apart, where the reset gate follows the product.
    """
    gates = GATES[step.node.op]
    weights, recurrent, bias = (graph.constants[name] for name in step.node.inputs[1:4])
    first, second = (part.reshape(gates, -1).astype(np.float64) for part in np.split(bias.reshape(-1), 2))
    groups = len(weights[0]) if per_row else gates  # how many parts have a scale of their own
    apart = np.zeros((gates, 1))
    if step.node.attrs.get("linear_before_reset", 0):
        apart[-1] = 1.0
    wide = CELL_BITS in (x.dtype.bits, y.dtype.bits)
    notes: list[Decision] = []
    parts = []
    for values, offsets, source in ((weights, first + second * (1 - apart), x), (recurrent, second * apart, y)):
        split = offsets.reshape(groups, -1)
        parts.append(_matrix(step.name, values, split, source.scale, dtype, wide=wide, notes=notes))
    kind = S64 if wide else S32
    biases = np.concatenate([offsets for _, offsets, _ in parts])[None].astype(kind.numpy)
    scales = np.concatenate([scale for *_, scale in parts])
    return {1: parts[0][0], 2: parts[1][0], 3: QWeight(biases, kind, scales, 1)}, tuple(dict.fromkeys(notes))


def _matrix(
    where: str, values: Array, offsets: Array, scale: float, dtype: IntType, *, wide: bool, notes: list[Decision]
) -> tuple[QWeight, Array, Array]:
    """Return a matrix [1, G * H, K], its biases [G * H] and their scales [G * H]; a row of `offsets` has one scale."""
    made = []
    for weights, bias in zip(np.split(values[0], len(offsets)), offsets, strict=True):
        layer = quantize_layer(where, weights, bias, WeightLayout(0), scale, dtype, per_channel=False,
                               output_scale=GATE_SCALE, wide=wide)  # fmt: skip
        notes += layer.decisions
        made.append(layer)
    rows = np.repeat([layer.weight.scale[0] for layer in made], offsets.shape[1])
    integers = np.concatenate([layer.weight.values for layer in made])[None]
    biases = np.concatenate([layer.bias for layer in made if layer.bias is not None])
    return QWeight(integers, dtype, rows, 1), biases, scale * rows
