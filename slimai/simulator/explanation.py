"""Why a layer's integers differ on a device: one thing is changed, the layer is run again, and the integers compared.

Only what gives all of the device's integers counts as an explanation; a tensor that nothing explains is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.errors import SlimaiError
from slimai.graph.ops import is_clamp
from slimai.quantizer.levels import as_float32
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.quantizer.weight_layout import weight_layout
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.divergence import Case, channels_of
from slimai.simulator.program import IntegerStep, Target, compile_layer
from slimai.simulator.requantize import PRESETS
from slimai.simulator.weight_change import likely_weights

Array = NDArray[Any]
Kind = Literal["input", "preset", "clamp", "zero_point", "scale", "bias", "weight", "weight_scale"]
HALVINGS = 48
WIDEST = 4.0  # times another scale that is looked for
STEP = 2**9  # float32 scales, at most, with the same multiplier of 15 bits


@dataclass(frozen=True)
class Explanation:
    """What gives the device's integers: its kind, the sentence, and for presets the name."""

    kind: Kind
    text: str
    preset: str = ""


class Trials:
    """Runs one layer with something changed, on the inputs of a case."""

    def __init__(self, plan: QuantPlan, target: Target, step: IntegerStep, case: Case) -> None:
        self.plan, self.target, self.step, self.case = plan, target, step, case
        self.layer = step.layer
        self.place = self.layer.outputs.index(case.tensor)
        self.axis = channels_of(plan, case.tensor, case.expected.ndim)
        self._pool = BufferPool()

    @property
    def out(self) -> QParams:
        """Parameters of the tensor that differs."""
        return self.plan.tensors[self.case.tensor]

    def made(
        self, layer: Layer | None = None, *, preset: str = "", grids: Mapping[str, QParams] | None = None
    ) -> Array | None:
        """Return the tensor under other settings, or None where the layer cannot be computed so.

        grids: parameters by the tensor's name.
        """
        plan = replace(self.plan, tensors={**self.plan.tensors, **grids}) if grids else self.plan
        try:
            step = compile_layer(plan, layer or self.layer, self.target, preset or self.step.rule.name, self._pool)
            reads = [self.case.reads[name] for name in self.layer.inputs]
            return np.asarray(step.compiled.kernel(reads, Tally())[self.place])
        except (SlimaiError, ValueError, OverflowError):  # no kernel, or parameters beyond the arithmetic
            return None

    def same(self, layer: Layer | None = None, *, preset: str = "", grids: Mapping[str, QParams] | None = None) -> bool:
        """Return whether these settings give all of the device's integers."""
        made = self.made(layer, preset=preset, grids=grids)
        return made is not None and bool(np.array_equal(made, self.case.found))


def explanations(plan: QuantPlan, target: Target, case: Case) -> list[Explanation]:
    """Return what gives exactly the device's integers: every preset that does, else other causes of one kind."""
    if not isinstance(case.step, IntegerStep):
        return []
    trials = Trials(plan, target, case.step, case)
    presets = [Explanation("preset", f"the preset {name} gives them", name) for name in explaining_presets(trials)]
    if presets:
        return presets
    for search in (_clamp, _zero_point, _scales, _one_channel, partial(_scales, around=True)):
        found = list(search(trials))
        if found:
            return found
    return []


def explaining_presets(trials: Trials) -> Iterator[str]:
    """Yield the presets, beside the layer's own, under which the layer gives the device's integers."""
    yield from (name for name in PRESETS if name != trials.step.rule.name and trials.same(preset=name))


def _clamp(trials: Trials) -> Iterator[Explanation]:
    layer = trials.layer
    if layer.activation is not None and trials.same(replace(layer, activation=None)):
        yield Explanation("clamp", f"the clamp {layer.activation.op} ({layer.activation.name}) is left out")
    elif is_clamp(layer.node):
        whole = replace(layer.node, op="Clip", attrs={**layer.node.attrs, "lo": -np.inf, "hi": np.inf})
        if trials.same(replace(layer, node=whole)):
            yield Explanation("clamp", f"the clamp {layer.node.op} ({layer.node.name}) is left out")
    low, high = int(trials.case.found.min()), int(trials.case.found.max())
    if np.array_equal(np.clip(trials.case.expected, low, high), trials.case.found):
        yield Explanation("clamp", f"integers are clamped to {low}..{high}")


def _zero_point(trials: Trials) -> Iterator[Explanation]:
    case, out = trials.case, trials.out
    inside = (case.found > out.dtype.low) & (case.found < out.dtype.high)
    shifts = np.unique((case.found.astype(np.int64) - case.expected)[inside])[:16]
    for shift in sorted(map(int, shifts), key=abs):
        zero = out.zero_point + shift
        fits = out.dtype.low <= zero <= out.dtype.high
        if shift and fits and trials.same(grids={case.tensor: replace(out, zero_point=zero)}):
            yield Explanation("zero_point", f"zero point {zero} in place of {out.zero_point}")
            return
        moved = np.clip(case.expected.astype(np.int64) + shift, out.dtype.low, out.dtype.high)
        if shift and np.array_equal(moved, case.found):
            yield Explanation("zero_point", f"all integers are moved by {shift}, as by zero point {zero}")
            return


def _scales(trials: Trials, *, around: bool = False) -> Iterator[Explanation]:
    case, out = trials.case, trials.out

    def size(made: Array) -> float:
        away = np.abs(made.astype(np.int64) - out.zero_point) - np.abs(case.found.astype(np.int64) - out.zero_point)
        return float(away.sum())

    found = _scale_of(trials, case.tensor, size, around=around)
    if found is not None:
        ratio = f"{found / out.scale:.6g} times"
        text = (
            f"scale {found:.9g} of {case.tensor} in place of {out.scale:.9g} ({ratio}), or of what it reads by as much"
        )
        yield Explanation("scale", text)
        return
    for name in dict.fromkeys(trials.layer.inputs):
        params, reads = trials.plan.tensors[name], case.reads[name]
        if reads.shape != case.found.shape:
            continue
        side = np.sign(reads.astype(np.int64) - params.zero_point)
        found = _scale_of(trials, name, partial(_shortfall, case.found, side), around=around)
        if found is not None:
            yield Explanation("scale", f"scale {found:.9g} of {name}, which it reads, in place of {params.scale:.9g}")
            return


def _shortfall(found: Array, side: NDArray[np.int64], made: Array) -> float:
    """Return by how much integers lie below the device's, on the side that a larger scale of what is read lifts."""
    return float(((found.astype(np.int64) - made) * side).sum())


def _scale_of(trials: Trials, tensor: str, excess: Callable[[Array], float], *, around: bool) -> float | None:
    """Return a scale of `tensor` that gives the device's integers; excess: falls as the scale grows.

    around: look at the scales beside the one that the halvings end at too.
    """
    params = trials.plan.tensors[tensor]
    low, high = np.log(params.scale / WIDEST), np.log(params.scale * WIDEST)
    scale = params.scale
    for _ in range(HALVINGS):
        scale = as_float32(float(np.exp((low + high) / 2)))
        made = trials.made(grids={tensor: replace(params, scale=scale)})
        if made is None:
            return None
        if np.array_equal(made, trials.case.found):
            return scale
        over = excess(made)
        if over == 0:
            break
        low, high = ((low + high) / 2, high) if over > 0 else (low, (low + high) / 2)
    near = _beside(scale) if around else ()
    return next((item for item in near if trials.same(grids={tensor: replace(params, scale=item)})), None)


def _beside(scale: float) -> Iterator[float]:
    """Yield float32 scales beside `scale`: the next 16, then each eighth, for three steps of 15-bit multipliers.

    Where several inputs are scaled by multipliers of few bits, each steps at scales of its own: sums of integers do not
    fall evenly as the scale grows, and halvings may pass by the right one.
    """
    apart = [*range(1, 17), *range(24, 3 * STEP, 8)]
    start = int(np.float32(scale).view(np.int32))
    yield from (float(np.int32(start + sign * count).view(np.float32)) for count in apart for sign in (1, -1))


def _one_channel(trials: Trials) -> Iterator[Explanation]:
    """Yield what in the constants of one output channel gives the device's integers: bias, one weight, their scale."""
    case, layer = trials.case, trials.layer
    if case.difference.several != 1 or layer.weight is None:
        return
    channel = case.difference.channels[0]
    if layer.bias is not None and layer.bias.size > channel:
        found = _bias(trials, layer.bias, channel)
        if found is not None:
            yield Explanation("bias", f"bias {found} of channel {channel} in place of {int(layer.bias[channel])}")
    yield from _weight(trials, layer.weight, channel)
    if layer.weight.scale.size > channel and layer.weight.per_channel:
        yield from _weight_scale(trials, layer.weight, channel)


def _bias(trials: Trials, bias: NDArray[np.int64], channel: int) -> int | None:
    low, high = -(2**31), 2**31 - 1
    case = trials.case
    theirs = np.take(case.found, channel, trials.axis).astype(np.int64)
    while low <= high:
        middle = (low + high) // 2
        changed = bias.copy()
        changed[channel] = middle
        made = trials.made(replace(trials.layer, bias=changed))
        if made is None:
            return None
        over = int((np.take(made, channel, trials.axis).astype(np.int64) - theirs).sum())
        if np.array_equal(made, case.found):
            return middle
        if over == 0:
            return None
        low, high = (low, middle - 1) if over > 0 else (middle + 1, high)
    return None


def _weight(trials: Trials, weight: QWeight, channel: int) -> Iterator[Explanation]:
    layout = weight_layout(trials.layer.node, weight.values.shape)
    row = layout.by_channel(np.arange(weight.values.size).reshape(weight.values.shape))[channel]
    for tap, signs in likely_weights(trials.plan, trials.layer, trials.case, channel, trials.axis):
        place = np.unravel_index(int(row[tap]), weight.values.shape)
        value = _weight_at(trials, weight, place, signs, channel)
        if value is not None:
            where = ", ".join(str(int(item)) for item in place)
            yield Explanation("weight", f"weight [{where}] is {value} in place of {int(weight.values[place])}")
            return


def _weight_at(
    trials: Trials, weight: QWeight, place: tuple[Any, ...], signs: NDArray[np.int64], channel: int
) -> int | None:
    """Return the value of one weight that gives the device's integers: outputs rise with it where x > 0."""
    low, high = weight.dtype.low, weight.dtype.high
    theirs = np.take(trials.case.found, channel, trials.axis).astype(np.int64).reshape(-1)
    while low <= high:
        middle = (low + high) // 2
        values = weight.values.copy()
        values[place] = middle
        made = trials.made(replace(trials.layer, weight=replace(weight, values=values)))
        if made is None:
            return None
        if np.array_equal(made, trials.case.found):
            return middle
        over = int(((np.take(made, channel, trials.axis).astype(np.int64).reshape(-1) - theirs) * signs).sum())
        if over == 0:
            return None
        low, high = (low, middle - 1) if over > 0 else (middle + 1, high)
    return None


def _weight_scale(trials: Trials, weight: QWeight, channel: int) -> Iterator[Explanation]:
    case, zero = trials.case, trials.out.zero_point
    theirs = np.abs(np.take(case.found, channel, trials.axis).astype(np.int64) - zero).sum()
    low, high = -np.log(WIDEST), np.log(WIDEST)
    for _ in range(HALVINGS):
        scale = weight.scale.copy()
        scale[channel] *= float(np.exp((low + high) / 2))
        made = trials.made(replace(trials.layer, weight=replace(weight, scale=scale)))
        if made is None:
            return
        if np.array_equal(made, case.found):
            text = f"weight scale {scale[channel]:.9g} of channel {channel} in place of {weight.scale[channel]:.9g}"
            yield Explanation("weight_scale", text)
            return
        over = int(np.abs(np.take(made, channel, trials.axis).astype(np.int64) - zero).sum() - theirs)
        if over == 0:
            return
        low, high = (low, (low + high) / 2) if over > 0 else ((low + high) / 2, high)


def whole_presets(target: Target, plan: QuantPlan, inputs: Mapping[str, Array], case: Case, own: str) -> list[str]:
    """Return the presets under which the whole network gives the device's integers of the case's tensor."""
    from slimai.simulator.program import compile_plan  # noqa: PLC0415 - beside its own layer compiler

    found = []
    for name in PRESETS:
        if name == own:
            continue
        try:
            made = compile_plan(plan, target, arithmetic=name).run(inputs, capture=[case.tensor])
        except SlimaiError:
            continue
        if np.array_equal(made[case.tensor], case.found):
            found.append(name)
    return found
