"""Ranges against plain integer arithmetic; any input gives a range or a sentence."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from slimai.schema.percent import PercentileRange


@given(lo=st.integers(1, 10_000), span=st.integers(0, 900), step=st.integers(1, 500))
def test_values_are_the_integer_grid_over_a_hundred(lo, span, step):
    hi = min(lo + span, 10_000)
    text = f"{Decimal(lo) / 100}:{Decimal(hi) / 100}:{Decimal(step) / 100}"
    parsed = PercentileRange.parse(text)
    assert [int(value * 100) for value in parsed.values()] == list(range(lo, hi + 1, step))
    assert PercentileRange.parse(str(parsed)) == parsed


@given(st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_input_is_a_range_or_a_sentence(value):
    try:
        parsed = PercentileRange.parse(value)
    except PydanticCustomError as error:
        message = str(error)
    else:
        message = ""
        assert 1 <= len(parsed.values()) <= 1000
        assert all(0 < item <= 100 for item in parsed.values())
    assert not message or len(message.split()) > 3
