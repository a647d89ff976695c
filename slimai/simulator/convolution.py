"""Convolution of NHWC integers in tiles of output rows: windows, exact sums, requantization while they are in cache."""

from __future__ import annotations

import numpy as np

from slimai.simulator.accumulate import accumulator, largest
from slimai.simulator.context import Array, LayerContext, Tally
from slimai.simulator.product import Product
from slimai.simulator.requantize import Requantizer
from slimai.simulator.rows import RowRequantizer
from slimai.simulator.weight_forms import ConvWeights
from slimai.simulator.windows import DepthwiseSums, Window, WindowSums, window_engine

_TILE_ELEMENTS = 1 << 17  # sums of a tile: about what a second-level cache holds
_FEW_CHANNELS = 48  # below, a loop over the channels of a pixel is too short for vectors
_FLAT_CHUNK = 256


class Convolution:
    """Runs a convolution of weights [O, C / group, KH, KW] on [N, H, W, C] integers."""

    def __init__(
        self, context: LayerContext, weights: ConvWeights, window: Window, group: int, requantizer: Requantizer
    ) -> None:
        self.window, self.group, self.pool = window, group, context.pool
        self.outputs = weights.outputs
        self.zero = np.int32(context.input().zero_point)
        self.out_dtype = context.out.dtype.numpy
        self.requantizer = requantizer
        x = context.input()
        bias = np.zeros(self.outputs, np.int64) if context.layer.bias is None else context.layer.bias
        limit = accumulator(context, float((weights.magnitudes * largest(x) + np.abs(bias)).max(initial=0)))
        self.depthwise = group > 1 and weights.depth == 1
        self.repeat = self.outputs // group if self.depthwise else 1
        matrices = (weights.channel_matrix,) if self.depthwise else weights.matrices
        reach = float((weights.magnitudes * largest(x)).max(initial=0))
        engine = window_engine(matrices, x, reach, float(np.abs(bias).max(initial=0)), parted=not self.depthwise)
        self.windows: WindowSums | None = None
        if engine is not None:
            self.windows = (DepthwiseSums if self.depthwise else WindowSums)(engine, matrices, window, x, self.pool)
            bias = bias - self.windows.zero * weights.sums
        elif self.depthwise:
            # sum (x - z) w = sum x w - z sum w, and padding is z: the zero point goes into the bias.
            bias = bias - x.zero_point * weights.sums
            self._prepare_depthwise(weights, float(weights.magnitudes.max(initial=0)) * max(x.dtype.high, -x.dtype.low))
        else:
            self.products = [Product(matrix, x, reach, self.pool) for matrix in weights.matrices]
        self.rows = RowRequantizer(requantizer, bias, limit, self.outputs)
        self.rule = None if self.windows is None else self.windows.finish(self.rows.kernel, limit.bound)

    def _prepare_depthwise(self, weights: ConvWeights, reach: float) -> None:
        self.dtype = np.dtype(np.int32 if reach < float(1 << 31) else np.float64)
        self.taps = weights.taps(self.dtype)

    def __call__(self, x: Array, tally: Tally) -> Array:
        """Return [N, OH, OW, O] output integers of x [N, H, W, C]."""
        height, width = self.window.output(x.shape[1], x.shape[2])
        out = self.pool.empty((x.shape[0], height, width, self.outputs), self.out_dtype)
        if self.windows is not None:
            flat = out.reshape(-1, self.outputs)
            x = x if self.repeat == 1 else np.repeat(x, self.repeat, axis=3)
            if self.rule is not None:
                self.windows.write(x, self.rule, flat)
                return out
            for first, sums in self.windows(x):
                self.rows(sums, flat[first : first + len(sums)], tally)
            return out
        x = np.ascontiguousarray(x)
        if self.depthwise:
            self._depthwise(x, out, tally)
        elif self.group == 1 and self.window.pointwise:
            self._pointwise(x.reshape(-1), out.reshape(-1, self.outputs), tally)
        else:
            self._windows(x, out, tally)
        return out

    def _pointwise(self, x: Array, out: Array, tally: Tally) -> None:
        from slimai.simulator._kernels_conv import widen  # noqa: PLC0415 - spares numba

        product, depth = self.products[0], self.products[0].depth
        if product.width != depth:
            lines = x.reshape(1, 1, -1, depth)
            self._windows(lines, out.reshape(1, 1, -1, self.outputs), tally)
            return
        step = self._tile(max(depth, self.outputs), out.shape[0])
        cols, sums = product.rows(step), product.sums(step)
        flat = cols.reshape(-1)
        for first in range(0, out.shape[0], step):
            count = min(step, out.shape[0] - first)
            widen(x[first * depth : (first + count) * depth], self.zero, flat)
            self.rows(product.multiply(cols, count, sums), out[first : first + count], tally)

    def _tile(self, elements: int, most: int) -> int:
        """Return how many rows of so many elements make a tile: a multiple of 6 where there is a choice."""
        step = max(6, _TILE_ELEMENTS // elements // 6 * 6)
        return min(step, most)

    def _windows(self, x: Array, out: Array, tally: Tally) -> None:
        height, width = out.shape[1:3]
        depth, share = self.products[0].depth, self.outputs // self.group
        lines = self._tile(max(depth, self.outputs) * width, height) if width * depth < _TILE_ELEMENTS else 1
        cols, sums = self.products[0].rows(lines * width), self.products[0].sums(lines * width)
        whole = sums if self.group == 1 else self.pool.empty((lines * width, self.outputs), sums.dtype)
        for picture, target in zip(x, out, strict=True):
            padded = self._padded(picture).reshape(-1, (width_of(picture, self.window)) * picture.shape[2])
            for first in range(0, height, lines):
                tile = target[first : first + lines]
                count = tile.shape[0] * width
                for index, product in enumerate(self.products):
                    self._gather(padded, picture.shape[2], index, first, width, cols[:count])
                    part = product.multiply(cols, count, sums)
                    if self.group > 1:
                        whole[:count, index * share : (index + 1) * share] = part
                acc = part if self.group == 1 else whole[:count]
                self.rows(acc, tile.reshape(-1, self.outputs), tally)

    def _gather(self, padded: Array, channels: int, index: int, first: int, width: int, cols: Array) -> None:
        """Fill cols with windows; a whole kernel row is one run of elements where it lies in one piece."""
        from slimai.simulator._kernels_conv import gather_windows  # noqa: PLC0415 - spares numba

        window, depth = self.window, channels // self.group
        steps = (
            window.strides[0], window.dilations[0], window.strides[1] * channels, window.dilations[1] * channels,
            index * depth,
        )  # fmt: skip
        taps = (window.kernel[0], window.kernel[1], depth)
        if self.group == 1 and window.dilations[1] == 1:
            taps = (window.kernel[0], 1, window.kernel[1] * channels)
        gather_windows(padded, self.zero, first, width, steps, taps, cols)

    def _padded(self, picture: Array) -> Array:
        """Return the picture [H, W, C] with its padding, which holds the zero point; negative pads crop."""
        pads = self.window.pads
        if not any(pads):
            return picture
        height, width = picture.shape[:2]
        picture = picture[max(-pads[0], 0) : height - max(-pads[2], 0), max(-pads[1], 0) : width - max(-pads[3], 0)]
        top, left, bottom, right = (max(pad, 0) for pad in pads)
        height, width, channels = picture.shape
        whole = self.pool.empty((height + top + bottom, width + left + right, channels), picture.dtype)
        whole[:top], whole[top + height :] = self.zero, self.zero
        middle = whole[top : top + height]
        middle[:, :left], middle[:, left + width :] = self.zero, self.zero
        middle[:, left : left + width] = picture
        return whole

    def _depthwise(self, x: Array, out: Array, tally: Tally) -> None:
        from slimai.simulator import _kernels_conv  # noqa: PLC0415 - spares numba

        few = self.outputs <= _FEW_CHANNELS and self.window.kernel == (3, 3) and self.dtype == np.int32
        if few:
            self._depthwise_few(x, out, tally)
            return

        window, width = self.window, out.shape[2]
        wide, taps = self.dtype == np.float64, self.taps
        if window.kernel == (3, 3):
            kernel = _kernels_conv.depthwise_nine_wide if wide else _kernels_conv.depthwise_nine
            taps = taps.reshape(9, -1)
        else:
            kernel = _kernels_conv.depthwise_wide if wide else _kernels_conv.depthwise_any
        lines = min(max(1, _TILE_ELEMENTS // (width * self.outputs)), out.shape[1])
        scratch = self.pool.empty((lines, width, self.outputs), self.dtype)
        for picture, target in zip(x, out, strict=True):
            padded = self._padded(picture if self.repeat == 1 else np.repeat(picture, self.repeat, axis=2))
            for first in range(0, target.shape[0], lines):
                tile = target[first : first + lines]
                acc = scratch[: tile.shape[0]]
                kernel(padded, taps, first, window.strides, window.dilations, acc)
                self.rows(acc.reshape(-1, self.outputs), tile.reshape(-1, self.outputs), tally)

    def _depthwise_few(self, x: Array, out: Array, tally: Tally) -> None:
        """Few channels: pixels and channels are one axis, columns sorted by their remainder modulo the stride."""
        from slimai.simulator._kernels_conv import depthwise_nine_flat  # noqa: PLC0415 - spares numba

        window, channels, width = self.window, self.outputs, out.shape[2]
        stride = window.strides[1]
        places = [column * window.dilations[1] for column in range(3)]
        taps = (*(place % stride for place in places), *(place // stride * channels for place in places))
        weight = np.tile(self.taps.reshape(9, -1), -(-_FLAT_CHUNK // channels))
        lines = min(max(1, _TILE_ELEMENTS // (width * channels)), out.shape[1])
        scratch = self.pool.empty((lines, width * channels), self.dtype)
        for picture, target in zip(x, out, strict=True):
            padded = self._padded(picture if self.repeat == 1 else np.repeat(picture, self.repeat, axis=2))
            rows, columns = padded.shape[0], -(-padded.shape[1] // stride)
            sorted_by = self.pool.empty((stride, rows, columns * channels), padded.dtype)
            for remainder in range(stride):
                part = padded[:, remainder::stride].reshape(rows, -1)
                sorted_by[remainder, :, : part.shape[1]] = part
            for first in range(0, target.shape[0], lines):
                tile = target[first : first + lines]
                acc = scratch[: tile.shape[0]]
                depthwise_nine_flat(sorted_by, weight, first, (window.strides[0], window.dilations[0]), taps, acc)
                self.rows(acc.reshape(-1, channels), tile.reshape(-1, channels), tally)


def width_of(picture: Array, window: Window) -> int:
    """Return the width of a picture [H, W, C] with its padding."""
    return int(picture.shape[1] + window.pads[1] + window.pads[3])
