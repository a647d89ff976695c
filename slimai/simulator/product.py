"""Exact products of integer rows with a constant integer matrix: picks the fastest engine that is proven exact.

* 16-bit pairs (`_kernels_gemm`): rows and weights in int16, sums below 2**31; x86 with AVX2.
* BLAS in float32 (float64): sums below 2**24 (2**53), where no partial sum is ever rounded.
* NumPy int64 otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.accumulate import exact_dtype
from slimai.simulator.pool import BufferPool

Array = NDArray[Any]
INT16_HIGH = (1 << 15) - 1
INT32_EXACT = float((1 << 31) - 1)


def fits_pairs(matrix: NDArray[np.int64], largest_row: int, reach: float) -> bool:
    """Return whether the 16-bit engine is exact for these weights and rows of magnitude up to `largest_row`.

    The least int16 is left out: two products of it would overflow one pair.
    """
    return largest_row <= INT16_HIGH and int(np.abs(matrix).max(initial=0)) <= INT16_HIGH and reach <= INT32_EXACT


class Product:
    """Multiplies rows of integers by a constant matrix [K, C].

    Args:
        matrix: [K, C] int64 weights.
        largest_row: largest magnitude of a row's element (its zero point taken away).
        reach: proven bound of |sum|.
        pool: memory for rows and sums.
    """

    def __init__(self, matrix: NDArray[np.int64], largest_row: int, reach: float, pool: BufferPool) -> None:
        self.depth, self.columns = matrix.shape
        self._pool = pool
        self._packed: NDArray[np.int16] | None = None
        if fits_pairs(matrix, largest_row, reach):
            from slimai.simulator import _kernels_gemm

            if _kernels_gemm.AVAILABLE:
                self._packed = _kernels_gemm.pack(matrix)
        if self._packed is not None:
            self.dtype: np.dtype[Any] = np.dtype(np.int16)
            self.width = self.depth + self.depth % 2
        else:
            self.dtype, self.width = exact_dtype(reach), self.depth
            self._factor = np.ascontiguousarray(matrix.astype(self.dtype))

    def rows(self, count: int) -> Array:
        """Return [count or more, width] memory for rows; elements beyond K are zero."""
        spare = 0 if self._packed is None else -count % 6
        rows = self._pool.empty((count + spare, self.width), self.dtype)
        if self.width > self.depth:
            rows[:, self.depth :] = 0
        return rows

    def sums(self, count: int) -> Array:
        """Return flat memory for the sums of `count` rows."""
        if self._packed is None:
            return self._pool.empty((count * self.columns,), self.dtype)
        return self._pool.empty(((count + 6) * self.columns + 16,), np.int32)

    def multiply(self, rows: Array, count: int, sums: Array) -> Array:
        """Return [count, C] sums of the first `count` rows (in the memory of `sums`)."""
        total = sums[: count * self.columns].reshape(count, self.columns)
        if self._packed is None:
            return np.matmul(rows[:count], self._factor, out=total)
        from slimai.simulator._kernels_gemm import multiply

        multiply(rows, count, self._packed, self.columns, sums)
        return total
