"""Softmax of float networks over short and long axes: at most 0.55 steps from float64, whatever the axis' length."""

from __future__ import annotations

import numpy as np
import pytest
import scalar_models as scalar
from plans import Op, one_op, params, program


@pytest.mark.parametrize("peak", [0.0, 5.0, 10.0, 25.0])
@pytest.mark.parametrize("depth", [2, 100, 1000, 1024, 1025, 6625])
@pytest.mark.parametrize("dtype", ["s8", "s16"])
def test_one_step_from_float64(dtype, depth, peak):
    """Of what the grid holds: signed types have no 1.0."""
    rng = np.random.default_rng(depth)
    real = rng.normal(0, 1, (3, depth))
    real[:, depth // 2] = real.max() + peak
    x_q = params(dtype, np.abs(real).max() / (32767 if dtype == "s16" else 127))
    y_q = params(dtype, 2.0**-15 if dtype == "s16" else 2.0**-7)
    x = x_q.quantize(real.astype(np.float32))
    plan = one_op(Op("Softmax", ("x",), "y", {"axis": 1}), {"x": (1, depth)}, (1, depth), {"x": x_q}, y_q)
    found = program(plan, "native").run({"x": x})["y"]
    powers = np.exp(x_q.dequantize(x).astype(float) - x_q.dequantize(x).max(axis=1, keepdims=True))
    wanted = powers / powers.sum(axis=1, keepdims=True) / y_q.scale
    assert np.abs(found - np.minimum(wanted, y_q.dtype.high)).max() <= 0.55
    scalars = [scalar.softmax(row, scalar.Quantity(x_q), scalar.Quantity(y_q)) for row in x.tolist()]
    assert found.tolist() == scalars
