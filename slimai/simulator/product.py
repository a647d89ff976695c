"""Exact products of integer rows with a constant integer matrix: picks the fastest engine that is proven exact.

* 16-bit pairs (`_kernels_gemm.multiply`, `multiply_broad`): rows and weights in int16, sums below 2**31; x86 with AVX2.
* Halves: weights as 256 * high + low, both by pairs of 512 bits, where the sums of each stay below 2**31.
* Wide pairs (`_kernels_gemm.multiply_wide`): the same operands, sums of any size.
* BLAS in float32 (float64): sums below 2**24 (2**53), where no partial sum is ever rounded.
* NumPy int64 otherwise.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import exact_dtype
from slimai.simulator.buffers import BufferPool

Array = NDArray[Any]
Engine = Literal["pairs", "halves", "wide", "blas"]
INT8_HIGH, INT16_HIGH = (1 << 7) - 1, (1 << 15) - 1
INT32_EXACT = float((1 << 31) - 1)
MOST_WIDE = 1 << 16  # depth: the low halves of that many pairs add up to less than 2**32


def centred_range(params: QParams) -> tuple[int, int]:
    """Return the least and the largest integer of these parameters after the zero point is taken away."""
    return params.dtype.low - params.zero_point, params.dtype.high - params.zero_point


class Matrix:
    """A constant integer matrix [K, C] in the forms that the engines read, each made once."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.depth, self.columns = values.shape
        self.largest = max(int(values.max(initial=0)), -int(values.min(initial=0)))
        self._factors: dict[str, Array] = {}
        self._parts: dict[tuple[int, int], int] = {}

    @cached_property
    def packed(self) -> NDArray[np.int16]:
        """What the pair engines read."""
        from slimai.simulator._kernels_gemm import pack  # noqa: PLC0415 - spares numba

        return pack(self.values)

    @cached_property
    def narrow(self) -> bool:
        """Whether all weights are 8-bit integers."""
        return bool(self.values.max(initial=0) <= INT8_HIGH and self.values.min(initial=0) >= -INT8_HIGH - 1)

    @cached_property
    def magnitude(self) -> int:
        """The largest sum of magnitudes of a column."""
        return int(np.abs(self.values.astype(np.int64)).sum(axis=0).max(initial=0))

    def window_form(self, run: int, engine: str) -> Array:
        """Return the weights as `_kernels_windows` reads them, in runs of so many neighbours."""
        from slimai.simulator._kernels_windows import pack_windows  # noqa: PLC0415 - spares numba

        key = f"{engine} {run}"
        if key not in self._factors:
            if engine == "halves":
                both = np.stack([pack_windows(half, run, 2) for half in self._halves], axis=1)
                self._factors[key] = both.reshape(-1, *both.shape[2:])
            else:
                self._factors[key] = pack_windows(self.values, run, 4 if engine == "quads" else 2)
        return self._factors[key]

    def half_parts(self, run: int, reach: int) -> int:
        """Return into how many parts the steps of `window_form(run, "halves")` are cut.

        Sums of each part times integers of magnitude up to `reach` stay below 2**31.
        """
        if self.half_magnitude * reach <= INT32_EXACT:
            return 1
        if (run, reach) not in self._parts:
            packed = self.window_form(run, "halves")
            sums = np.abs(packed.astype(np.int64)).sum(axis=3).cumsum(axis=1)
            sums = np.pad(sums, ((0, 0), (1, 0), (0, 0)))
            steps, parts = packed.shape[1], 2
            while np.diff(sums[:, np.arange(parts + 1) * steps // parts], axis=1).max() * reach > INT32_EXACT:
                parts += 1
            self._parts[run, reach] = parts
        return self._parts[run, reach]

    def depthwise_form(self, engine: str) -> Array:
        """Return the weights [taps, C] as `_kernels_depthwise` reads them."""
        from slimai.simulator._kernels_depthwise import pack_taps  # noqa: PLC0415 - spares numba

        key = f"depthwise {engine}"
        if key not in self._factors:
            if engine == "halves":
                both = np.stack([pack_taps(half, 2) for half in self._halves], axis=2)
                self._factors[key] = both.reshape(len(both), -1, *both.shape[3:])
            else:
                self._factors[key] = pack_taps(self.values, 4 if engine == "quads" else 2)
        return self._factors[key]

    @cached_property
    def _halves(self) -> tuple[NDArray[Any], NDArray[Any]]:
        low = (self.values.astype(np.int64) + 128) % 256 - 128
        return (self.values - low) // 256, low

    @cached_property
    def packed_halves(self) -> NDArray[np.int16]:
        """What the engine of halves reads: the weights divided by 256, and what is left, -128..127."""
        from slimai.simulator._kernels_gemm import pack_halves  # noqa: PLC0415 - spares numba

        return pack_halves(*self._halves)

    @cached_property
    def half_magnitude(self) -> int:
        """The largest sum of magnitudes of a column of either half."""
        return max(int(np.abs(half).sum(axis=0).max(initial=0)) for half in self._halves)

    def factor(self, dtype: np.dtype[Any]) -> Array:
        """Return the matrix as BLAS or NumPy reads it."""
        if dtype.str not in self._factors:
            self._factors[dtype.str] = np.ascontiguousarray(self.values.astype(dtype))
        return self._factors[dtype.str]


def pair_engine(matrix: Matrix, rows: tuple[int, int], reach: float, *, broad: bool = False) -> Engine:
    """Return the engine for rows within these inclusive ends and sums of magnitude up to `reach`.

    broad: whether the CPU multiplies pairs in 512 bits, so that two products of halves cost less than wide sums. The
    least int16 is left out of the weights: two products of it by itself would overflow one pair.
    """
    if rows[0] < -INT16_HIGH - 1 or rows[1] > INT16_HIGH or matrix.largest > INT16_HIGH:
        return "blas"
    if reach <= INT32_EXACT:
        return "pairs"
    if broad and matrix.half_magnitude * max(-rows[0], rows[1]) <= INT32_EXACT:
        return "halves"
    return "wide" if matrix.depth <= MOST_WIDE else "blas"


class Product:
    """Multiplies rows of integers by a constant matrix [K, C].

    Args:
        matrix: the weights.
        x: parameters of the rows, whose elements are integers minus the zero point.
        reach: proven bound of |sum|.
        pool: memory for rows and sums.
    """

    def __init__(self, matrix: Matrix, x: QParams, reach: float, pool: BufferPool) -> None:
        self.depth, self.columns = matrix.depth, matrix.columns
        self._pool = pool
        self.engine = pair_engine(matrix, centred_range(x), reach)
        if self.engine != "blas":
            from slimai.simulator import _kernels_gemm  # noqa: PLC0415 - spares numba

            self.engine = pair_engine(matrix, centred_range(x), reach, broad=_kernels_gemm.BROAD)
            if _kernels_gemm.AVAILABLE:
                self._packed = matrix.packed_halves if self.engine == "halves" else matrix.packed
            else:
                self.engine = "blas"
        if self.engine == "blas":
            self.dtype, self.width = exact_dtype(reach), self.depth
            self._factor = matrix.factor(self.dtype)
        else:
            self.dtype, self.width = np.dtype(np.int16), self.depth + self.depth % 2

    def rows(self, count: int) -> Array:
        """Return [count or more, width] memory for rows; elements beyond K are zero."""
        spare = 0 if self.engine == "blas" else -count % 6
        rows = self._pool.empty((count + spare, self.width), self.dtype)
        if self.width > self.depth:
            rows[:, self.depth :] = 0
        return rows

    def sums(self, count: int) -> Array:
        """Return flat memory for the sums of `count` rows."""
        if self.engine == "blas":
            return self._pool.empty((count * self.columns,), self.dtype)
        kind = np.int32 if self.engine == "pairs" else np.float64
        return self._pool.empty(((count + 6) * self.columns + 32,), kind)

    def multiply(self, rows: Array, count: int, sums: Array) -> Array:
        """Return [count, C] sums of the first `count` rows (in the memory of `sums`)."""
        total = sums[: count * self.columns].reshape(count, self.columns)
        if self.engine == "blas":
            return np.matmul(rows[:count], self._factor, out=total)
        from slimai.simulator import _kernels_gemm  # noqa: PLC0415 - spares numba

        kernels = {"wide": _kernels_gemm.multiply_wide, "halves": _kernels_gemm.multiply_halves}
        pairs = _kernels_gemm.multiply_broad if _kernels_gemm.BROAD else _kernels_gemm.multiply
        kernels.get(self.engine, pairs)(rows, count, self._packed, self.columns, sums)
        return total
