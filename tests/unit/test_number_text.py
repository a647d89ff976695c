from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slimai.number_text import decimals, shortest, yaml_float

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_dash(value):
    assert decimals(value, 3) == "-"
    assert decimals(value, 3, none="") == ""


@given(st.decimals(-1000, 1000, places=4))
def test_decimals_are_so_many_and_the_nearest(value):
    assert decimals(float(value), 4) == f"{value:.4f}"
    assert abs(float(decimals(float(value), 2)) - float(value)) <= 0.005 + 1e-9


@pytest.mark.parametrize(
    ("value", "text"), [(12.0, "12"), (0.5, "0.5"), (-3.0, "-3"), (1e15, "1000000000000000.0"), (7, "7")]
)
def test_the_shortest_text(value, text):
    assert shortest(value) == text


@given(finite)
def test_texts_read_back_to_the_same_double(value):
    assert float(shortest(value)) == value
    read = yaml.safe_load(yaml_float(value))
    assert type(read) is float
    assert read.hex() == value.hex()
