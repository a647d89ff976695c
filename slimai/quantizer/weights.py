"""Integer weights and biases of one layer, with the adjustments that make every bias fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Array
from slimai.quantizer.params import IntType
from slimai.quantizer.plan import Decision, QWeight
from slimai.quantizer.weight_layout import WeightLayout
from slimai.quantizer.weight_store import WeightStore

SMALLEST_RATIO = 2.0**-24  # of a channel's weight scale to the layer's largest
BIAS_ROOM_BITS = {8: 30, 16: 46}  # |bias| <= 2^30 in s32; TFLite's s64 recipe holds for sums below 2^47
# Multipliers below 2^-32 become 0 in every preset but xi_sym, and with them what a channel's sums say. Scales of
# weights keep them above this bound: rounding a weight then costs at most 2^-16 of an output step.
SMALLEST_MULTIPLIER = 2.0**-31
ZERO_CHANNEL_BITS = 22  # a channel without weights stores its bias as about 2^22: relative error below 2^-22


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """Weights, bias (None when the layer has none) and what had to be adjusted."""

    weight: QWeight
    bias: NDArray[np.int64] | None
    decisions: tuple[Decision, ...] = ()


def quantize_layer(
    where: str,
    weights: Array,
    bias: Array | None,
    layout: WeightLayout,
    input_scale: float,
    dtype: IntType,
    *,
    per_channel: bool,
    output_scale: float = 0.0,
    wide: bool = False,
    limits: NDArray[np.float64] | None = None,
    store: WeightStore | None = None,
) -> QuantizedLayer:
    """Return the integer weights and bias of one layer.

    weights: float, stored shape. bias: [O] float or None. wide: 16-bit activations, hence an s64 bias.
    output_scale: of the layer's output, where known: no weight scale is so small that the requantization would drop it.
    limits: [O] largest |weight| that is kept, a channel (default: all of it). per_channel: one scale an output
    channel, else one for the layer. Weights take -(2^(b-1)-1)..2^(b-1)-1, rounded half to even in float64; the
    bias is at input_scale * scale. Scales are float32 numbers. store: where the integers of other candidates are.
    """
    store = WeightStore() if store is None else store
    peaks = store.peaks(weights, layout) if limits is None else limits.astype(np.float64)
    offsets = np.zeros(len(peaks)) + (0.0 if bias is None else bias)
    steps = np.abs(offsets) / input_scale
    chosen = _per_channel_scales if per_channel else _one_scale
    finest = SMALLEST_MULTIPLIER * output_scale / input_scale if wide else 0.0  # 2^30 times 2^-32 is nothing anyway
    floors = np.maximum(steps / 2.0 ** BIAS_ROOM_BITS[16 if wide else 8], finest)
    scale, decisions = chosen(where, peaks, steps, dtype.high, floors)
    integers = None if bias is None else np.rint(offsets / (input_scale * scale)).astype(np.int64)
    return QuantizedLayer(store.quantized(weights, layout, dtype, scale), integers, decisions)


def _float32(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    info = np.finfo(np.float32)
    return np.clip(scale, info.tiny, info.max).astype(np.float32).astype(np.float64)


def _one_scale(
    where: str, peaks: NDArray[np.float64], steps: NDArray[np.float64], high: int, floors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
    """Return [1] scale for the whole layer, at least every floor; `steps` is |bias| / input scale."""
    natural = peaks.max(initial=0.0) / high
    floor = floors.max(initial=0.0)
    if natural == 0.0:
        return _float32(np.array([max(steps.max(initial=0.0) / 2.0**ZERO_CHANNEL_BITS, floor) or 1.0])), ()
    decisions: tuple[Decision, ...] = ()
    if floor > natural:
        why = f"a bias would not fit, or the multiplier vanish: {floor / natural:.3g} times coarser"
        decisions = (Decision(where, "weight scale raised", why),)
    return _float32(np.array([max(natural, floor)])), decisions


def _per_channel_scales(
    where: str, peaks: NDArray[np.float64], steps: NDArray[np.float64], high: int, floors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
    """Return [O] scales: each at least its floor, and at least 2^-24 of the layer's largest."""
    natural = peaks / high
    zero = peaks == 0.0
    zeros = np.where(steps > 0, np.maximum(steps / 2.0**ZERO_CHANNEL_BITS, floors), 0.0)
    wanted = np.where(zero, zeros, np.maximum(natural, floors))
    largest = wanted.max(initial=0.0)
    scale = np.maximum(wanted, largest * SMALLEST_RATIO) if largest > 0 else np.ones_like(wanted)
    raised_for_bias = ~zero & (floors > natural)
    raised_for_ratio = ~zero & ~raised_for_bias & (scale > wanted)
    notes = (
        (raised_for_bias, "weight scale raised", "a bias would not fit, or the multiplier vanish"),
        (raised_for_ratio, "weight scale raised", "below 2^-24 of the layer's largest"),
        (zero & (steps > 0), "weights are all zero", "the channel keeps its bias"),
    )
    found = tuple(Decision(where, f"{what} in {_channels(mask)}", why) for mask, what, why in notes if mask.any())
    return _float32(scale), found


def _channels(mask: NDArray[np.bool_], shown: int = 8) -> str:
    numbers = [str(index) for index in np.flatnonzero(mask)]
    tail = f" and {len(numbers) - shown} more" if len(numbers) > shown else ""
    return f"channel{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:shown])}{tail}"


def bias_integers(bias: Array, scale: NDArray[np.float64], bits: int, where: str) -> NDArray[np.int64]:
    """Return a given float bias in steps of `scale`, [C] or [1], rounded half to even.

    bits: of the layer's input. Raises InputError, naming `where`, for what does not fit beside its sums.
    """
    with np.errstate(over="ignore"):  # an infinity is refused like any other
        real = np.rint(bias.astype(np.float64).reshape(-1) / scale)
    room = BIAS_ROOM_BITS[bits] + 1
    wrong = ~(np.abs(real) < 2.0**room)
    if wrong.any():
        message = f"the bias needs more than {room} bits at the scale of the input times that of the weights"
        cure = "quantize the model again, with scales that fit its bias"
        raise InputError.at(where, message, float(real[wrong][0]), cure=cure)
    return real.astype(np.int64)


def quantize_constant(values: Array, dtype: IntType) -> QWeight:
    """Return a constant (the slopes of PRelu) with one symmetric scale."""
    peak = float(np.abs(values).max(initial=0.0))
    scale = _float32(np.array([peak / dtype.high if peak > 0 else 1.0]))
    integers = np.clip(np.rint(values.astype(np.float64) / scale), -dtype.high, dtype.high)
    return QWeight(integers.astype(dtype.numpy), dtype, scale)
