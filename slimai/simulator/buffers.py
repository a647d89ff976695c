"""Memory that is used again: large arrays whose pages are already mapped.

A fresh array above the allocator's threshold costs a page fault for every 4 KiB, which is more than the
arithmetic of most layers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SMALL = 1 << 14  # bytes; below, the allocator's own cache does it


class BufferPool:
    """Hands out arrays; their memory comes back by itself when the last view of an array is gone."""

    def __init__(self) -> None:
        self._free: dict[int, list[tuple[Array, int]]] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an uninitialized C-contiguous array."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if size < _SMALL:
            return np.empty(shape, kind)
        # The ladder has four rungs an octave: the leading three bits of the size, rounded up.
        places = size.bit_length() - 3
        rung = -(-size >> places) << places
        blocks = self._free.setdefault(rung, [])
        try:
            block = blocks.pop()
        except IndexError:
            memory = np.empty(rung, np.uint8)
            block = (memory, memory.ctypes.data)
        return np.asarray(_Lease(block, blocks, shape, kind))

    def like(self, model: Array, dtype: Any) -> Array:
        """Return an uninitialized dense array of the shape and memory order of `model`."""
        if model.flags.c_contiguous:
            return self.empty(model.shape, dtype)
        strides = np.empty_like(model, np.uint8, order="K").strides  # NumPy's own order; nothing is written there
        order = sorted(range(model.ndim), key=lambda axis: (-strides[axis], axis))
        places = sorted(range(model.ndim), key=order.__getitem__)
        return self.empty(tuple(model.shape[axis] for axis in order), dtype).transpose(places)

    def clear(self) -> None:
        """Give the memory back that nobody uses now."""
        for blocks in self._free.values():
            blocks.clear()


class _Lease:
    """The owner behind an array; gives its block back on deletion."""

    __slots__ = ("__array_interface__", "_block", "_home")

    def __init__(
        self, block: tuple[Array, int], home: list[tuple[Array, int]], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._block, self._home = block, home
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (block[1], False)}

    def __del__(self) -> None:
        self._home.append(self._block)
