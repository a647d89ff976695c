"""Transposed convolution of NHWC integers: every input pixel's products, added where they overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, LayerContext, Tally
from slimai.simulator.product import Matrix, Product
from slimai.simulator.requantize import Requantizer
from slimai.simulator.rows import RowRequantizer
from slimai.simulator.windows import Window


class TransposedConvolution:
    """Runs a transposed convolution of weights [C, O / group, KH, KW] on [N, H, W, C] integers.

    window: kernel, strides, dilations and the pads cut off the full output. extra: rows and columns added at the far
    end (output_padding); they hold the bias alone where no product reaches.
    """

    def __init__(
        self, context: LayerContext, values: NDArray[np.int64], window: Window, extra: tuple[int, int], group: int,
        requantizer: Requantizer,
    ) -> None:  # fmt: skip
        self.window, self.extra, self.group, self.pool = window, extra, group, context.pool
        self.share = values.shape[1]
        self.outputs = self.share * group
        self.requantizer = requantizer
        self.zero, self.out_dtype = np.int32(context.input().zero_point), context.out.dtype.numpy
        x = context.input()
        split = values.reshape(group, -1, *values.shape[1:])
        weight_sum = np.abs(split).sum(axis=(1, 3, 4)).reshape(-1)
        reach = float(weight_sum.max(initial=0)) * largest(x)
        bias = np.zeros(self.outputs, np.int64) if context.layer.bias is None else context.layer.bias
        limit = accumulator(context, float((weight_sum * largest(x) + np.abs(bias)).max(initial=0)))
        self.rows = RowRequantizer(requantizer, bias, limit, self.outputs)
        matrices = split.transpose(0, 1, 3, 4, 2).reshape(group, split.shape[1], -1)
        self.products = [Product(Matrix(matrix), x, reach, self.pool) for matrix in matrices]

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the output's height and width."""
        window, pads = self.window, self.window.pads
        full = [
            (size - 1) * stride + (kernel - 1) * dilation + 1
            for size, stride, kernel, dilation in zip(
                (height, width), window.strides, window.kernel, window.dilations, strict=True
            )
        ]
        return full[0] - pads[0] - pads[2] + self.extra[0], full[1] - pads[1] - pads[3] + self.extra[1]

    def __call__(self, x: Array, tally: Tally) -> Array:
        """Return [N, OH, OW, O] output integers of x [N, H, W, C]."""
        height, width = self.output(x.shape[1], x.shape[2])
        x = np.ascontiguousarray(x)
        out = self.pool.empty((x.shape[0], height, width, self.outputs), self.out_dtype)
        for picture, target in zip(x, out, strict=True):
            parts = [self._spread(picture, index, (height, width)) for index in range(self.group)]
            acc = parts[0] if self.group == 1 else np.concatenate(parts, axis=2)
            self.rows(acc.reshape(-1, self.outputs), target.reshape(-1, self.outputs), tally)
        return out

    def _spread(self, picture: Array, index: int, size: tuple[int, int]) -> Array:
        """Return the sums [OH, OW, O / group] of one group."""
        from slimai.simulator._kernels_conv import overlap_add  # noqa: PLC0415 - spares numba

        product, window = self.products[index], self.window
        count = picture.shape[0] * picture.shape[1]
        part = picture.reshape(count, -1)[:, index * product.depth : (index + 1) * product.depth]
        cols = product.rows(count)
        np.subtract(part, self.zero, out=cols[:count, : product.depth], dtype=cols.dtype, casting="unsafe")
        sums = product.multiply(cols, count, product.sums(count))
        acc = self.pool.empty((*size, self.share), sums.dtype)
        acc[...] = 0
        overlap_add(sums, picture.shape[1], window.kernel, window.strides, window.dilations, window.pads[:2], acc)
        return acc
