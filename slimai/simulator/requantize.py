"""From an accumulator to an output integer: the rule as a value, its presets, and the tables of one layer.

SPEC of the presets: `docs/arithmetic.md`. The kernels in `_kernels_requantize` are fast forms of `exact`
below; each is chosen only where a bound proves that it gives the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Node
from slimai.graph.ops import Recipe, clamp_range
from slimai.quantizer.params import QParams
from slimai.simulator.fixed_point import (
    Int,
    multiply_by_quantized_multiplier,
    multiply_shift,
    quantize_multiplier,
    round_half_away,
)


@dataclass(frozen=True)
class RequantRule:
    """How an accumulator becomes an output integer.

    acc_bits / wide_acc_bits: accumulator for 8-bit and for s16 inputs. pre_shift: whether a rounding right shift
    (half up) and a saturation to `pre_bits` precede the multiplier. multiplier_bits / multiplier_signed:
    the multiplier's width (a float32 significand for kind float32). final: half_up (one rounding), two_step
    (high multiply half up, then shift with ties away from zero), half_even (float32) or half_away (float64).
    recipe: whose operator recipes go with it: dsp (docs/arithmetic.md), tflite or ort.
    """

    name: str
    multiplier_bits: int
    multiplier_signed: bool
    final: Literal["half_up", "two_step", "half_even", "half_away"]
    recipe: Recipe
    acc_bits: int = 32
    wide_acc_bits: int = 64
    pre_shift: bool = False
    pre_bits: int = 0


XI_SYM = RequantRule("xi_sym", 16, multiplier_signed=False, final="half_up", recipe="dsp", pre_shift=True, pre_bits=16)
GEMMLOWP = RequantRule("gemmlowp", 31, multiplier_signed=True, final="two_step", recipe="tflite")
TFLITE_S64 = RequantRule("tflite_s64", 15, multiplier_signed=True, final="half_up", recipe="tflite", acc_bits=64)
SINGLE = RequantRule("single", 31, multiplier_signed=True, final="half_up", recipe="dsp")
ORT_F32 = RequantRule("ort_f32", 24, multiplier_signed=True, final="half_even", recipe="ort")
# TFLite's reference kernels requantize fully connected layers of 8-bit weights in float64, whatever the preset.
TFLITE_DENSE = RequantRule("tflite_dense", 53, multiplier_signed=True, final="half_away", recipe="tflite")
PRESETS = {rule.name: rule for rule in (XI_SYM, GEMMLOWP, TFLITE_S64, SINGLE, ORT_F32)}


def real_multiplier(rule: RequantRule, numerator: tuple[Any, ...], denominator: float) -> NDArray[np.float64]:
    """Return the product of `numerator` scales over `denominator`, [C] float64, in the rule's own arithmetic.

    ort_f32 multiplies and divides in float32, left to right; the others in float64.
    """
    kind: type[np.floating[Any]] = np.float32 if rule.final == "half_even" else np.float64
    product: NDArray[Any] = np.ones(1, kind)
    for scale in numerator:
        product = product * np.asarray(scale, kind).reshape(-1)
    return np.asarray(product / kind(denominator), np.float64)


def clamp_limits(out: QParams, activation: Node | None, recipe: Recipe) -> tuple[int, int]:
    """Return the inclusive integer limits of an output with its folded Relu or Clip.

    A limit v becomes zero_point + round(v / scale): half to even in float64, except that TFLite's recipe
    divides in float32 and rounds half away from zero. Where channels have upper limits of their own
    (`upper_limits`), the largest of them counts here.
    """
    low, high = out.dtype.low, out.dtype.high
    if activation is None:
        return low, high
    real_low, real_high = clamp_range(activation)
    if np.isfinite(real_low):
        low = max(low, _integer_limit(real_low, out, recipe))
    if np.isfinite(real_high):
        high = min(high, _integer_limit(real_high, out, recipe))
    return min(low, high), high


def upper_limits(out: QParams, limits: tuple[float, ...], recipe: Recipe) -> Int:
    """Return inclusive upper limits [C] of the channels, rounded as in `clamp_limits`."""
    return np.array([min(out.dtype.high, _integer_limit(real, out, recipe)) for real in limits], np.int64)


def _integer_limit(real: float, out: QParams, recipe: Recipe) -> int:
    if recipe == "tflite":
        return out.zero_point + int(round_half_away(np.float32(real) / np.float32(out.scale)))
    return out.zero_point + int(np.rint(np.float64(real) / out.scale))


def xi_parameters(multiplier: NDArray[np.float64], out: QParams, where: str) -> tuple[Int, Int, Int]:
    """Return (p, m, q) of `xi_sym` for each channel: pre-shift, u16 multiplier, final shift.

    p = max(0, ceil(log2(Y / (M * 32767)))) with Y = 2**7, 2**8 or 2**15 for s8, u8, s16; q is the largest in
    0..255 with m = round_half_away(M * 2**(p + q)) <= 65535. M = 0 gives (0, 0, 0).

    Raises:
        InputError: a multiplier is 2**16 or more; the message names the node `where`.
    """
    if np.any(multiplier >= 65536.0):
        worst = float(multiplier.max())
        raise InputError.at(where, "multiplier does not fit 16 bits", worst, cure="raise the output's range")
    reach = 2.0 ** (out.dtype.bits - out.dtype.signed)
    alive = multiplier > 0.0
    real = np.where(alive, multiplier, 1.0)
    # ratio = f * 2**e with 0.5 <= f < 1, so ceil(log2) is e, or e - 1 for an exact power of two
    with np.errstate(over="ignore"):  # of a subnormal M, which ends at p = 0 and q = 255
        fraction, exponent = np.frexp(reach / (real * 32767.0))
    p = np.maximum(0, exponent.astype(np.int64) - (fraction == 0.5))
    # M * 2**(p + q) has its leading bit at place 15, unless rounding carries it to 2**16
    q = np.clip(16 - np.frexp(real)[1].astype(np.int64) - p, 0, 255)
    q -= (q > 0) & (round_half_away(np.ldexp(real, p + q)) > 65535)
    m = round_half_away(np.ldexp(real, p + q)).astype(np.int64)
    return np.where(alive, p, 0), np.where(alive, m, 0), np.where(alive, q, 0)


@dataclass(frozen=True, eq=False)
class Requantizer:
    """The integer tables of one layer's requantization, one entry a channel (or one in all).

    multiplier, shift, pre_shift: [C] int64 (`shift` is the right shift of the final step; for two_step it is
    the exponent e of `quantize_multiplier`). real: [C] M as a double (what float rules multiply by).
    low, high: inclusive clamp.
    """

    rule: RequantRule
    out: QParams
    low: int
    high: int
    multiplier: Int
    shift: Int
    pre_shift: Int
    real: NDArray[np.float64]

    @property
    def channels(self) -> int:
        """Number of channels with tables of their own."""
        return int(self.multiplier.size)

    def repeated(self, times: int) -> Requantizer:
        """Return the requantizer of so many times the channels, in turn."""
        if self.channels == 1:
            return self
        fixed, shift, pre = (np.tile(table, times) for table in (self.multiplier, self.shift, self.pre_shift))
        real = np.tile(self.real, times)
        return replace(self, multiplier=fixed, shift=shift, pre_shift=pre, real=real)

    def exact(self, acc: NDArray[Any]) -> NDArray[Any]:
        """Return output integers of an integer accumulator [..., C] (or any shape when C is 1).

        Works for every |acc| < 2**47; this is the definition that the kernels are tested against.
        """
        return self.finish(self.raw(np.asarray(acc)))

    def raw(self, acc: NDArray[Any]) -> NDArray[Any]:
        """Return the value before zero point and clamp, int64."""
        if self.rule.final == "half_even":
            low, high = (np.float32(limit - self.out.zero_point) for limit in (self.low, self.high))
            product: NDArray[np.float32] = acc.astype(np.float32) * self.real.astype(np.float32)
            return np.rint(np.minimum(np.maximum(product, low), high)).astype(np.int64)
        if self.rule.final == "half_away":
            rounded: NDArray[np.int64] = round_half_away(acc.astype(np.float64) * self.real).astype(np.int64)
            return rounded
        value = acc.astype(np.int64)
        if self.rule.final == "two_step":
            return multiply_by_quantized_multiplier(value, self.multiplier, self.shift)
        if self.rule.pre_shift:
            limit = 1 << (self.rule.pre_bits - 1)
            value = np.clip(_half_up(value, self.pre_shift), -limit, limit - 1)
        return multiply_shift(value, self.multiplier, np.minimum(self.shift, 62))

    def finish(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return output integers: plus zero point, clamped, in the output's NumPy type."""
        integers: NDArray[Any] = np.clip(raw + self.out.zero_point, self.low, self.high).astype(self.out.dtype.numpy)
        return integers

    def table(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that describe the layer for the exported integer tables."""
        if self.rule.final in {"half_even", "half_away"}:
            return {"multiplier": self.real}
        tables: dict[str, NDArray[Any]] = {"multiplier": self.multiplier, "shift": self.shift}
        return {**tables, "pre_shift": self.pre_shift} if self.rule.pre_shift else tables


def _half_up(value: Int, shift: Int) -> Int:
    shift = np.minimum(shift, 62)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (value + half) >> shift


def build_requantizer(
    rule: RequantRule,
    multiplier: NDArray[np.float64],
    out: QParams,
    where: str,
    limits: tuple[int, int] | None = None,
) -> Requantizer:
    """Return the requantizer of real multipliers M, [C] float64, into `out`.

    Args:
        rule: the arithmetic.
        multiplier: M per channel, not negative (see `real_multiplier`).
        out: output type, scale and zero point.
        where: node name for messages.
        limits: inclusive clamp; default the whole output type.

    Raises:
        InputError: `xi_sym` with M of 2**16 or more, or a multiplier that is not finite.
    """
    real = np.atleast_1d(np.asarray(multiplier, np.float64))
    if not np.all(np.isfinite(real)) or np.any(real < 0):
        raise InputError.at(where, "multiplier is not a finite positive number", cure="check the scales")
    low, high = limits if limits is not None else (out.dtype.low, out.dtype.high)
    pre = np.zeros(real.size, np.int64)
    if rule.pre_shift:
        pre, fixed, shift = xi_parameters(real, out, where)
    else:
        fixed, shift = quantize_multiplier(real)
        if rule.final == "half_up" and rule.multiplier_bits == 15:
            fixed, shift = _short_multiplier(fixed), np.where(fixed > 0, 15 - shift, 0)
        elif rule.final == "half_up":
            shift = np.where(fixed > 0, 31 - shift, 0)
    if np.any((shift < 0) if rule.final == "half_up" else (shift > 30)):
        raise InputError.at(where, "multiplier is too large for the shift", float(real.max()), cure="check the scales")
    return Requantizer(rule, out, low, high, fixed, shift, pre, real)


def _short_multiplier(q31: Int) -> Int:
    """Return TFLite's 16-bit multiplier of a 31-bit one."""
    return np.where(q31 < 0x7FFF0000, (q31 + (1 << 15)) >> 16, 0x7FFF)
