"""The order of layers by worth, and the shortest beginning of it that is enough; against brute force."""

import math
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from slimai.search.knee import Costs, Raisable, largest_prefix, raising_order, smallest_prefix, without

# x -> a -> b -> c, and the output of a also goes to c
CHAIN = [
    Raisable("a", 0.1, 10.0, ("x",), ("ta",)),
    Raisable("b", 0.1, 10.0, ("ta",), ("tb",)),
    Raisable("c", 0.1, 10.0, ("tb", "ta"), ("tc",)),
]
CONVERSION = {"x": 1.0, "ta": 2.0, "tb": 4.0, "tc": 8.0}
COSTS = Costs.of(CHAIN, CONVERSION, ("x",))


def by_hand(raised):
    """Conversions of the chain, written out: an edge between different widths, once a tensor."""
    a, b, c = ("a" in raised, "b" in raised, "c" in raised)
    return 10.0 * len(raised) + 2.0 * (b != a or c != a) + 4.0 * (c != b)


def test_conversions_are_paid_where_widths_meet():
    for size in range(4):
        for raised in combinations("abc", size):
            assert math.isclose(COSTS.total(set(raised)), by_hand(raised), abs_tol=1e-12), raised


def test_a_network_input_read_in_both_widths_is_converted():
    layers = [Raisable("a", 0.1, 1.0, ("x",), ("ta",)), Raisable("b", 0.1, 1.0, ("x",), ("tb",))]
    costs = Costs.of(layers, {"x": 5.0}, ("x",))
    assert [costs.total(set(raised)) for raised in ("", "a", "b", "ab")] == [0.0, 6.0, 6.0, 2.0]


@given(st.sets(st.sampled_from("abc")), st.sampled_from("abc"))
def test_more_is_the_difference_of_totals(raised, name):
    rest = raised - {name}
    assert math.isclose(COSTS.more(name, rest), COSTS.total(rest | {name}) - COSTS.total(rest), abs_tol=1e-12)


def test_the_noisiest_per_cycle_comes_first_and_its_neighbours_are_cheaper():
    loud = [*CHAIN[:2], Raisable("c", 0.4, 10.0, ("tb", "ta"), ("tc",))]
    far = Raisable("far", 0.11, 10.0, ("tc2",), ("tf",))
    costs = Costs.of([*loud, far], {**CONVERSION, "tc2": 3.0}, ("x",))
    # b beside c saves the conversion of tb: it passes `far`, which is noisier
    assert raising_order([*loud, far], costs)[:2] == ["c", "b"]


def test_what_costs_nothing_comes_before_all_else():
    layers = [Raisable("dear", 1.0, 5.0, (), ("t",)), Raisable("free", 1e-9, 0.0, (), ("u",))]
    assert raising_order(layers, Costs.of(layers, {}, ())) == ["free", "dear"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 9)), min_size=1, max_size=7))
def test_the_order_is_that_of_recomputing_every_worth_at_every_step(figures):
    layers = [Raisable(str(i), noise, cycles, (f"t{i}",), (f"t{i + 1}",)) for i, (noise, cycles) in enumerate(figures)]
    costs = Costs.of(layers, {f"t{i}": 0.5 * i for i in range(9)}, ("t0",))
    raised, expected = set(), []
    while len(expected) < len(layers):
        worth = {}
        for item in layers:
            if item.name not in raised:
                cycles = costs.total(raised | {item.name}) - costs.total(raised)
                worth[item.name] = (1, item.noise) if cycles <= 1e-9 else (0, item.noise / cycles)
        best = max(worth.values())
        found = raising_order(layers, costs)[len(expected)]
        kind, value = worth[found]
        assert kind == best[0]
        assert math.isclose(value, best[1], rel_tol=1e-9)
        expected.append(found)
        raised.add(found)


@given(st.integers(1, 300), st.data())
def test_smallest_prefix_of_a_monotone_goal_in_log_tries(length, data):
    wanted = data.draw(st.integers(1, length + 1))
    asked = []

    def reaches(count):
        asked.append(count)
        return count >= wanted

    assert smallest_prefix(length, reaches) == (None if wanted > length else wanted)
    assert len(asked) <= math.ceil(math.log2(length + 1)) + 1
    assert len(set(asked)) == len(asked)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_smallest_prefix_always_reaches_even_when_more_is_not_better(answers):
    found = smallest_prefix(len(answers), lambda count: answers[count - 1])
    assert (found is None) == (not answers[-1])
    assert found is None or answers[found - 1]


def test_nothing_to_raise_is_not_reached():
    assert smallest_prefix(0, lambda _: True) is None


@given(st.integers(0, 300), st.data())
def test_largest_prefix_within(length, data):
    room = data.draw(st.integers(0, length + 5))
    assert largest_prefix(length, lambda count: count <= room) == min(room, length)


def test_members_that_are_not_needed_go_the_dearest_first_and_within_the_tries():
    asked = []

    def enough(kept):
        asked.append(kept)
        return "needed" in kept

    members = ("small", "needed", "big", "free")
    savings = {"small": 1.0, "needed": 9.0, "big": 5.0, "free": 0.0}
    assert without(members, savings, enough, 3) == ("needed", "free")
    assert asked == [("small", "big", "free"), ("small", "needed", "free"), ("needed", "free")]
    assert without(members, savings, lambda kept: "needed" in kept, 2) == ("small", "needed", "free")


def test_one_member_is_never_taken_away():
    assert without(("only",), {"only": 1.0}, lambda _: True, 4) == ("only",)
