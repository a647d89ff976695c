"""Memory that is handed out again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimai.simulator.buffers import BufferPool


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_with_the_last_view_and_is_forgotten_when_cleared():
    pool = BufferPool()
    first = pool.empty((1 << 10, 1 << 6), np.int16)
    place, view = address(first), first[5:]
    del first
    other = pool.empty((1 << 10, 1 << 6), np.int16)
    assert address(other) != place, "a view still reads the first"
    view[...] = 7
    del view
    again = pool.empty((1 << 10, 1 << 6), np.int16)
    assert address(again) == place
    kept = [address(other), place]
    pool.clear()
    other[...], again[...] = 1, 2
    assert (int(other.min()), int(again.max())) == (1, 2), "what is in use stays"
    fresh = pool.empty((1 << 10, 1 << 6), np.int16)
    assert address(fresh) not in kept


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_an_array_like_another_has_its_order(shape, random, broadcast):
    order = list(range(len(shape)))
    random.shuffle(order)
    model = np.zeros([shape[axis] for axis in order], np.int8).transpose(np.argsort(order))
    if broadcast:
        model = np.broadcast_to(model[:1], (3, *model.shape[1:]))
    found = BufferPool().like(model, np.int32)
    expected = np.empty_like(model, np.int32)
    places = [axis for axis in range(model.ndim) if model.shape[axis] > 1]
    assert [found.strides[axis] for axis in places] == [expected.strides[axis] for axis in places]
    found.ravel(order="K")[...] = 7
    assert (found == 7).all()
