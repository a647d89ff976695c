"""The accuracy levels, as one table, and the affine parameters that follow from limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from slimai.quantizer.params import S8, S16, U8, IntType, QParams

# Smallest normal float32; scales of tensors without any range are 2^-7, which no product can underflow.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
SCALE_OF_ZEROS = 2.0**-7


@dataclass(frozen=True)
class Scheme:
    """Integer types of one accuracy level.

    per_channel: whether operators with that capability have one weight scale an output channel.
    unsigned: tensors that cannot be negative are u8 symmetric. asymmetric: activations are u8 with a zero point.
    """

    weights: IntType
    activations: IntType
    per_channel: bool
    unsigned: bool = False
    asymmetric: bool = False


LEVELS: dict[int, Scheme] = {
    0: Scheme(weights=S8, activations=S8, per_channel=False),
    1: Scheme(weights=S8, activations=S8, per_channel=True),
    2: Scheme(weights=S8, activations=S8, per_channel=True, unsigned=True),
    3: Scheme(weights=S8, activations=U8, per_channel=True, asymmetric=True),
    4: Scheme(weights=S16, activations=S16, per_channel=True),
}

# Operators whose output scale is part of their definition: (8 bit unsigned, 8 bit signed, 16 bit).
# Signed types have zero point 0, so half of the table would be lost on 1/256: the ends are 127/128 and 32767/32768.
FIXED_SCALES: dict[str, tuple[float, float, float]] = {
    "Sigmoid": (2.0**-8, 2.0**-7, 2.0**-15),
    "Softmax": (2.0**-8, 2.0**-7, 2.0**-15),
    "Tanh": (2.0**-7, 2.0**-7, 2.0**-15),
}


def as_float32(value: float) -> float:
    """Return the nearest float32 of a positive `value` as a double: never zero, subnormal or infinite."""
    largest = float(np.finfo(np.float32).max)
    return float(np.float32(min(max(value, SMALLEST_SCALE), largest)))


def symmetric_params(magnitude: float, dtype: IntType) -> QParams:
    """Return parameters with zero point 0 that reach `magnitude` with the largest integer of `dtype`."""
    scale = magnitude / dtype.high if magnitude > 0 else SCALE_OF_ZEROS
    return QParams(dtype, as_float32(scale), 0)


def asymmetric_params(low: float, high: float, dtype: IntType = U8) -> QParams:
    """Return parameters that cover [low, high], which hold 0.0, with an integer zero point.

    The zero point is -low/scale rounded half to even: the range moves by less than half a step.
    """
    if high <= low:
        return QParams(dtype, SCALE_OF_ZEROS, dtype.low)
    scale = as_float32((high - low) / (dtype.high - dtype.low))
    zero = dtype.low + round(-low / scale)
    return QParams(dtype, scale, min(max(zero, dtype.low), dtype.high))


def activation_params(scheme: Scheme, low: float, high: float, *, nonnegative: bool, bits: int) -> QParams:
    """Return the parameters of an activation with limits low <= 0 <= high at 8 or 16 bits.

    nonnegative: the tensor cannot be negative whatever the input (not: was not in calibration).
    """
    if bits == 16:
        return symmetric_params(max(-low, high), S16)
    if scheme.asymmetric:
        return asymmetric_params(low, high)
    if scheme.unsigned and nonnegative:
        return symmetric_params(high, U8)
    return symmetric_params(max(-low, high), S8)


def fixed_params(scheme: Scheme, op: str, bits: int) -> QParams:
    """Return the parameters of the output of a fixed-scale operator (a key of FIXED_SCALES)."""
    unsigned, signed, wide = FIXED_SCALES[op]
    if bits == 16:
        return QParams(S16, wide)
    if scheme.asymmetric:
        return QParams(U8, unsigned, 128 if op == "Tanh" else 0)
    if scheme.unsigned and op != "Tanh":
        return QParams(U8, unsigned)
    return QParams(S8, signed)


def limits_of(params: QParams) -> tuple[float, float]:
    """Return the real values of the smallest and the largest integer."""
    low, high = params.dtype.low, params.dtype.high
    return (low - params.zero_point) * params.scale, (high - params.zero_point) * params.scale


def is_usable(scale: float) -> bool:
    """Return whether `scale` is finite, normal as a float32, and positive."""
    return math.isfinite(scale) and scale >= SMALLEST_SCALE
