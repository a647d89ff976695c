"""Tables over every integer of an input type: unary operators of 8 and 16 bits become one look-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Array, Compiled, LayerContext, Tally

Int = NDArray[np.int64]


def every_integer(params: QParams) -> Int:
    """Return all integers of the type in ascending order, [2**bits] int64."""
    return np.arange(params.dtype.low, params.dtype.high + 1, dtype=np.int64)


def look_up(x: Array, low: int, table: Array, pool: BufferPool | None = None) -> Array:
    """Return table[x - low] in the memory order of x, in memory of `pool` where there is one."""
    from slimai.simulator import _kernels_bytes, _kernels_elementwise  # noqa: PLC0415 - spares numba

    out = np.empty_like(x, dtype=table.dtype, order="K") if pool is None else pool.like(x, table.dtype)
    source, target = x.ravel(order="K"), out.ravel(order="K")
    if _kernels_bytes.AVAILABLE and x.itemsize == table.itemsize == 1 and table.size == 256:
        flip = np.uint8(-low)  # integers from -128 on are bytes that are 128 off
        _kernels_bytes.look_up_bytes(source.view(np.uint8), flip, table.view(np.uint8), target.view(np.uint8))
    else:
        _kernels_elementwise.look_up_flat(source, low, table, target)
    return out


def table_layer(context: LayerContext, values: Any, tables: Mapping[str, Array] | None = None) -> Compiled:
    """Return the layer that maps integer i of its input to values[i - low], clamped to the layer's limits.

    tables: what the target stores to compute the values, where that is not all of them.
    """
    low, high = context.limits
    table = np.clip(np.asarray(values), low, high).astype(context.out.dtype.numpy)
    first = context.input().dtype.low

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        return [look_up(inputs[0], first, table, context.pool)]

    return Compiled(kernel, {"table": table} if tables is None else tables)
