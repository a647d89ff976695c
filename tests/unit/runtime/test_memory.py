"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes

import psutil
import pytest

from slimai.runtime.memory import return_freed

MIB = 1 << 20


def test_freed_blocks_below_a_held_one_are_given_back():
    """64 MiB in blocks of 16 KiB, which the C library takes from its heap, below one that stays; 32 of them return."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library has no malloc_trim: it gives memory back by itself")
    blocks = [bytes(16 << 10) for _ in range(64 * MIB >> 14)]
    held = blocks[-1]
    blocks.clear()
    before = psutil.Process().memory_info().rss
    return_freed()
    assert before - psutil.Process().memory_info().rss > 32 * MIB
    assert len(held) == 16 << 10
