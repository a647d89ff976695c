"""exp, expm1, tanh and erfc of float32 as the C library computes them, which LiteRT calls to make its tables.

They are up to 1 unit of the last place off, and one such unit may move a knot of a 16-bit table: so the same float32
steps are taken. Formulas: FreeBSD's and glibc's fdlibm (s_expm1f, s_tanhf, s_erff) and glibc's expf (2.27 and later).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
_F = np.float32

_EXP_STEPS = 32
_EXP = (0.05550361559341535 / _EXP_STEPS**3, 0.2402284522445722 / _EXP_STEPS**2, 0.6931471806916203 / _EXP_STEPS)
_POWERS = np.exp2(np.arange(_EXP_STEPS) / _EXP_STEPS)
_LN2 = (_F(6.9313812256e-01), _F(9.0580006145e-06))
_EXPM1 = (-3.3333335072e-02, 1.5873016091e-03, -7.9365076090e-05, 4.0082177293e-06, -2.0109921195e-07)
_ERX = _F(8.4506291151e-01)
_PP = (1.2837916613e-01, -3.2504209876e-01, -2.8481749818e-02, -5.7702702470e-03, -2.3763017452e-05)
_QQ = (1.0, 3.9791721106e-01, 6.5022252500e-02, 5.0813062117e-03, 1.3249473704e-04, -3.9602282413e-06)
_PA = (-2.3621185683e-03, 4.1485610604e-01, -3.7220788002e-01, 3.1834661961e-01, -1.1089469492e-01, 3.5478305072e-02,
       -2.1663755178e-03)  # fmt: skip
_QA = (1.0, 1.0642088205e-01, 5.4039794207e-01, 7.1828655899e-02, 1.2617121637e-01, 1.3637083583e-02, 1.1984500103e-02)
_RA = (-9.8649440333e-03, -6.9385856390e-01, -1.0558626175e01, -6.2375331879e01, -1.6239666748e02, -1.8460508728e02,
       -8.1287437439e01, -9.8143291473e00)  # fmt: skip
_SA = (1.0, 1.9651271820e01, 1.3765776062e02, 4.3456588745e02, 6.4538726807e02, 4.2900814819e02, 1.0863500214e02,
       6.5702495575e00, -6.0424413532e-02)  # fmt: skip
_RB = (-9.8649431020e-03, -7.9928326607e-01, -1.7757955551e01, -1.6063638306e02, -6.3756646729e02, -1.0250950928e03,
       -4.8351919556e02)  # fmt: skip
_SB = (1.0, 3.0338060379e01, 3.2579251099e02, 1.5367296143e03, 3.1998581543e03, 2.5530502930e03, 4.7452853394e02,
       -2.2440952301e01)  # fmt: skip


def _polynomial(x: Float, coefficients: tuple[float, ...]) -> Float:
    """Return c0 + x (c1 + x (c2 + ...)) in float32."""
    total = np.full_like(x, coefficients[-1])
    for item in coefficients[-2::-1]:
        total = _F(item) + x * total
    return total


def exp32(x: Float) -> Float:
    """Return e^x of float32: 2^(k/32) (1 + polynomial of the rest) in float64, rounded once; infinite above float32."""
    z = np.asarray(x, np.float64) * (1.4426950408889634 * _EXP_STEPS)
    z = np.clip(z, -200.0 * _EXP_STEPS, 200.0 * _EXP_STEPS)
    k = np.rint(z)
    r = z - k
    whole = k.astype(np.int64)
    power = np.ldexp(_POWERS[whole % _EXP_STEPS], whole // _EXP_STEPS)
    with np.errstate(over="ignore"):
        value: Float = (((_EXP[0] * r + _EXP[1]) * (r * r) + (_EXP[2] * r + 1.0)) * power).astype(np.float32)
    return value


def expm1_32(x: Float) -> Float:
    """Return e^x - 1 of float32 |x| < 27 ln 2 and above 2^-25."""
    near = np.abs(x) < _F(1.0397208)  # 1.5 ln 2
    k = np.where(near, np.sign(x), np.trunc(_F(1.4426950216) * x + np.where(x < 0, _F(-0.5), _F(0.5)))).astype(_F)
    k = np.where(np.abs(x) > _F(0.34657359), k, _F(0))
    high, low = x - k * _LN2[0], k * _LN2[1]
    rest = high - low
    lost = (high - rest) - low
    half = _F(0.5) * rest
    square = rest * half
    r1 = _polynomial(square, (1.0, *_EXPM1))
    t = _F(3.0) - r1 * half
    e = square * ((r1 - t) / (_F(6.0) - rest * t))
    error = (rest * (e - lost) - lost) - square
    power = np.ldexp(_F(1.0), k.astype(np.int32))
    inverse = np.ldexp(_F(1.0), -k.astype(np.int32))
    plus_one = np.where(rest < _F(-0.25), _F(-2.0) * (error - (rest + _F(0.5))), _F(1.0) + _F(2.0) * (rest - error))
    value: Float = np.select(
        [k == 0, k == -1, k == 1, (k <= -2) | (k > 56), k < 23],
        [
            rest - (rest * e - square),
            _F(0.5) * (rest - error) - _F(0.5),
            plus_one,
            (_F(1.0) - (error - rest)) * power - _F(1.0),
            ((_F(1.0) - inverse) - (error - rest)) * power,
        ],
        ((rest - (error + inverse)) + _F(1.0)) * power,
    ).astype(_F)
    return value


def tanh32(x: Any) -> Float:
    """Return tanh of float32."""
    x = np.asarray(x, _F)
    size = np.minimum(np.abs(x), _F(22.0))
    large = size >= 1
    tiny = size < _F(2.0**-55)
    t = expm1_32(np.where(large, _F(2.0), _F(-2.0)) * np.where(tiny, _F(0.5), size))
    value = np.where(large, _F(1.0) - _F(2.0) / (t + _F(2.0)), -t / (t + _F(2.0)))
    value = np.where(tiny, size, np.where(size >= 22, _F(1.0), value))
    signed: Float = np.copysign(value, x).astype(_F)
    return signed


def erfc32(x: Any) -> Float:
    """Return 1 - erf of float32."""
    x = np.asarray(x, _F)
    size = np.abs(x)
    inner = np.clip(x, _F(-0.84375), _F(0.84375))
    y = _polynomial(inner * inner, _PP) / _polynomial(inner * inner, _QQ)
    small = np.where(
        inner < _F(0.25), _F(1.0) - (inner + inner * y), _F(0.5) - (inner * y + (inner - _F(0.5)))
    )  # fmt: skip
    s = np.clip(size, _F(0.84375), _F(1.25)) - _F(1.0)
    quotient = _polynomial(s, _PA) / _polynomial(s, _QA)
    middle = np.where(x >= 0, (_F(1.0) - _ERX) - quotient, _F(1.0) + (_ERX + quotient))
    tail = _erfc_tail(np.clip(size, _F(1.25), _F(27.0)))
    outer = np.where(x > 0, np.where(size >= 28, _F(0.0), tail), np.where(size >= 6, _F(2.0), _F(2.0) - tail))
    result: Float = np.select([size < _F(0.84375), size < _F(1.25)], [small, middle], outer).astype(_F)
    return result


def _erfc_tail(x: Float) -> Float:
    """Return erfc of 1.25 <= x < 28."""
    s = _F(1.0) / (x * x)
    near = x < np.uint32(0x4036DB6D).view(_F)
    ratio = np.where(near, _polynomial(s, _RA) / _polynomial(s, _SA), _polynomial(s, _RB) / _polynomial(s, _SB))
    short = (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(_F)
    product = exp32(-short * short - _F(0.5625)) * exp32((short - x) * (short + x) + ratio)
    return product / x
