"""The compiled loops give what their NumPy twins and plain definitions give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import INT_TYPES, QParams
from slimai.report import _kernels, _reference

TYPES = [INT_TYPES[name] for name in ("s8", "u8", "s16")]


def values(draw_seed, size):
    rng = np.random.default_rng(draw_seed)
    return (rng.normal(0, 10.0 ** rng.integers(-3, 4), size)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 300), st.sampled_from(TYPES), st.floats(1e-4, 10), st.booleans())
def test_kernels_equal_their_twins(seed, size, kind, scale, shifted):
    truth = values(seed, size)
    zero = float(kind.low + 7) if shifted else 0.0
    mine, theirs = np.empty(size, kind.numpy), np.empty(size, kind.numpy)
    sums, twin = np.zeros(4), np.zeros(4)
    _kernels.quantize(truth, scale, zero, float(kind.low), float(kind.high), mine, sums)
    _reference.quantize(truth, scale, zero, float(kind.low), float(kind.high), theirs, twin)
    np.testing.assert_array_equal(mine, theirs)
    assert sums[3] == twin[3]
    np.testing.assert_allclose(sums, twin, rtol=1e-12, atol=1e-300)  # sums in another order
    _kernels.compare(truth, mine, scale, zero, sums)
    _reference.compare(truth, mine, scale, zero, twin)
    np.testing.assert_allclose(sums, twin, rtol=1e-9, atol=1e-9 * max(1.0, float(twin[0])))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_integers_are_those_of_the_parameters(kind):
    params = QParams(kind, float(np.float32(0.037)), 3 if not kind.signed else 0)
    truth = values(1, 5000)
    found, sums = np.empty(truth.size, kind.numpy), np.zeros(4)
    _kernels.quantize(truth, params.scale, float(params.zero_point), float(kind.low), float(kind.high), found, sums)
    np.testing.assert_array_equal(found, params.quantize(truth))


def test_clipped_values_are_those_half_a_step_beyond_the_ends():
    truth = np.array([126.4, 127.4, 127.6, 200.0, -128.4, -129.0], np.float32)
    found, sums = np.empty(6, np.int8), np.zeros(4)
    _kernels.quantize(truth, 1.0, 0.0, -128.0, 127.0, found, sums)
    assert found.tolist() == [126, 127, 127, 127, -128, -128]
    assert sums[3] == 3  # 127.6, 200 and -129
    clipped = (np.float64(truth[2]) - 127) ** 2 + 73.0**2 + 1.0
    assert sums[2] == pytest.approx(clipped, rel=1e-12)
