"""LSTM and GRU of one direction in integers: the sums of TFLite's integer LSTM, its gates, a 16-bit cell or state.

Recipe: docs/arithmetic.md, section 6. It is the same under every preset: TFLite's integer LSTM, which it follows, has
no other, and nothing inside it is requantized by the layer's rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import QWeight
from slimai.simulator._reference_recurrent import gate_part, narrow_tail, saturate16, saturate32
from slimai.simulator.accumulate import exact_dtype, largest
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int, quantize_multiplier, round_half_away
from slimai.simulator.ops.gates import GATE_BITS, added_tables, gate_tables

GATE_SCALE = 2.0 ** (GATE_BITS - 15)
_COARSEST = 2.0**14  # multiplier of a sum of products: one step of input and weight is 4 units of a gate
_UNBOUNDED = (1 << 62) - 1


@dataclass(frozen=True, eq=False)
class GateSums:
    """One of the two products of a step: weights [G * H, K], bias [G * H], their multiplier and exponent by row."""

    weights: Int
    bias: Int
    multiplier: Int
    exponent: Int
    wide: bool

    def tables(self, name: str) -> dict[str, Array]:
        """Return the arrays of the exported integer tables."""
        return {f"{name}_multiplier": self.multiplier, f"{name}_exponent": self.exponent}


class Recurrent:
    """What an LSTM and a GRU have in common: parameters around them, both products, the accumulator."""

    def __init__(self, context: LayerContext) -> None:
        self.context, node = context, context.layer.node
        self.x, self.y = context.input(0), context.tensors[node.outputs[0]]
        self.wide = 16 in (self.x.dtype.bits, self.y.dtype.bits)
        # TFLite saturates both parts of a gate, each at 8, which is wrong where they cancel: for its own networks only
        self.added = "cell_clip" not in context.attrs
        self.backwards = context.attrs["direction"] == "reverse"
        weights, recurrent, bias = (_matrix(context, position) for position in (1, 2, 3))
        self.units = recurrent.values.shape[-1]
        rows = weights.values.shape[1]
        both = bias.values.reshape(2, rows).astype(np.int64)
        self.h = self._given_grid(4) or self.y
        self.input_sums = self._sums(weights, both[0], self.x)
        self.hidden_sums = self._sums(recurrent, both[1], self.y)
        # hidden values of the first step have a grid of their own, and their bias follows it
        first = round_half_away(both[1] * (self.y.scale / self.h.scale)).astype(np.int64)
        self.first_sums = self._sums(recurrent, first, self.h)
        self.exact = exact_dtype(self._bound(self.input_sums, self.x))
        self.limit = self._limit()

    def _given_grid(self, position: int) -> QParams | None:
        """Return the grid of an initial state, or None where there is none."""
        node = self.context.layer.node
        return self.context.input(position) if len(node.inputs) > position and node.inputs[position] else None

    def _sums(self, weight: QWeight, bias: Int, source: QParams) -> GateSums:
        """Return a product with M = float32(s_w * s) * 2**12 of each row."""
        scale = np.broadcast_to(weight.scale.astype(np.float32), bias.shape)
        real = (scale * np.float32(source.scale)).astype(np.float64) / GATE_SCALE
        if not (real < _COARSEST).all():
            message = "one step of input and weight is more than a gate can hold"
            raise InputError.at(self.context.layer.name, message, float(real.max()))
        multiplier, exponent = quantize_multiplier(real)
        if self.wide:
            multiplier, exponent = short_multiplier(multiplier), np.clip(15 - exponent, 0, 62)
        values = weight.values.reshape(len(bias), -1).astype(np.int64)
        return GateSums(values, bias, multiplier, exponent, self.wide)

    def _bound(self, sums: GateSums, source: QParams) -> float:
        rows = np.abs(sums.weights).sum(axis=1) * float(largest(source)) + np.abs(sums.bias)
        return float(rows.max(initial=0.0))

    def largest_sum(self) -> float:
        """Return a bound of every sum of products and its partial sums, bias included."""
        found = ((self.input_sums, self.x), (self.hidden_sums, self.y), (self.first_sums, self.h))
        return max(self._bound(sums, source) for sums, source in found)

    def accumulator_bits(self) -> int:
        """Return the width of the accumulator where a sum can be wider, else 0."""
        bits = self.context.acc_bits if self.context.acc_bits < 32 else 48 if self.wide else 32
        return bits if self.largest_sum() > (1 << (bits - 1)) - 1 else 0

    def _limit(self) -> int:
        """Return the largest sum that the accumulator holds, where one can be larger."""
        bits = self.accumulator_bits()
        return (1 << (bits - 1)) - 1 if bits else _UNBOUNDED

    def input_parts(self, x: Array, tally: Tally) -> Int:
        """Return the input's part of all gates, [T, N, G * H] with 12 bits of fraction, in 32 bits that saturate."""
        values = (x.astype(np.int64) - self.x.zero_point).astype(self.exact)
        sums = self.input_sums
        total = (values @ sums.weights.T.astype(self.exact)).astype(np.int64) + sums.bias
        outside = (total > self.limit) | (total < -self.limit - 1)
        if outside.any():
            self.count(int(np.count_nonzero(outside)), tally)
            span = 2 * (self.limit + 1)
            wrapped = (total + self.limit + 1) % span - self.limit - 1
            total = wrapped if self.wraps else np.clip(total, -self.limit - 1, self.limit)
        return saturate32(gate_part(total, sums.multiplier, sums.exponent, wide=self.wide))

    def by_step(self) -> tuple[Int, Int, Int]:
        """Return multipliers, exponents and biases of hidden values: [2, G * H] each, of the first step and others."""
        pair = (self.first_sums, self.hidden_sums)
        multiplier, exponent, bias = (np.stack([getattr(sums, name) for sums in pair])
                                      for name in ("multiplier", "exponent", "bias"))  # fmt: skip
        return multiplier, exponent, bias

    @property
    def wraps(self) -> int:
        """1 where a sum beyond the accumulator wraps around, 0 where it saturates."""
        return int(self.context.overflow == "wrap")

    def count(self, overflows: int, tally: Tally) -> None:
        """Add sums that the accumulator did not hold."""
        if overflows:
            tally.overflows[self.context.layer.name] += overflows

    def lstm_output(self) -> tuple[int, int, int, int, int]:
        """Return the output numbers of an LSTM: formed in float32 of 8-bit layers, in float64 of 16-bit ones."""
        single = np.float32  # as TFLite forms it
        narrow = single(2.0**-15) / single(self.y.scale) * single(2.0**-15)
        return self.output_numbers(2.0**-30 / self.y.scale if self.wide else float(narrow))

    def output_numbers(self, real: float) -> tuple[int, int, int, int, int]:
        """Return multiplier and exponent of `real`, zero point, lowest and highest integer of the output."""
        multiplier, exponent = (int(part[0]) for part in quantize_multiplier(np.array([real])))
        return multiplier, exponent, self.y.zero_point, self.y.dtype.low, self.y.dtype.high

    def state(self, inputs: dict[int, Array], position: int, batch: int) -> Int | None:
        """Return the initial state at an input position without its zero point, [N, H], or None."""
        value = inputs.get(position)
        if value is None:
            return None
        zero = self.context.input(position).zero_point
        integers: Int = np.broadcast_to(value, (1, batch, self.units))[0].astype(np.int64) - zero
        return integers

    def given(self, inputs: Any) -> dict[int, Array]:
        """Return the node's operands that are there, by input position."""
        names, operands = self.context.layer.node.inputs, self.context.layer.operands
        values = dict(zip(self.context.layer.inputs, inputs, strict=True))
        found = {position: values[name] for position, name in enumerate(names) if name in values}
        return found | {position: operand[0] for position, operand in operands.items()}

    def results(self, y: Int, cells: Int | None) -> list[Array]:
        """Return the outputs that the node has: Y, Y_h and, of an LSTM, Y_c and all cells."""
        kind = self.y.dtype.numpy
        last = 0 if self.backwards else -1
        steps = y.astype(kind)[:, None]
        found = [steps, steps[last]]
        if cells is not None:
            wide = cells.astype(np.int16)[:, None]
            found += [wide[last], wide]
        outputs = self.context.layer.node.outputs
        return [value for name, value in zip(outputs, found, strict=False) if name]

    def tables(self, **extra: Any) -> dict[str, Array]:
        """Return the arrays of the exported integer tables."""
        matrices = self.context.layer.matrices
        named = {name: matrices[position].values for position, name in ((1, "weight"), (2, "recurrent"), (3, "bias"))}
        numbers = {name: np.atleast_1d(np.asarray(value, np.int64)) for name, value in extra.items()}
        first = {} if self.h == self.y else self.first_sums.tables("first")
        return {**named, **self.input_sums.tables("weight"), **self.hidden_sums.tables("recurrent"), **first, **numbers}


def _matrix(context: LayerContext, position: int) -> QWeight:
    found = context.layer.matrices.get(position)
    if found is None:
        raise ValueError(f"{context.layer.name}: the plan has no integer weights at input {position}")
    return found


def short_multiplier(multiplier: Int) -> Int:
    """Return the 16-bit multiplier of a 31-bit one: rounded, 32767 where it would be 32768."""
    return np.where(multiplier >= 0x7FFF0000, 32767, (multiplier + (1 << 15)) >> 16)


def cell_integer_bits(context: LayerContext, cell: QParams) -> int:
    """Return k of the cell's scale 2**(k - 15), 0 .. 12."""
    mantissa, exponent = math.frexp(cell.scale)
    bits = exponent - 1 + 15
    if mantissa != 0.5 or not 0 <= bits <= 12 or cell.zero_point or cell.dtype.name != "s16":
        message = "the cell's scale is no power of two from 2**-15 to 2**-3"
        raise InputError.at(context.layer.name, message, cell.scale)
    return bits


def cell_limits(clip: float, bits: int) -> tuple[int, int]:
    """Return the lowest and highest cell: all s16, or as TFLite cuts the clip to an integer."""
    if clip <= 0.0:
        return -(1 << 15), (1 << 15) - 1
    high = int(min(clip / 2.0 ** (bits - 15), 32767.0))
    return -high, high


def compile_lstm(context: LayerContext) -> Compiled:
    """Return the kernel of an LSTM of one direction; steps on the first axis."""
    core = Recurrent(context)
    bits = cell_integer_bits(context, context.tensors[context.layer.node.outputs[3]])
    out = core.lstm_output()
    limits = cell_limits(float(context.attrs.get("cell_clip", 0.0)), bits)
    numbers = (int(core.wide), int(core.added), 15 + bits, *limits, *out, core.limit, core.wraps, int(core.backwards))
    tables = gate_tables(wide=core.wide, cell_bits=bits)
    if core.added:
        tables = (*added_tables(wide=core.wide), tables[2])
    products = (core.hidden_sums.weights, *core.by_step()[:2])

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        from slimai.simulator._kernels_recurrent import lstm_steps  # noqa: PLC0415 - spares numba

        given = core.given(inputs)
        parts = core.input_parts(given[0], tally)
        steps, batch = parts.shape[:2]
        h, c = core.state(given, 4, batch), core.state(given, 5, batch)
        h, c = (np.zeros((batch, core.units), np.int64) if item is None else item for item in (h, c))
        y, cells = np.empty((2, steps, batch, core.units), np.int64)
        core.count(
            lstm_steps(parts, products, tables, numbers, h, c, y, cells),
            tally,
        )
        return core.results(y, cells)

    return Compiled(
        kernel, core.tables(output_multiplier=out[0], output_exponent=out[1], cell_bits=bits, cell_limits=limits)
    )


def state_bits(*grids: QParams) -> int:
    """Return k of a GRU state's scale 2**(k - 15): it reaches 1 and what integers of these grids reach."""
    reach = max(largest(grid) * grid.scale for grid in grids)
    return min(max(math.ceil(math.log2(reach)), 0), 12)


def compile_gru(context: LayerContext) -> Compiled:
    """Return the kernel of a GRU of one direction; steps on the first axis."""
    core = Recurrent(context)
    bits = state_bits(core.y, core.h)
    step, after = 2.0 ** (bits - 15), int(context.attrs["linear_before_reset"])
    out = core.output_numbers(step / core.y.scale)
    entering = core.output_numbers(core.h.scale / step)[:2]
    numbers = (int(core.wide), bits, *out, core.limit, core.wraps, int(core.backwards), after)
    tables = added_tables(wide=core.wide)
    multiplier, exponent, every = core.by_step()
    bias = np.ascontiguousarray(every[:, 2 * core.units :])
    products = (core.hidden_sums.weights, multiplier, exponent, bias)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        from slimai.simulator._kernels_recurrent import gru_steps  # noqa: PLC0415 - spares numba

        given = core.given(inputs)
        parts = core.input_parts(given[0], tally)
        steps, batch = parts.shape[:2]
        h = core.state(given, 4, batch)
        h = np.zeros((batch, core.units), np.int64) if h is None else h
        state = saturate16(narrow_tail(h, *entering))
        y = np.empty((steps, batch, core.units), np.int64)
        core.count(
            gru_steps(parts, products, tables, numbers, h, state, y),
            tally,
        )
        return core.results(y, None)

    names = ("output_multiplier", "output_exponent", "state_multiplier", "state_exponent", "state_bits")
    return Compiled(kernel, core.tables(**dict(zip(names, (*out[:2], *entering, bits), strict=True))))
