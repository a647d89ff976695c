"""Tensors that validation pictures take beyond their integers are named, with the factor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.quantizer.params import S8, U8, QParams
from slimai.report.reach import FACTOR, NAMED, Reach, reach_notes

WIDTHS = st.floats(0.01, 100)


@given(WIDTHS, st.lists(st.floats(-400, 400, width=32), min_size=1, max_size=20), st.integers(1, 3))
def test_the_factor_is_that_of_the_furthest_value(scale, values, parts):
    """Oracle: each value by itself; tolerance 1e-9 relative."""
    params = QParams(S8, scale, 0)
    reach = Reach()
    for part in np.array_split(np.array(values, np.float32), parts):
        reach.add("x", part)
    least, most = -128 * scale, 127 * scale
    excess = max(max(least - value, value - most, 0.0) for value in np.array(values, np.float32).astype(float))
    assert reach.factors({"x": params})["x"] == pytest.approx(1 + excess / (128 * scale), rel=1e-9)


def test_the_furthest_are_named_and_the_rest_counted():
    params = {f"t{index}": QParams(U8, 1 / 255, 0) for index in range(NAMED + 3)}
    reach = Reach()
    for index, name in enumerate(params):
        reach.add(name, np.array([0.0, 1.3 + index], np.float32))
    params["kept"] = QParams(U8, 1 / 255, 0)
    reach.add("kept", np.array([0.99 * FACTOR], np.float32))
    notes = reach_notes(reach, params, {f"t{NAMED + 2}": "Conv_a__1:0"})
    assert len(notes) == NAMED + 1
    assert notes[0].startswith("Conv_a__1:0: validation pictures go 15.30 times as far as its integers reach")
    assert notes[-1] == "3 more tensors are left by more than a factor of 1.25"
    assert "kept" not in "".join(notes)
