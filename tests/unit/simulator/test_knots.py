"""Knots of functions of 16-bit values where the function leaves the output's range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.params import S16, QParams
from slimai.simulator.ops.knots import interpolate, knots_of, place_knots
from slimai.simulator.ops.tables import FUNCTIONS

OPS = ("Softsign", "Erf", "SiLU", "Exp", "Softplus", "Mish", "Elu")


@settings(max_examples=40, deadline=None)
@given(op=st.sampled_from(OPS), x_scale=st.floats(-6, 1), y_scale=st.floats(-12, 0))
def test_at_the_knots_the_function_is_met_or_saturates_whatever_the_grids(op, x_scale, y_scale):
    """Within the bend of a step, halved, where the whole step is inside; else to 1, as nothing is lowered there."""
    x, y = QParams(S16, 10.0**x_scale), 10.0**y_scale
    function = lambda at: FUNCTIONS[op](at, {"alpha": 1.0})
    knots = place_knots(function, *np.array([-32768, 32768]) * x.scale, np.float64(1 / y), inside=True)
    places = x.scale * (-32768 + np.arange(512) * 128)
    step = x.scale * 128
    here, middle, after = (function(places + share * step) / y for share in (0, 0.5, 1))
    bend = np.abs((here + after) / 2 - middle) / 2
    inside = (np.abs(after) <= 32767) & (np.abs(middle) <= 32767)
    wanted = np.clip(here, -32768, 32767)
    assert np.all(np.abs(knots[:-1] - wanted) <= np.where(inside, bend, 0) + 2)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_what_is_infinite_saturates(real):
    knots = knots_of(lambda at: np.where(at > 0, real(np.inf), at).astype(real), QParams(S16, 1.0), 1.0, real)
    assert knots.max() == 32767
    assert np.isfinite(interpolate(np.arange(-32768, 32768), knots)).all()
