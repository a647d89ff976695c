"""Differences of integer tensors against counting by hand, and a walk that holds one tensor of the dump at a time."""

from __future__ import annotations

import sys
import weakref
from itertools import product
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))

from plans import Op, build_plan, params, program

from slimai.simulator.divergence import cases, difference, spelled


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_a_difference_is_what_counting_finds(shape, axis, seed):
    rng, axis = np.random.default_rng(seed), axis % len(shape)
    mine = rng.integers(-2, 3, shape).astype(np.int16)
    theirs = np.where(rng.uniform(size=shape) < rng.choice([0, 0.1, 0.9]), rng.integers(-2, 3, shape), mine)
    places = list(product(*map(range, shape)))
    wrong = [place for place in places if mine[place] != theirs[place]]
    found = difference(mine, theirs, axis)
    if not wrong:
        assert found is None
        return
    channels = sorted({place[axis] for place in wrong})
    assert (found.count, found.total, found.first) == (len(wrong), len(places), wrong[0])
    assert found.largest == max(abs(int(mine[place]) - int(theirs[place])) for place in wrong)
    assert (found.channels, found.several) == (tuple(channels[:8]), len(channels))
    assert (found.expected, found.found) == (mine[wrong[0]], theirs[wrong[0]])
    assert str(channels[0]) in spelled(found.channels, found.several)


class Watched:
    """A dump that counts how many of its tensors are alive."""

    def __init__(self, values):
        self.values, self.most, self.refs = values, 0, []

    def __contains__(self, name):
        return name in self.values

    def __getitem__(self, name):
        made = self.values[name].copy()
        self.refs = [ref for ref in self.refs if ref() is not None] + [weakref.ref(made)]
        self.most = max(self.most, len(self.refs))
        return made


def chain(length):
    grid = params("s8", 0.1)
    ops = [Op("Relu", (f"t{n}",), f"t{n + 1}") for n in range(length)]
    names = [f"t{n}" for n in range(length + 1)]
    plan = build_plan(ops, dict.fromkeys(names, (1, 3, 4)), dict.fromkeys(names, grid), ("t0",), (names[-1],))
    return program(plan, "native")


def test_memory_does_not_grow_with_the_tensors_of_the_dump():
    network = chain(40)
    feeds = {"t0": np.arange(-6, 6, dtype=np.int8).reshape(1, 3, 4)}
    names = [f"t{n}" for n in range(41)]
    right = {name: np.array(value) for name, value in network.run(feeds, capture=names[1:-1]).items()} | feeds
    same = Watched(right)
    assert list(cases(network, feeds, same)) == []
    assert same.most <= 2
    wrong = Watched({**right, "t7": right["t7"] + np.int8(1)})
    found = [case.tensor for case in cases(network, feeds, wrong)]
    assert found == ["t7", "t8"]  # the eighth was computed of something else than the seventh that was dumped
    assert wrong.most <= 5


def test_layers_without_a_dump_are_told():
    network = chain(4)
    feeds = {"t0": np.arange(-6, 6, dtype=np.int8).reshape(1, 3, 4)}
    right = network.run(feeds, capture=["t1", "t4"])
    found = list(cases(network, feeds, {"t1": right["t1"], "t4": right["t4"] + np.int8(1)}))
    assert [case.tensor for case in found] == ["t4"]
    assert found[0].between == ("Relu_1__0", "Relu_2__0")
