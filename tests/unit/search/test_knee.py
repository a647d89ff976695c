"""The order of layers by worth, and the shortest beginning of it that is enough; against brute force."""

import math
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.search.knee import Costs, Raisable, fewest, loudest_groups, order_of_groups, raising_order, without

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


def test_what_costs_nothing_beside_a_set_joins_it():
    layers = [Raisable(name, 0.1, 1.0, (f"t{at}",), (f"t{at + 1}",)) for at, name in enumerate("abcdef")]
    costs = Costs.of(layers, {f"t{at}": 3.0 for at in range(1, 6)}, ("t0",))
    assert sorted(costs.filled(["b", "d"])) == ["a", "b", "c", "d", "e", "f"]  # no conversion at all is cheapest
    dear = Costs.of([*layers[:5], replace(layers[5], cycles=90.0)], costs.conversion, ("t0",))
    assert sorted(dear.filled(["b", "d"])) == ["a", "b", "c", "d"]  # of e and f the conversion is the same
    assert dear.filled(["e"]) == ["e"] or dear.total(set(dear.filled(["e"]))) <= dear.total({"e"})


@given(st.sets(st.sampled_from("abc"), min_size=1))
def test_filling_never_costs_more(raised):
    found = COSTS.filled(sorted(raised))
    assert raised <= set(found)
    assert COSTS.total(set(found)) <= COSTS.total(raised) + 1e-9


@given(st.dictionaries(st.text("abcdef", min_size=1), st.sampled_from([0.0, 1e-6, 0.25, 3.0, math.inf])))
def test_layers_around_one_tensor_stand_together_the_loudest_first(noise):
    groups = loudest_groups(noise)
    assert sorted(name for group in groups for name in group) == sorted(noise)
    values = [{noise[name] for name in group} for group in groups]
    assert all(len(found) == 1 for found in values)
    order = [found.pop() for found in values]
    assert order == sorted(set(order), reverse=True)


@given(st.integers(1, 300), st.data())
def test_the_fewest_of_a_monotone_goal_in_log_tries(length, data):
    wanted = data.draw(st.integers(1, length + 1))
    asked = []

    def reaches(count):
        asked.append(count)
        return count >= wanted

    assert fewest(length, reaches) == (None if wanted > length else wanted)
    assert len(asked) <= 2 * math.ceil(math.log2(min(wanted, length) + 1)) + 2
    assert len(set(asked)) == len(asked)
    assert max(asked) <= max(1, min(length, 2 * wanted))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_fewest_always_reach_even_when_more_is_not_better(answers):
    asked = []

    def reaches(count):
        asked.append(count)
        return answers[count - 1]

    found = fewest(len(answers), reaches)
    assert found is None or answers[found - 1]
    if found is None:
        assert not any(answers[count - 1] for count in asked)
        assert len(answers) in asked


def test_nothing_to_raise_is_not_reached():
    assert fewest(0, lambda _: True) is None


@given(st.integers(1, 9), st.data())
@settings(deadline=None)
def test_what_is_needed_stays_and_all_else_goes(count, data):
    groups = [(str(at), f"{at}b") for at in range(count)]
    needed = data.draw(st.sets(st.sampled_from(groups)))
    spare = data.draw(st.lists(st.sampled_from(groups), unique=True))
    asked = []

    def enough(kept):
        asked.append(kept)
        return needed <= set(kept)

    kept = without(groups, spare, enough, 100)
    assert needed <= set(kept)
    assert [group for group in groups if group in kept] == kept  # their order stays
    left = [group for group in spare if group in kept and group not in needed]
    assert len(left) <= (not needed and len(spare) == count)
    assert all(asked)
    assert len(asked) <= 3 * count + 2


def test_half_goes_at_once_in_the_order_asked_for_and_within_the_tries():
    asked = []

    def enough(kept):
        asked.append([group[0] for group in kept])
        return ("needed",) in kept

    groups = [("small",), ("needed",), ("big",), ("last",), ("large",)]
    order = [("large",), ("big",), ("small",), ("needed",)]
    assert without(groups, order, enough, 3) == [("needed",), ("last",)]
    assert asked == [["small", "needed", "last"], ["last"], ["needed", "last"]]
    assert without(groups, order, enough, 1) == [("small",), ("needed",), ("last",)]


def test_one_group_is_never_taken_away():
    assert without([("only", "one")], [("only", "one")], lambda _: True, 4) == [("only", "one")]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 2.0]), st.floats(0.1, 9)), min_size=1, max_size=7))
@settings(deadline=None)
def test_groups_are_ordered_as_by_recomputing_every_worth_at_every_step(figures):
    layers = [Raisable(str(i), noise, cycles, (f"t{i}",), (f"t{i + 1}",)) for i, (noise, cycles) in enumerate(figures)]
    costs = Costs.of(layers, {f"t{i}": 0.5 * i for i in range(9)}, ("t0",))
    groups = loudest_groups({item.name: item.noise for item in layers})
    raised, waiting = set(), list(groups)
    for taken in order_of_groups(groups, costs):
        worth = {}
        for group in waiting:
            cycles, noise = costs.total(raised | set(group)) - costs.total(raised), costs.layers[group[0]].noise
            worth[group] = (1, noise) if cycles <= 1e-9 else (0, noise / cycles)
        best = max(worth.values())
        assert worth[taken][0] == best[0]
        assert math.isclose(worth[taken][1], best[1], rel_tol=1e-9)
        waiting.remove(taken)
        raised |= set(taken)
    assert not waiting
