"""What is delivered under the user's bounds; checked against every outcome one by one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.search.candidate import Candidate, Outcome, Variant
from slimai.search.choice import Bounds, choose


def outcome(score, latency, status="full", trial=None, arena=None):
    variant = frozenset() if trial is None else frozenset({Variant.MIX})
    candidate = Candidate(1, Decimal(100), variant=variant, trial=trial)
    return Outcome(candidate, status, value=score, score=score, latency_ms=latency, images=4, arena=arena)


BASE, SMALL, ALL = outcome(0.7, 1.0), outcome(0.85, 1.5, trial=2), outcome(0.9, 3.0, trial=1)


@pytest.mark.parametrize(
    ("bounds", "delivered", "note"),
    [
        (Bounds(), ALL, ""),
        (Bounds(max_drop=0.05), SMALL, "the cheapest that keeps max_drop 0.05"),
        (Bounds(score=0.85), SMALL, "the cheapest that keeps score 0.85"),
        (Bounds(score=0.86), ALL, ""),
        (Bounds(latency_limit=2.0), SMALL, "the best that keeps latency_limit 2 ms"),
        (Bounds(score=0.8, latency_limit=1.2), ALL, "no candidate keeps score 0.8 and latency_limit 1.2 ms: the best "),
        (Bounds(score=0.95), ALL, "no candidate keeps score 0.95: the best score is delivered"),
    ],
)
def test_the_bounds_choose(bounds, delivered, note):
    found = choose([BASE, ALL, SMALL], bounds, 0.9)
    assert found.winner is ALL
    assert found.delivered is delivered
    assert found.note.startswith(note)
    assert bool(found.note) == bool(note)


def test_a_partial_outcome_keeps_nothing():
    partial = outcome(0.99, 0.5, status="partial")
    assert not Bounds(score=0.1).kept_by(partial, 0.9)
    assert choose([partial, BASE], Bounds(score=0.1), 0.9).delivered is BASE


outcomes = st.lists(
    st.builds(outcome, st.floats(0, 1), st.floats(0.1, 9), st.sampled_from(["full", "partial"])), max_size=6
)


@pytest.mark.parametrize(
    ("limit", "delivered", "note"),
    [
        (4000, 0, ""),
        (3999, 1, "the best that keeps arena_limit 3999 bytes"),
        (2000, 1, "the best that keeps arena_limit 2000 bytes"),
        (1999, 0, "no candidate keeps arena_limit 1999 bytes: the best score is delivered"),
    ],
)
def test_arenas_above_the_limit_are_not_delivered(limit, delivered, note):
    """One whose memory is not planned, because layers run on the host, keeps no limit."""
    found = [outcome(0.9, 1.0, arena=4000), outcome(0.8, 2.0, arena=2000), outcome(0.85, 0.5, arena=None)]
    choice = choose(found, Bounds(arena_limit=limit), 0.9)
    assert choice.delivered is found[delivered]
    assert choice.note == note


@given(outcomes, st.floats(0, 1))
def test_nothing_cheaper_reaches_the_score(found, least):
    delivered = choose(found, Bounds(score=least), 0.5).delivered
    reaching = [item.latency_ms for item in found if item.status == "full" and item.score >= least]
    if reaching:
        assert delivered.score >= least
        assert delivered.latency_ms == min(reaching)
    else:
        full = [item.score for item in found if item.status == "full"]
        assert (delivered is None) == (not full)
        assert delivered is None or delivered.score == max(full)
