"""float32 functions of the C library: within 8 units of the last place of the real value, over their whole range.

Which of the neighbours they take is held by tests/oracle/test_litert_functions.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from slimai.simulator.ops.c_library import erfc32, exp32, tanh32

FUNCTIONS = {"exp": (exp32, np.exp), "tanh": (tanh32, np.tanh), "erfc": (erfc32, np.vectorize(math.erfc))}


@pytest.mark.parametrize("reach", [1e-30, 1e-3, 0.3, 1.0, 3.0, 9.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_near_the_real_value(name, reach):
    ours, real = FUNCTIONS[name]
    x = np.random.default_rng(1).uniform(-reach, reach, 20_000).astype(np.float32)
    expected = real(x.astype(np.float64))
    found = ours(x)
    assert found.dtype == np.float32
    assert (np.abs(found - expected) <= 8 * np.spacing(np.abs(expected).astype(np.float32))).all()


def test_the_ends():
    ends = np.array([-1e30, -200.0, 0.0, 200.0, 1e30], np.float32)
    assert exp32(ends).tolist() == [0.0, 0.0, 1.0, math.inf, math.inf]
    assert tanh32(ends).tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]
    assert erfc32(ends).tolist() == [2.0, 2.0, 1.0, 0.0, 0.0]
