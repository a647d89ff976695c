"""A PRelu of 16-bit integers with one slope a channel: rows are requantized as both signs, then one is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimai.simulator.accumulate import largest
from slimai.simulator.context import Array, LayerContext, Tally
from slimai.simulator.fixed_point import S32_HIGH, Int
from slimai.simulator.layout import is_channels_last
from slimai.simulator.requantize import Requantizer
from slimai.simulator.rows import RowKernel, fast_kernel

_TILE_ELEMENTS = 1 << 15  # of 32-bit products and two kinds of outputs: what a second-level cache holds


@dataclass(frozen=True, eq=False)
class SlopedRows:
    """The kernel of such a layer: slopes [C] along `axis`, and the requantizations where x >= 0 and where it is not."""

    context: LayerContext
    axis: int
    slopes: Int
    positive: RowKernel
    negative: RowKernel

    @classmethod
    def of(
        cls, context: LayerContext, slope: Int, axis: int | None, positive: Requantizer, negative: Requantizer
    ) -> SlopedRows | None:
        """Return the kernel of slopes along one axis (or one for all), or None where none is proven exact."""
        shape = context.graph.shape(context.layer.node.inputs[0])
        if axis is None:
            if slope.size > 1 or len(shape) < 2:
                return None
            axis = len(shape) - 1 if is_channels_last(context) else 1
        slopes = np.broadcast_to(slope.reshape(-1), (shape[axis],))
        reach = largest(context.input())
        bound = float(reach * max(int(np.abs(slopes).max(initial=0)), 1))
        if bound > S32_HIGH:
            return None
        none = np.zeros(slopes.size, np.int64)
        kernels = [fast_kernel(requantizer, none, bound) for requantizer in (positive, negative)]
        if kernels[0] is None or kernels[1] is None:
            return None
        return cls(context, axis, slopes, kernels[0], kernels[1])

    def __call__(self, inputs: Sequence[Array], _tally: Tally) -> list[Array]:
        """Return the output integers of the one input."""
        from slimai.simulator._kernels_elementwise import chosen_rows, sloped_rows  # noqa: PLC0415 - spares numba

        pool, channels = self.context.pool, self.slopes.size
        whole = np.ascontiguousarray(np.moveaxis(inputs[0], self.axis, -1))
        out = pool.empty(whole.shape, self.context.out.dtype.numpy)
        rows, found = whole.reshape(-1, channels), out.reshape(-1, channels)
        zero, slopes = np.int32(self.context.input().zero_point), self.slopes.astype(np.int32)
        step = max(1, _TILE_ELEMENTS // max(channels, 1))
        acc, below = pool.empty((step, channels), np.int32), pool.empty((step, channels), found.dtype)
        for first in range(0, len(rows), step):
            part, target = rows[first : first + step], found[first : first + step]
            sums, other = acc[: len(part)], below[: len(part)]
            sloped_rows(part, zero, slopes, sums)
            self.positive(sums, target)
            self.negative(sums, other)
            chosen_rows(part.reshape(-1), zero, other.reshape(-1), target.reshape(-1))
        return [np.moveaxis(out, -1, self.axis)]
