"""Short runs of neighbours that are copied as one integer: what NumPy gives for every shape, order and type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.simulator.layout import dense, joined, widened

kinds = st.sampled_from([np.int8, np.uint8, np.int16, np.int32])


def drawn(shape, kind, seed):
    info = np.iinfo(kind)
    return np.random.default_rng(seed).integers(info.min, info.max + 1, shape).astype(kind)


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 9)),
    kind=kinds,
    first=st.integers(0, 3),
    step=st.sampled_from([1, 2, -1]),
    order=st.permutations([0, 1, 2]),
    copies=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_dense_copies_are_those_of_numpy(shape, kind, first, step, order, copies):
    x = drawn(shape, kind, 0)[..., first::step].transpose(order)
    x = np.broadcast_to(x[None], (2, *x.shape)) if copies else x
    found = dense(x)
    assert found.flags.c_contiguous
    assert found.dtype == kind
    assert np.array_equal(found, x)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    runs=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    equal=st.booleans(),
    kinds=st.lists(kinds, min_size=4, max_size=4),
    alike=st.booleans(),
    axis=st.sampled_from([2, -1]),
)
@settings(max_examples=200, deadline=None)
def test_joined_parts_are_those_of_numpy(shape, runs, equal, kinds, alike, axis):
    """Parts of several lengths and types, slices among them; types that differ in width have runs of the same bytes."""
    parts = []
    for index, run in enumerate([runs[0]] * len(runs) if equal else runs):
        kind = kinds[0] if alike else kinds[index]
        whole = drawn((*shape, run + index % 2), kind, index)
        parts.append(whole[..., index % 2 :])
    expected = np.concatenate(parts, axis=axis)
    found = joined(parts, axis)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_runs_along_another_axis_are_joined_whole():
    parts = [drawn((2, size, 4), np.int8, size) for size in (3, 1)]
    assert np.array_equal(joined(parts, 1), np.concatenate(parts, axis=1))


@pytest.mark.parametrize(("run", "wide"), [(1, False), (2, True), (3, False), (4, True), (8, True), (16, False)])
def test_only_runs_of_whole_integers_are_widened(run, wide):
    x = drawn((2, 3, run), np.int8, 0)
    assert (widened(x).shape[-1] == 1) == (wide or run == 1)
    assert widened(x[..., ::2]).dtype == np.int8
