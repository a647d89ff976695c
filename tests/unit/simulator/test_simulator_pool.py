"""Memory that is handed out again."""

from __future__ import annotations

import numpy as np

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
