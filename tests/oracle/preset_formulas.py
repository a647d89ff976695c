"""What the presets make of sums, by formulas of docs/arithmetic.md written here again."""

from __future__ import annotations

import numpy as np


def away(value):
    return float(np.copysign(np.floor(abs(value) + 0.5), value))


def half(bits):
    return 1 << (bits - 1) if bits > 0 else 0


def q31(real):
    fraction, exponent = np.frexp(real)
    fixed, exponent = int(away(float(fraction) * 2.0**31)), int(exponent)
    if fixed == 1 << 31:
        fixed, exponent = 1 << 30, exponent + 1
    return (0, 0) if exponent < -31 or not fixed else (fixed, exponent)


def raw(preset, total, real, y):
    """Return integers of sums before zero point and clamp."""
    if preset == "xi_sym":
        reach = 2.0 ** (y.dtype.bits - y.dtype.signed)
        p = max(0, int(np.ceil(np.log2(reach / (real * 32767)))))
        q = max(q for q in range(256) if away(real * 2.0 ** (p + q)) <= 65535)
        m = int(away(real * 2.0 ** (p + q)))
        narrow = np.clip((total + half(p)) >> p, -32768, 32767)
        return narrow * m + half(q) >> q if q < 40 else np.array([(int(n) * m + half(q)) >> q for n in narrow])
    fixed, exponent = q31(real)
    if preset == "gemmlowp":
        high = ((total << max(exponent, 0)) * fixed + (1 << 30)) >> 31
        right = max(-exponent, 0)
        return (high + half(right) - ((high < 0) & (right > 0))) >> right
    if preset == "tflite_s64":
        short = (fixed + (1 << 15)) >> 16 if fixed < 0x7FFF0000 else 0x7FFF
        return (total * short + half(15 - exponent)) >> (15 - exponent)
    return (total * fixed + half(31 - exponent)) >> (31 - exponent)
