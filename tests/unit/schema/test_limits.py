"""`quantization.limits`: its spellings, what it stands beside, and the candidates and bins that it means."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slimai.schema.limits import AUTO, METHODS, LimitsEntry, parse_limits
from slimai.schema.quantization import QuantizationSection
from slimai.search.space import space_of_limits

PERCENTS = st.decimals(Decimal("0.001"), Decimal(100), places=3)
ENTRIES = st.one_of(
    st.builds(LimitsEntry, st.sampled_from(("range", "percentile")), PERCENTS),
    st.builds(LimitsEntry, st.sampled_from(METHODS)),
)


def section(**values):
    return QuantizationSection.model_validate(values)


def test_auto_stands_for_five_entries():
    for value in ("auto", ["auto"]):
        assert list(map(str, section(limits=value).limits)) == list(AUTO)
    assert len(section(limits=["auto", "ImprovedKL"]).limits) == 6


@given(st.lists(ENTRIES, min_size=1, max_size=6, unique_by=lambda item: (item.kind, item.percent)))
def test_what_is_written_reads_back(entries):
    found = section(limits=[str(item) for item in entries])
    assert [(item.kind, item.percent) for item in found.limits] == [(item.kind, item.percent) for item in entries]
    again = section(**found.model_dump(mode="json", include={"limits"}))
    assert again.limits == found.limits


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["range"], "is no way to find limits"),
        (["ImprovedMES"], "is no way to find limits"),
        (["range 96:99"], "is a sweep"),
        (["percentile 0"], "above 0 and at most 100"),
        (["range x"], "'x' is not a number"),
        ([99.9], "An entry of limits is a text"),
        ([{"range": 100}], "An entry of limits is a text"),
        (["range 100", "range 100.0"], "limits given twice: range 100"),
        (["auto", "ImprovedMSE"], "limits given twice: ImprovedMSE"),
        ([], "The list of limits is empty"),
    ],
)
def test_what_is_no_entry_is_named(value, message):
    with pytest.raises(ValidationError, match=message):
        section(limits=value)


def test_bins_beside_limits_are_only_bins():
    assert (section().bins, section(limits="auto").bins) == (2048, 10240)
    found = section(limits=["MeanExtrema"], histogram_bins=512)
    assert (found.bins, found.single_shot) == (512, False)
    assert section(histogram_bins=512).single_shot


def test_every_level_is_tried_with_every_entry():
    found = section(limits="auto", accuracy_level=[1, 3])
    assert found.candidates == 10
    names = [item.profile("net") for item in space_of_limits([1, 3], parse_limits("auto"), wider=False)]
    assert names == ["net_100", "net_p99.99", "net_p99.9", "net_ImprovedMSE", "net_MeanExtrema"] * 2


def test_the_wider_space_has_no_percentiles_of_its_own():
    found = space_of_limits([1], parse_limits(["range 99", "MeanExtrema"]), wider=True)
    assert [item.label for item in found] == ["99", "MeanExtrema", "99_clip", "MeanExtrema_clip"]


def test_a_known_word_without_its_number_is_not_its_own_correction():
    with pytest.raises(ValidationError) as caught:
        QuantizationSection.model_validate({"limits": ["range"]})
    assert "did you mean" not in str(caught.value.errors()[0]["ctx"])
