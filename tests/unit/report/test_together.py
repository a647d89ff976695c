"""Remedies that help beside each other, against every subset by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from slimai.report.ranking import Remedy
from slimai.report.together import together


class Board:
    """Trials of a network whose noise and score are sums over what is changed, and over pairs of changes."""

    def __init__(self, noise, score):
        self.noise, self.score = noise, score

    def rebuild(self, remedy):
        return SimpleNamespace(
            changed=frozenset(remedy.limits) | frozenset(remedy.datatypes), plan=SimpleNamespace(graph=None)
        )

    def outputs(self, program):
        return program.changed

    def ratio(self, found, graph):
        assert graph is None
        return 10 ** (sum(self.noise.get(pair, 0) for pair in ((a, b) for a in found for b in found)) / 50)

    def scored(self, found):
        return min((self.score.get(name, 0) for name in found), default=0)


def limits(name):
    return Remedy(f"limits {name}", limits={name: (0.0, 1.0)})


def types(name):
    return Remedy(f"types {name}", datatypes={name: (16, 16)})


NAMES = st.sampled_from("abcd")
PAIRS = st.dictionaries(st.tuples(NAMES, NAMES), st.integers(-5, 5))


@given(PAIRS, st.dictionaries(NAMES, st.integers(-1, 1)), st.lists(NAMES, max_size=6), st.lists(NAMES, max_size=3))
def test_each_kept_one_lowers_the_noise_of_those_before_it_and_costs_no_score(noise, score, low, high):
    board = Board(noise, score)
    changes = [*map(limits, low), *(types(name.upper()) for name in high)]
    told = []
    kept = together(changes, board, board.scored, lambda: told.append(1))
    assert len(told) == len(changes)
    for kind in ("limits", "datatypes"):
        expected, before = [], (1.0, 0)
        for name in (name for one in changes for name in getattr(one, kind)):
            found = frozenset([*expected, name])
            now = board.ratio(found, None), board.scored(found)
            gain = 10 * math.log10(before[0] / now[0])  # steps of 0.2 dB
            if name not in expected and gain >= 0.3 and now[1] >= before[1]:
                expected, before = [*expected, name], now
        assert list(dict.fromkeys(name for one in kept for name in getattr(one, kind))) == expected


def test_of_two_changes_of_one_tensor_the_first_stays():
    board = Board({("a", "a"): -2}, {})
    first, second = limits("a"), Remedy("narrow a", limits={"a": (0.0, 0.5)})
    assert together([first, second, first], board, board.scored) == [first, first]
