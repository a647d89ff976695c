"""The order of outcomes, and the names of candidates."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.search.candidate import Candidate, Outcome, Variant, best, candidate_from_json, outcome_from_json, ranked


def outcome(level=1, percent="98", score=0.5, status="full", latency=1.0):
    return Outcome(Candidate(level, Decimal(percent)), status, value=score, score=score, latency_ms=latency, images=4)


def test_highest_score_wins():
    assert best([outcome(score=0.4), outcome(level=2, score=0.6)]).candidate.level == 2


def test_ties_go_to_the_cheaper_then_higher_range_then_lower_level():
    cheap, dear = outcome(level=3, latency=1.0), outcome(level=1, latency=2.0)
    assert best([dear, cheap]) is cheap
    low, high = outcome(percent="96"), outcome(percent="99.5")
    assert best([low, high]) is high
    first, second = outcome(level=0), outcome(level=1)
    assert best([second, first]) is first


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_an_unmeasured_candidate_is_never_best(status):
    loser = outcome(score=0.99, status=status)
    winner = outcome(level=2, score=0.01)
    assert best([loser, winner]) is winner
    assert best([loser]) is None
    assert ranked([loser, winner]) == [winner, loser]


def test_a_full_outcome_without_a_score_ranks_below_every_scored_one():
    blank = Outcome(Candidate(0, Decimal(100)), "full")
    assert ranked([blank, outcome(score=0.0)])[0].score == 0.0


@pytest.mark.parametrize(
    ("percent", "label"), [("96", "96"), ("99.990", "99.99"), ("100", "100"), ("1E+2", "100"), ("0.5", "0.5")]
)
def test_profile_names(percent, label):
    assert Candidate(1, Decimal(percent)).profile("net") == f"net_{label}"


def test_a_percentile_of_limits_is_told_from_a_range():
    assert Candidate(1, Decimal("99.90"), central=True).profile("net") == "net_p99.9"


def test_single_shot_profile_is_named_by_its_method():
    assert Candidate(1, method="ImprovedMSE").profile("net") == "net_ImprovedMSE"


def test_json_round_trip():
    item = Outcome(Candidate(2, Decimal("99.99")), "full", 0.5, 0.5, 3.25, 7, "abc", {"mAP": 0.5}, (0.4, 0.6), "a note")
    assert outcome_from_json(item.to_json("net")) == item


def test_what_is_no_number_is_null_in_json_and_comes_back_as_none_at_all():
    """A detection metric has no AP of small objects where there are none, and no score where there are no objects."""
    values = {"AP": 0.5, "AP_small": math.nan, "odd": math.inf}
    item = Outcome(Candidate(2, Decimal(99)), "full", math.nan, math.nan, 3.25, 7, "abc", values)
    text = json.dumps(item.to_json("net"), allow_nan=False)
    found = outcome_from_json(json.loads(text))
    assert (found.value, found.score) == (None, None)
    assert found.values["AP"] == 0.5
    assert math.isnan(found.values["AP_small"])
    assert math.isnan(found.values["odd"])
    assert json.dumps(found.to_json("net"), allow_nan=False) == text


PERCENTS = st.decimals(Decimal("1e-18"), Decimal(100), allow_nan=False).filter(lambda value: value > 0)
VARIANTS = st.frozensets(st.sampled_from(Variant))


@given(PERCENTS, VARIANTS, st.one_of(st.none(), st.integers(1, 99)), st.booleans())
def test_the_journal_gives_back_the_very_candidate(percent, variant, trial, central):
    item = Candidate(1, percent, variant=variant, trial=trial if Variant.MIX in variant else None, central=central)
    assert candidate_from_json(json.loads(json.dumps(item.to_json()))) == item


def test_a_percentage_that_no_float_holds_is_not_rounded():
    close = Candidate(1, Decimal("99.9999999999999999"))
    assert close.to_json()["range"] == "99.9999999999999999"
    assert Candidate(1, Decimal("99.99")).to_json()["range"] == 99.99
    assert candidate_from_json(close.to_json()) != Candidate(1, Decimal(100))


@pytest.mark.parametrize(
    ("options", "trial", "name"),
    [
        ((), None, ""),
        ((Variant.CLIP, Variant.PERCENTILE), None, "percentile_clip"),
        ((Variant.MIX,), 3, "mix3"),
        ((Variant.EMPIRICAL, Variant.MIX, Variant.CLIP), None, "clip_mix_empirical"),
        ((Variant.EMPIRICAL, Variant.MIX), 12, "mix12_empirical"),
    ],
)
def test_names_and_journals_spell_the_variant(options, trial, name):
    item = replace(Candidate(1, Decimal(96)).having(*options), trial=trial)
    assert item.to_json()["variant"] == name
    assert item.label == ("96" if not name else f"96_{name}")
    assert candidate_from_json(item.to_json()) == item
