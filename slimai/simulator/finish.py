"""How sums become output integers within the kernel that makes them: tables of a proven row kernel, by blocks of 16."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.rows import RowKernel
from slimai.simulator.tiles import BLOCK

Array = NDArray[Any]

_LONG_LIMIT = float(1 << 62)  # products with their rounding terms


class Xi(NamedTuple):
    """Tables of `xi_rows`, [blocks, 7, 16] int32, and zero point, least and largest output."""

    tables: Any
    zero: Any
    low: Any
    high: Any


class TwoStep(NamedTuple):
    """Tables of `two_step_short_rows`, [blocks, 5, 16] int32."""

    tables: Any
    zero: Any
    low: Any
    high: Any


class Scaled(NamedTuple):
    """Multiplier, bias * multiplier + half, and shift, [blocks, 3, 16] int64: columns 0, 2 .. 14, then 1, 3 .. 15."""

    tables: Any
    zero: Any
    low: Any
    high: Any


Rule = Xi | TwoStep | Scaled


def finish_of(kernel: RowKernel | None, bound: float, blocks: Array) -> Rule | None:
    """Return what `kernel` does as a rule of the fused kernels, or None where they have none.

    Args:
        kernel: of `rows.fast_kernel`.
        bound: the largest magnitude of a sum with its bias.
        blocks: the first column of each block of 16; columns beyond the last one count as zeros.
    """
    from slimai.simulator import _kernels_requantize as kernels  # noqa: PLC0415 - spares numba

    if not isinstance(kernel, partial):
        return None
    function, (tables, *ends) = kernel.args
    if function is kernels.xi_rows:
        return Xi(_by_block(tables, blocks), *ends)
    if function is kernels.two_step_short_rows:
        return TwoStep(_by_block(tables, blocks), *ends)
    if function is kernels.scaled_long_rows:
        bias, _limit, factor, half, shift = tables
        most = int(factor.max(initial=0))
        if most < 1 << 31 and bound * most + float(half.max(initial=0)) <= _LONG_LIMIT:
            split = _by_block(np.stack([factor, bias * factor + half, shift]), blocks)
            return Scaled(np.ascontiguousarray(np.concatenate([split[..., ::2], split[..., 1::2]], axis=2)), *ends)
    return None


def _by_block(tables: Array, blocks: Array) -> Array:
    """Return [blocks, T, 16] of tables [T, C]."""
    count, columns = tables.shape
    padded = np.zeros((count, max(columns, int(blocks[-1]) + BLOCK)), tables.dtype)
    padded[:, :columns] = tables
    return padded[np.arange(count)[:, None], blocks[:, None, None] + np.arange(BLOCK)]
