"""The range value: parsing, exact values, refusals with their text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic_core import PydanticCustomError

import slimai
from slimai.schema.percent import PercentileRange, base60_message, percent_text


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("96:99:1", ["96", "97", "98", "99"]),
        ("96:99", ["96", "97", "98", "99"]),
        ("98:98", ["98"]),
        ("90:99:4", ["90", "94", "98"]),  # the stop counts only when it falls on the grid
        ("99:100:0.1", ["99", "99.1", "99.2", "99.3", "99.4", "99.5", "99.6", "99.7", "99.8", "99.9", "100"]),
        ("99.99", ["99.99"]),
        (99.99, ["99.99"]),
        (100, ["100"]),
        (100.0, ["100"]),
        (" 95 : 96 ", ["95", "96"]),
        ("1e1:20:10", ["10", "20"]),
    ],
)
def test_values_are_exact_decimals_stop_included(written, values):
    parsed = PercentileRange.parse(written)
    assert [percent_text(value) for value in parsed.values()] == values
    assert parsed.values() == tuple(Decimal(text) for text in values)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (147001, "an unquoted 40:50:1 is a base-60 number in YAML 1.1, quote it"),
        (496, "an unquoted 8:16 is a base-60 number in YAML 1.1"),
        (100.5, "A percentage is at most 100"),
        ("0:10", "Percentages should be above 0 and at most 100"),
        ("90:101", "Percentages should be above 0 and at most 100"),
        ("-5", "Percentages should be above 0 and at most 100"),
        ("99:90", "The first percentage 99 is above the last 90"),
        ("90:99:0", "The step should be above 0"),
        ("90:99:-1", "The step should be above 0"),
        ("1:100:0.001", "The range has more than 1000 values"),
        ("1:2:3:4", "A range has at most three parts"),
        ("a:b", "'a' is not a number"),
        ("", "'' is not a number"),
        ("nan", "'nan' is not a percentage"),
        ("1e999999", "'1e999999' is not a percentage"),
        (True, "Input should be a range of percentages"),
        (None, "Input should be a range of percentages"),
        ([90, 99], "Input should be a range of percentages"),
        (float("inf"), "'inf' is not a percentage"),
    ],
)
def test_a_wrong_range_says_why(written, message):
    with pytest.raises(PydanticCustomError) as error:
        PercentileRange.parse(written)
    assert message in str(error.value)


def test_the_text_parses_back():
    for text in ("96:99:0.5", "96:99", "98", "99.99"):
        assert str(PercentileRange.parse(text)) == text


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 59.0, 60.5, -496])
def test_numbers_that_are_no_base_60_number(value):
    assert base60_message(value) == "a plain number is not enough"


@pytest.mark.parametrize("key", ["metric.input_size=inf", "metric.input_size=[inf,3]", "network.mean=[nan]"])
def test_endless_numbers_are_refused_by_key(key):
    with pytest.raises(slimai.InputError, match=key.partition("=")[0]):
        slimai.load_config(["+model=yolo", key])
