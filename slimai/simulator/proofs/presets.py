"""Whether two arithmetic presets can give different integers on a layer, and a sum for which they do.

A preset turns a sum into an output integer by a step function that never falls. Two of them are equal on an interval
of sums exactly where every output integer v has the same threshold, the least sum that gives v or more. Thresholds are
found by bisection around the estimate (v - 1/2) / M; every one is confirmed by the rule itself on both its sides.
Which sums inputs can reach is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.arithmetic import NATIVE
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import Int
from slimai.simulator.ops.matmul import product_requantizer
from slimai.simulator.program import Target, layer_context
from slimai.simulator.proofs.sums import MATRIX, is_weighted, weighted_sum
from slimai.simulator.requantize import ORT_F32, PRESETS, Requantizer
from slimai.suggest import suggest

MOST_BITS = 48  # of sums that the rules are defined for: |sum| < 2**47
_BLOCK = 1 << 17  # thresholds at once
_FIRST = 4  # of each channel: where presets differ, they mostly do there already


@dataclass(frozen=True)
class Step:
    """One sum for which two presets differ: the output channel, the sum, bias included, and both output integers."""

    channel: int
    total: int
    first: int
    second: int


@dataclass(frozen=True)
class Comparison:
    """Two presets on one layer.

    bits: of the sums compared, all of a signed integer of so many bits (the narrower accumulator of the two, at most
    48). channels: of the layer; differing: those that can differ. example: of the first of them. refused: why the
    layer cannot run under one of the two, or empty.
    """

    layer: str
    kind: str
    presets: tuple[str, str]
    bits: int = 0
    channels: int = 0
    differing: int = 0
    example: Step | None = None
    refused: str = ""

    @property
    def verdict(self) -> str:
        """The proof in words."""
        names = f"{self.presets[0]} and {self.presets[1]}"
        if self.refused:
            return self.refused
        if self.example is None:
            return f"{names} agree on every sum of {self.bits} bits"
        step = self.example
        return (
            f"{self.differing} of {self.channels} channels differ: in channel {step.channel} the sum {step.total} "
            f"gives {step.first} under {self.presets[0]} and {step.second} under {self.presets[1]}"
        )


def compare_presets(plan: QuantPlan, target: Target, first: str, second: str) -> tuple[Comparison, ...]:
    """Return the comparison of two presets (``native``: the target's own table) on every weighted integer layer.

    Raises:
        InputError: a preset is `ort_f32`, or none of that name.
    """
    for name in dict.fromkeys((first, second)):
        if name == ORT_F32.name:
            raise InputError.at("--presets", "is float arithmetic by definition, not steps of integers", name)
        if name not in (*PRESETS, NATIVE):
            raise InputError(f"--presets: unknown preset '{name}'{suggest(name, [*PRESETS, NATIVE])}")
    found = []
    for layer in plan.layers:
        if layer.mode == "integer" and layer.node.op in MATRIX:
            item = compare_layer(plan, layer, target, (first, second))
            found += [] if item is None else [item]
    return tuple(found)


def compare_layer(plan: QuantPlan, layer: Layer, target: Target, names: tuple[str, str]) -> Comparison | None:
    """Return the comparison of two presets on one layer, or None where it has no constant weights."""
    contexts: list[LayerContext] = []
    curves: list[_Curve] = []
    try:
        for name in names:
            context = layer_context(plan, layer, target, name)
            if not is_weighted(context):
                return None
            contexts.append(context)
            curves.append(_Curve(context))
    except InputError as error:
        return Comparison(layer.name, layer.kind, names, refused=str(error))
    bits = min(MOST_BITS, *(context.accumulator_bits() for context in contexts))
    unlike = max(curve.channels for curve in curves)
    steps = _differences(curves[0], curves[1], unlike, bits)
    channels = int(weighted_sum(contexts[0]).weights.shape[0])
    differing = len(steps) if unlike > 1 else channels * len(steps)
    return Comparison(layer.name, layer.kind, names, bits, channels, differing, steps[0] if steps else None)


class _Curve:
    """The step functions of a layer's channels under one preset."""

    def __init__(self, context: LayerContext) -> None:
        self._rule = product_requantizer(context)
        self._tops = context.channel_high
        self._zero = context.out.zero_point

    @property
    def channels(self) -> int:
        """The output channels whose functions may be unlike; 1 where all channels have the same."""
        return max(self._rule.channels, 1 if self._tops is None else int(self._tops.size))

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the largest output integer."""
        return self._rule.low, self._rule.high

    def at(self, channel: Int, total: Int) -> Int:
        """Return the output integers of sums, each of the channel beside it."""
        found: Int = self._of(channel).exact(total).astype(np.int64)
        return found if self._tops is None else np.minimum(found, self._tops[channel])

    def estimate(self, channel: Int, value: Int) -> NDArray[np.float64]:
        """Return about where the outputs reach `value`; infinite where they never do."""
        own = self._of(channel)
        steps = value - self._zero - 0.5
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if own.rule.pre_shift:
                narrow = np.ceil(np.ldexp(steps, own.shift) / own.multiplier)
                return np.asarray(np.ldexp(narrow - 0.5 * (own.pre_shift > 0), own.pre_shift))
            if own.rule.final == "half_up":
                return np.asarray(np.ldexp(steps, own.shift) / own.multiplier)
            if own.rule.final == "two_step":
                return np.asarray(np.ldexp(steps, 31 - own.shift) / own.multiplier)
            return np.asarray(steps / own.real)

    def _of(self, channel: Int) -> Requantizer:
        """Return the requantizer whose tables are those of each element's channel."""
        rule = self._rule
        if rule.channels == 1:
            return rule
        return replace(
            rule, multiplier=rule.multiplier[channel], shift=rule.shift[channel], pre_shift=rule.pre_shift[channel],
            real=rule.real[channel],
        )  # fmt: skip


def _differences(first: _Curve, second: _Curve, channels: int, bits: int) -> list[Step]:
    """Return one sum for every channel that differs, in the order of the channels."""
    span = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    value, last, most = min(first.ends[0], second.ends[0]) + 1, max(first.ends[1], second.ends[1]), _FIRST
    alive, found = np.arange(channels), {}
    while value <= last and alive.size:
        count = min(max(1, _BLOCK // alive.size), last - value + 1, most)
        channel, wanted = np.repeat(alive, count), np.tile(np.arange(value, value + count), alive.size)
        ends = [thresholds(curve.at, curve.estimate, (channel, wanted), span) for curve in (first, second)]
        unlike = np.flatnonzero(ends[0] != ends[1])
        at = unlike[np.unique(channel[unlike], return_index=True)[1]]
        totals = np.minimum(ends[0][at], ends[1][at])
        values = [curve.at(channel[at], totals) for curve in (first, second)]
        for row in zip(channel[at].tolist(), totals.tolist(), *(item.tolist() for item in values), strict=True):
            found[row[0]] = Step(*row)
        alive = np.setdiff1d(alive, channel[at])
        value, most = value + count, most * 4
    return [found[channel] for channel in sorted(found)]


Outputs = Callable[[Int, Int], Int]
Estimate = Callable[[Int, Int], NDArray[np.float64]]


def thresholds(outputs: Outputs, estimate: Estimate, wanted: tuple[Int, Int], span: tuple[int, int]) -> Int:
    """Return the least sum within `span` (inclusive) that gives `value` or more, span[1] + 1 where none does.

    Args:
        outputs: (channel, sum) -> output integer, which never falls with the sum.
        estimate: (channel, value) -> about the threshold.
        wanted: channels and values, [N] each.
        span: the least and the largest sum.
    """
    channel, value = wanted
    low, high = span
    rough = np.nan_to_num(estimate(channel, value), nan=high, posinf=high, neginf=low)
    guess = np.clip(np.ceil(rough), low, high + 1).astype(np.int64)
    below, above, reach = guess.copy(), guess.copy(), 1
    open_below, open_above = np.arange(guess.size), np.arange(guess.size)
    while open_below.size or open_above.size:
        below[open_below] = np.maximum(guess[open_below] - reach, low - 1)
        above[open_above] = np.minimum(guess[open_above] + reach - 1, high + 1)
        open_below = _unless(below, open_below, low - 1, outputs, wanted, reached=True)
        open_above = _unless(above, open_above, high + 1, outputs, wanted, reached=False)
        reach *= 16
    while (wide := np.flatnonzero(above - below > 1)).size:
        middle = (above[wide] + below[wide]) // 2
        reached = outputs(channel[wide], middle) >= value[wide]
        above[wide] = np.where(reached, middle, above[wide])
        below[wide] = np.where(reached, below[wide], middle)
    return above


def _unless(
    place: Int, at: NDArray[np.intp], end: int, outputs: Outputs, wanted: tuple[Int, Int], *, reached: bool
) -> NDArray[np.intp]:
    """Return those of `at` whose place is not `end` and gives (`reached`) or misses the value there."""
    inner = at[place[at] != end]
    enough: NDArray[np.bool_] = outputs(wanted[0][inner], place[inner]) >= wanted[1][inner]
    left: NDArray[np.intp] = inner[enough if reached else ~enough]
    return left
