"""How far the sum of each weighted layer reaches, from its integers alone, and an input that overflows it.

The elements of a sum are free of each other, so its extremes are the sums of the extremes of its products: with x in
[l, h] (zero point taken away) the largest of x * w is h * w for w > 0 and l * w for w < 0. Outputs at a border have
fewer taps; where l > 0 or h < 0 theirs may be the extreme, so every distinct set of taps counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.plan import QuantPlan
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import Int
from slimai.simulator.proofs.ranges import ValueRange, value_ranges
from slimai.simulator.proofs.sums import WeightedSum, is_weighted, weighted_sum

_CHUNK = 1 << 20  # weights at once: 8 MiB


@dataclass(frozen=True, eq=False)
class Witness:
    """Integers of a layer's input for which a sum leaves the accumulator.

    tensor, shape: the input at batch 1. start, values: where the patch lies, and it; elsewhere the input holds `fill`.
    total: the sum at the output `output`, an index of the layer's output tensor.
    """

    tensor: str
    shape: tuple[int, ...]
    start: tuple[int, ...]
    values: NDArray[Any]
    fill: int
    output: tuple[int, ...]
    total: int

    def whole(self) -> NDArray[Any]:
        """Return the layer's whole input."""
        found = np.full(self.shape, self.fill, self.values.dtype)
        found[self._patch()] = self.values
        return found

    def _patch(self) -> tuple[slice, ...]:
        return tuple(slice(first, first + size) for first, size in zip(self.start, self.values.shape, strict=True))

    @property
    def place(self) -> str:
        """The patch as an index, such as ``x[0:1, 0:8, 4:7, 4:7]``."""
        return f"{self.tensor}[{', '.join(f'{cut.start}:{cut.stop}' for cut in self._patch())}]"


@dataclass(frozen=True)
class Reach:
    """The sums of one layer, bias included: inclusive ends, and the width of the accumulator that takes them."""

    layer: str
    kind: str
    bits: int
    least: int
    most: int
    witness: Witness | None = None

    @property
    def needed(self) -> int:
        """The fewest bits of a signed integer that hold every sum."""
        return max(self.most, ~self.least).bit_length() + 1

    @property
    def overflows(self) -> bool:
        """Whether an input exists whose sum the accumulator does not hold."""
        return self.needed > self.bits

    @property
    def verdict(self) -> str:
        """The proof in words."""
        if self.witness is None:
            return f"cannot overflow {self.bits} bits"
        index = ", ".join(map(str, self.witness.output))
        return f"overflows {self.bits} bits: {self.witness.total} at output [{index}] from {self.witness.place}"


def reaches(plan: QuantPlan, contexts: Sequence[LayerContext]) -> tuple[Reach, ...]:
    """Return the reach of each weighted layer; `contexts` are the integer layers of the plan, in order."""
    ranges = value_ranges(plan, contexts)
    return tuple(
        layer_reach(context, ranges[context.layer.node.inputs[0]]) for context in contexts if is_weighted(context)
    )


def layer_reach(context: LayerContext, held: ValueRange) -> Reach:
    """Return the reach of one weighted layer whose input holds integers of `held`."""
    terms, bits = weighted_sum(context), context.accumulator_bits()
    low, high = _centred(context, terms, held)
    least, most = _extremes(terms, low, high)
    found = Reach(context.layer.name, context.layer.kind, bits, int(least.min()), int(most.max()))
    if not found.overflows:
        return found
    above = found.most > (1 << (bits - 1)) - 1
    sums = most if above else least
    at = np.unravel_index(int(sums.argmax() if above else sums.argmin()), sums.shape)
    witness = _witness(context, terms, held, tuple(int(index) for index in at), above=above)
    return Reach(found.layer, found.kind, bits, found.least, found.most, witness)


def _centred(context: LayerContext, terms: WeightedSum, held: ValueRange) -> tuple[Int, Int]:
    """Return the ends of the input's channels, [G, D] each, zero point taken away."""
    zero = context.input().zero_point
    low, high = held.by_channel(terms.channels, terms.axis)
    return (low - zero).reshape(terms.group, -1), (high - zero).reshape(terms.group, -1)


def _extremes(terms: WeightedSum, low: Int, high: Int) -> tuple[Int, Int]:
    """Return the least and the most of every output channel and set of taps, [O, S...] each."""
    outputs, share = len(terms.weights), len(terms.weights) // terms.group
    per_output = terms.weights[0].size
    step = max(1, _CHUNK // max(per_output, 1))
    shape = (outputs, *terms.weights.shape[2:])
    least, most = np.empty(shape, np.int64), np.empty(shape, np.int64)
    for first in range(0, outputs, step):
        rows = slice(first, min(first + step, outputs))
        weights = terms.weights[rows].astype(np.int64)
        group = np.arange(rows.start, rows.stop) // share
        ends = [item[group].reshape(*weights.shape[:2], *(1,) * (weights.ndim - 2)) for item in (low, high)]
        above = np.maximum(weights, 0)
        below = weights - above
        least[rows] = (above * ends[0] + below * ends[1]).sum(axis=1)
        most[rows] = (above * ends[1] + below * ends[0]).sum(axis=1)
    return _over_taps(terms, least), _over_taps(terms, most)


def _over_taps(terms: WeightedSum, taps: Int) -> Int:
    """Return the sums [O, S...], with bias, of the contributions [O, K...] of the taps."""
    for axis in terms.axes:  # each turns the first axis of taps into a last axis of sets
        taps = np.tensordot(taps, axis.taps.astype(np.int64), axes=([1], [1]))
    return taps + terms.bias.reshape(-1, *(1,) * (taps.ndim - 1))


def _witness(
    context: LayerContext, terms: WeightedSum, held: ValueRange, at: tuple[int, ...], *, above: bool
) -> Witness:
    """Return the input whose sum at `at`, an output channel and a set of taps an axis, is the largest (or least)."""
    output, sets = at[0], at[1:]
    params, name = context.input(), context.layer.node.inputs[0]
    shape = context.graph.shape(name)
    weights = terms.weights[output].astype(np.int64)
    first = terms.first_channel(output)
    low, high = (
        item[first : first + len(weights)].reshape(-1, *(1,) * (weights.ndim - 1))
        for item in held.by_channel(terms.channels, terms.axis)
    )
    upper = weights > 0 if above else weights < 0
    fill = min(max(params.zero_point, held.low), held.high)
    values = np.where(weights == 0, np.minimum(np.maximum(fill, low), high), np.where(upper, high, low))
    met = [axis.taps[index] for axis, index in zip(terms.axes, sets, strict=True)]
    places = [axis.places[index][taps] for axis, index, taps in zip(terms.axes, sets, met, strict=True)]
    values = values[np.ix_(np.ones(len(weights), np.bool_), *met)]
    total = int(((values - params.zero_point) * weights[np.ix_(np.ones(len(weights), np.bool_), *met)]).sum())
    dtype = params.dtype.numpy
    if terms.axes:
        start, patch = _spatial_patch(values, first, places, fill)
        start, patch = (0, *start), patch[None]
        if terms.axis != 1:
            start, patch = (0, *start[2:], start[1]), np.moveaxis(patch, 1, -1)
    else:
        lead = _matrix_place(context, output, shape)
        start, patch = (*lead, 0), values.reshape(*(1,) * len(lead), -1)
    index = _output_index(context, terms, at)
    return Witness(name, shape, start, patch.astype(dtype), fill, index, total + int(terms.bias[output]))


def _spatial_patch(values: Int, first: int, places: list[Int], fill: int) -> tuple[tuple[int, ...], Int]:
    """Return (start, patch [D, ...]) of values [D, taps...] at these places of the axes; gaps hold `fill`."""
    start = tuple(int(item.min(initial=1 << 62)) if item.size else 0 for item in places)
    sizes = tuple(int(item.max()) - at + 1 if item.size else 0 for item, at in zip(places, start, strict=True))
    patch = np.full((len(values), *sizes), fill, np.int64)
    patch[np.ix_(np.arange(len(values)), *(item - at for item, at in zip(places, start, strict=True)))] = values
    return (first, *start), patch


def _stack(context: LayerContext) -> tuple[int, ...]:
    """Return the axes of a stack of constant matrices."""
    weight = context.layer.weight
    shape = weight.values.shape if weight is not None else context.layer.operands[1][0].shape
    return tuple(shape[:-2])


def _matrix_place(context: LayerContext, output: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the indices, but for the last, of the row of the input that a column of the stack is multiplied by."""
    lead = [0] * (len(shape) - 1)
    stack = _stack(context)
    columns = context.graph.shape(context.layer.outputs[0])[-1] if stack else 1
    index = np.unravel_index(output // columns, stack) if stack else ()
    for back, number in enumerate(reversed(index), start=2):  # aligned at the right, as NumPy broadcasts
        if back < len(shape) and shape[-1 - back] > 1:
            lead[-back] = int(number)
    return tuple(lead)


def _output_index(context: LayerContext, terms: WeightedSum, at: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index in the output tensor of an output channel and a set of taps an axis."""
    shape = context.graph.shape(context.layer.outputs[0])
    if terms.axes:
        space = tuple(int(axis.outputs[index]) for axis, index in zip(terms.axes, at[1:], strict=True))
        return (0, at[0], *space) if terms.axis == 1 else (0, *space, at[0])
    stack = _stack(context)
    if not stack:
        return (*(0,) * (len(shape) - 1), at[0])
    index = [0] * len(shape)
    index[-1] = at[0] % shape[-1]
    for back, number in enumerate(reversed(np.unravel_index(at[0] // shape[-1], stack)), start=3):
        index[-back] = int(number)
    return tuple(index)
