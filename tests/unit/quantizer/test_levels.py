"""Scales and zero points: formulas by hand, extremes finite, zero always exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.quantizer.levels import (
    LEVELS,
    activation_params,
    asymmetric_params,
    fixed_params,
    is_usable,
    limits_of,
    symmetric_params,
)
from slimai.quantizer.params import S8, S16, U8, QParams


@pytest.mark.parametrize(
    ("level", "nonnegative", "expected"),
    [
        (0, True, QParams(S8, np.float32(6 / 127))),
        (1, False, QParams(S8, np.float32(6 / 127))),
        (2, True, QParams(U8, np.float32(6 / 255))),
        (2, False, QParams(S8, np.float32(6 / 127))),
        (3, True, QParams(U8, np.float32(6 / 255), 0)),
        (4, True, QParams(S16, np.float32(6 / 32767))),
    ],
)
def test_the_table_of_levels(level, nonnegative, expected):
    bits = 16 if level == 4 else 8
    found = activation_params(LEVELS[level], 0.0, 6.0, nonnegative=nonnegative, bits=bits)
    assert found == expected


def test_weights_and_granularity_by_level():
    assert [LEVELS[n].weights.name for n in range(5)] == ["s8", "s8", "s8", "s8", "s16"]
    assert [LEVELS[n].per_channel for n in range(5)] == [False, True, True, True, True]


def test_asymmetric_by_hand():
    found = asymmetric_params(-1.0, 2.0)
    assert found == QParams(U8, float(np.float32(3 / 255)), 85)


def test_a_16_bit_tensor_is_symmetric_at_every_level():
    for level in range(1, 5):
        found = activation_params(LEVELS[level], -1.0, 3.0, nonnegative=False, bits=16)
        assert found == QParams(S16, float(np.float32(3 / 32767)))


@pytest.mark.parametrize(
    ("level", "op", "bits", "expected"),
    [
        (0, "Sigmoid", 8, QParams(S8, 1 / 128)),
        (1, "Softmax", 8, QParams(S8, 1 / 128)),
        (1, "Tanh", 8, QParams(S8, 1 / 128)),
        (2, "Sigmoid", 8, QParams(U8, 1 / 256)),
        (2, "Tanh", 8, QParams(S8, 1 / 128)),
        (3, "Softmax", 8, QParams(U8, 1 / 256)),
        (3, "Tanh", 8, QParams(U8, 1 / 128, 128)),
        (4, "Tanh", 16, QParams(S16, 1 / 32768)),
        (3, "Sigmoid", 16, QParams(S16, 1 / 32768)),
    ],
)
def test_fixed_scales(level, op, bits, expected):
    assert fixed_params(LEVELS[level], op, bits) == expected


EDGE = st.one_of(st.floats(0, 3.4e38), st.sampled_from([0.0, 1e-30, 1e-45, 5e-324, 1e30, 3.4e38]))


@given(EDGE, EDGE, st.sampled_from([0, 2, 3, 4]), st.booleans())
def test_scales_are_normal_float32_and_zero_is_exact(low, high, level, nonnegative):
    found = activation_params(
        LEVELS[level], -low, high, nonnegative=nonnegative and low == 0, bits=16 if level == 4 else 8
    )
    assert is_usable(found.scale)
    assert found.scale == float(np.float32(found.scale))
    assert found.dtype.low <= found.zero_point <= found.dtype.high
    assert found.dequantize(found.quantize(np.zeros(1))) == [0.0]


@given(st.floats(2.0**-100, 1e30), st.floats(0, 1))
def test_limits_are_covered_to_half_a_step(spread, share):
    """The asymmetric range moves by at most half a step; the symmetric one holds both limits (1e-6 relative)."""
    low, high = -spread * share, spread * (1 - share)
    asymmetric = asymmetric_params(low, high)
    bottom, top = limits_of(asymmetric)
    assert abs(bottom - low) <= asymmetric.scale * 0.5001
    assert abs(top - high) <= asymmetric.scale * 0.5001
    symmetric = symmetric_params(max(-low, high), S8)
    assert limits_of(symmetric)[1] >= max(-low, high) * (1 - 1e-6)


LARGEST = float(np.finfo(np.float32).max)
ENDS = st.floats(0, LARGEST, width=32)


@given(st.sampled_from([S8, S16, U8]), ENDS, ENDS, st.booleans())
def test_every_integer_stands_for_a_finite_float32(dtype, below, above, symmetric):
    params = symmetric_params(above, dtype) if symmetric else asymmetric_params(-below, above, dtype)
    for integer in (dtype.low, dtype.high):
        with np.errstate(over="raise"):
            real = np.float32(integer - params.zero_point) * np.float32(params.scale)
        assert np.isfinite(real)
    step = params.scale * 1.01
    reach = [
        (params.dtype.low - params.zero_point) * params.scale,
        (params.dtype.high - params.zero_point) * params.scale,
    ]
    assert reach[1] >= above - step
    assert symmetric or reach[0] <= -below + step
