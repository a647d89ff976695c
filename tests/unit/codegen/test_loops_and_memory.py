"""Loops walk the places that they were made from; buffers that live at one time do not overlap."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.codegen.loops import fold
from slimai.codegen.memory import Buffer, lower_bound, place


def walked(nest):
    """Return the places that the loops of a nest visit, a list each, by plain loops."""
    sizes, strides = nest.padded()
    return [
        [first + sum(i * s for i, s in zip(at, steps, strict=True)) for at in itertools.product(*map(range, sizes))]
        for first, steps in zip(nest.first, strides, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.randoms(use_true_random=False), st.data())
def test_transposed_broadcast_and_sliced_places_fold(shape, random, data):
    order = list(range(len(shape)))
    random.shuffle(order)
    places = np.arange(int(np.prod(shape))).reshape(shape).transpose(order)
    cuts = tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in shape)
    first = places[cuts]
    ones = tuple(1 if data.draw(st.booleans()) else n for n in first.shape)
    second = np.broadcast_to(np.arange(int(np.prod(ones))).reshape(ones), first.shape)
    nest = fold([first, second])
    assert nest is not None
    assert walked(nest) == [first.ravel().tolist(), second.ravel().tolist()]


def test_places_without_a_rule_do_not_fold():
    rng = np.random.default_rng(0)
    assert fold([rng.permutation(997)]) is None


buffers = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 20), st.integers(0, 6), st.sampled_from([1, 2, 8])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(buffers)
def test_buffers_that_meet_do_not_overlap(drawn):
    made = [Buffer(str(n), size, first, first + life, align) for n, (size, first, life, align) in enumerate(drawn)]
    found = place(made)
    assert found.size >= lower_bound(made)
    for a, b in itertools.combinations(made, 2):
        if a.meets(b):
            first, second = sorted((a, b), key=lambda item: found.offsets[item.name])
            assert found.offsets[first.name] + first.size <= found.offsets[second.name]
    assert all(found.offsets[item.name] % item.align == 0 for item in made)
    assert max(found.offsets[item.name] + item.size for item in made) == found.size


def test_a_chain_takes_the_two_largest_neighbours():
    made = [Buffer(str(n), size, n, n + 1) for n, size in enumerate((10, 80, 30, 60, 5))]
    assert place(made).size == 110
