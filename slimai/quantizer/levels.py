"""The accuracy levels, as one table, and the affine parameters that follow from limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from slimai.errors import InputError
from slimai.graph.ops import TRAITS
from slimai.quantizer.params import LARGEST_REAL, S8, S16, U8, IntType, QParams

# Smallest normal float32.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


JOINS = 4  # the level whose types joins of unlike ranges have, at every level


@dataclass(frozen=True)
class Scheme:
    """Integer types of one accuracy level; all code reads them here.

    weights, activations: of layers. per_channel: whether operators with that capability have one weight scale an
    output channel. nonnegative: the type of tensors that cannot be negative, where it differs; of the same width.
    asymmetric: activations have a zero point. other: the level whose types the layers of another width have, in mixed
    precision; None: there is no mixed precision.
    """

    weights: IntType
    activations: IntType
    per_channel: bool
    nonnegative: IntType | None = None
    asymmetric: bool = False
    other: int | None = None

    def __post_init__(self) -> None:
        if self.nonnegative is not None and (self.asymmetric or self.nonnegative.bits != self.bits):
            raise ValueError("a type of its own for tensors that cannot be negative is symmetric, and as wide")

    @property
    def bits(self) -> int:
        """Width of the activations."""
        return self.activations.bits

    @property
    def raised_bits(self) -> int | None:
        """The width that mixed precision can raise layers to, or None where there is none above the level's own."""
        wider = None if self.other is None else LEVELS[self.other].bits
        return wider if wider is not None and wider > self.bits else None

    @property
    def join_bits(self) -> int:
        """Width of joins of unlike ranges; they are left alone where it is not above the level's own."""
        return LEVELS[JOINS].bits

    def at(self, bits: int) -> Scheme:
        """Return the scheme of layers that read, or tensors that have, `bits` bits.

        Raises:
            InputError: the level has no types of that width.
        """
        if bits == self.bits:
            return self
        levels = [number for number in (self.other, JOINS) if number is not None]
        found = next((LEVELS[number] for number in levels if LEVELS[number].bits == bits), None)
        if found is None:
            raise _no_types(bits)
        return found

    def check_mixed(self, bits: int) -> None:
        """Refuse, by InputError, bits that mixed precision cannot give a layer of this level."""
        if bits != self.bits and (self.other is None or LEVELS[self.other].bits != bits):
            raise _no_types(bits)

    def type_of(self, *, nonnegative: bool) -> IntType:
        """Return the type of an activation; nonnegative: it cannot be negative whatever the input."""
        return self.nonnegative if nonnegative and self.nonnegative is not None else self.activations


def _no_types(bits: int) -> InputError:
    return InputError.at("quantization.mix", "the accuracy level has no integer types of this many bits", bits)


LEVELS: dict[int, Scheme] = {
    0: Scheme(weights=S8, activations=S8, per_channel=False),
    1: Scheme(weights=S8, activations=S8, per_channel=True, other=4),
    2: Scheme(weights=S8, activations=S8, per_channel=True, nonnegative=U8, other=4),
    3: Scheme(weights=S8, activations=U8, per_channel=True, asymmetric=True, other=4),
    4: Scheme(weights=S16, activations=S16, per_channel=True, other=1),
}


def scale_of_zeros(dtype: IntType) -> float:
    """Return the scale of a tensor without any range: it reaches 1, where functions are tame (exp(256) is not)."""
    return 2.0 ** (1 - dtype.bits)


def as_float32(value: float) -> float:
    """Return the nearest float32 of a positive `value` as a double: never zero, subnormal or infinite."""
    return float(np.float32(min(max(value, SMALLEST_SCALE), LARGEST_REAL)))


def symmetric_params(magnitude: float, dtype: IntType) -> QParams:
    """Return parameters with zero point 0 that reach `magnitude` with the largest integer of `dtype`."""
    scale = magnitude / dtype.high if magnitude > 0 else scale_of_zeros(dtype)
    return _finite(QParams(dtype, as_float32(scale), 0))


def asymmetric_params(low: float, high: float, dtype: IntType = U8) -> QParams:
    """Return parameters that cover [low, high], which hold 0.0, with an integer zero point.

    The zero point is -low/scale rounded half to even: the range moves by less than half a step.
    """
    if high <= low:
        return QParams(dtype, scale_of_zeros(dtype), dtype.low)
    scale = as_float32((high - low) / (dtype.high - dtype.low))
    zero = dtype.low + round(-low / scale)
    return _finite(QParams(dtype, scale, min(max(zero, dtype.low), dtype.high)))


def _finite(params: QParams) -> QParams:
    """Return the parameters, with a scale at which every integer stands for a finite float32 (masks reach its end)."""
    dtype, zero = params.dtype, params.zero_point
    most = LARGEST_REAL / max(dtype.high - zero, zero - dtype.low)
    if params.scale <= most:
        return params
    nearest = np.float32(most)
    below = nearest if float(nearest) <= most else np.nextafter(nearest, np.float32(0))
    return QParams(dtype, float(below), zero)


def activation_params(scheme: Scheme, low: float, high: float, *, nonnegative: bool, bits: int) -> QParams:
    """Return the parameters of an activation with limits low <= 0 <= high at the width `bits`.

    nonnegative: the tensor cannot be negative whatever the input (not: was not in calibration).
    """
    own = scheme.at(bits)
    kind = own.type_of(nonnegative=nonnegative)
    if own.asymmetric:
        return asymmetric_params(low, high, kind)
    return symmetric_params(max(-low, high) if kind.signed else high, kind)


def fixed_params(scheme: Scheme, op: str, bits: int) -> QParams:
    """Return the parameters of the output of an operator whose output scale is part of its definition.

    Its integers divide the operator's `fixed_range` into 2^bits steps. Signed types have zero point 0 at levels without
    zero points, so the end of the range that is farther from 0 gets half of them: 127/128 or 32767/32768 is reached.
    """
    fixed_range = TRAITS[op].fixed_range
    if fixed_range is None:
        raise ValueError(f"{op} has no fixed range")
    own, (low, high) = scheme.at(bits), fixed_range
    kind = own.type_of(nonnegative=low >= 0)
    if kind.signed and not own.asymmetric:
        return QParams(kind, max(-low, high) / 2 ** (kind.bits - 1))
    scale = (high - low) / 2**kind.bits
    return QParams(kind, scale, kind.low + round(-low / scale))


def limits_of(params: QParams) -> tuple[float, float]:
    """Return the real values of the smallest and the largest integer."""
    low, high = params.dtype.low, params.dtype.high
    return (low - params.zero_point) * params.scale, (high - params.zero_point) * params.scale


def is_usable(scale: float) -> bool:
    """Return whether `scale` is finite, normal as a float32, and positive."""
    return math.isfinite(scale) and scale >= SMALLEST_SCALE
