"""Exact sums of convolution windows without copies of them: a band of the padded picture, and the places in it.

Engines, the fastest that is proven exact (`_kernels_windows`): quads (uint8 by int8), pairs (int16, sums below 2**31),
halves (16-bit weights as 256 * high + low). Where a CPU has none of them `Convolution` gathers windows for `Product`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.buffers import BufferPool
from slimai.simulator.fixed_point import S32_HIGH
from slimai.simulator.product import Matrix, centred_range, pair_engine

Array = NDArray[Any]
Pair = tuple[int, int]
Engine = Literal["quads", "pairs", "halves"]

_SHARES: dict[str, int] = {"quads": 4, "pairs": 2, "halves": 2}  # elements in four bytes
_BAND_BYTES = 1 << 18  # of a padded picture: with its sums, what a second-level cache holds
_TILE_SUMS = 1 << 15
_SPARE = 64  # elements that the last window may read beyond its end


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution: (vertical, horizontal) each; pads are top, left, bottom, right, may be negative."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[int, int, int, int]

    def output(self, height: int, width: int) -> Pair:
        """Return the output's height and width."""
        top, left, bottom, right = self.pads
        spans = [(size - 1) * dilation + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)]
        return (
            (height + top + bottom - spans[0]) // self.strides[0] + 1,
            (width + left + right - spans[1]) // self.strides[1] + 1,
        )

    @property
    def pointwise(self) -> bool:
        """Whether it is a product of the channels of each pixel alone."""
        return self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.pads)

    def cropped(self, x: Array) -> tuple[Array, tuple[int, int, int, int]]:
        """Return x [N, H, W, C] without what negative pads take away, and the pads that are left."""
        top, left, bottom, right = self.pads
        height, width = x.shape[1:3]
        inner = x[:, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
        return inner, (max(top, 0), max(left, 0), max(bottom, 0), max(right, 0))


def window_engine(matrices: tuple[Matrix, ...], x: QParams, reach: float, bias: float) -> Engine | None:
    """Return the engine for sums of magnitude up to `reach` and biases up to `bias`, or None.

    quads add up x plus 0 to 255, which the bias takes away again: both stay below 2**31 within three times the reach of
    8-bit integers.
    """
    from slimai.simulator import _kernels_windows  # noqa: PLC0415 - spares numba

    if not _kernels_windows.BROAD:
        return None
    if _kernels_windows.QUADS and x.dtype.bits == 8 and all(matrix.narrow for matrix in matrices):
        most = 512.0 * max(matrix.magnitude for matrix in matrices) + bias
        if most <= S32_HIGH:
            return "quads"
    engines = {pair_engine(matrix, centred_range(x), reach, broad=True) for matrix in matrices}
    for engine in ("pairs", "halves"):
        if engines == {engine}:
            return engine
    return None


class WindowSums:
    """Sums over windows of x [N, H, W, C] with the weights of `matrices`, one [KH * KW * C / group, O / group] a group.

    zero: what is left of the zero point: the sums are those of x - z plus `zero` times the sum of their weights.
    """

    def __init__(
        self, engine: Engine, matrices: tuple[Matrix, ...], window: Window, x: QParams, pool: BufferPool
    ) -> None:
        self.engine, self.matrices, self.window, self.pool = engine, matrices, window, pool
        self.outputs = sum(matrix.columns for matrix in matrices)
        self.depth = matrices[0].depth // math.prod(window.kernel)
        self.centre = np.int32(x.zero_point)
        self.flip = np.uint8(128 if engine == "quads" and x.dtype.signed else 0)
        self.zero = x.zero_point + int(self.flip) if engine == "quads" else 0
        self.kind = np.dtype(np.uint8 if engine == "quads" else np.int16)
        whole = len(matrices) == 1 and window.dilations[1] == 1
        self.run = self.depth * (window.kernel[1] if whole else 1)
        self.packed = [matrix.window_form(self.run, engine) for matrix in matrices]
        self._places: dict[tuple[int, ...], tuple[NDArray[np.int32], NDArray[np.int32]]] = {}

    def __call__(self, x: Array) -> Iterator[tuple[int, Array]]:
        """Yield (first row, sums [rows, O]) in order; a row is a pixel of the output [N, OH, OW]."""
        if self.window.pointwise:
            x = x.reshape(1, -1, 1, x.shape[3])
        height, width = self.window.output(x.shape[1], x.shape[2])
        inner, pads = self.window.cropped(x)
        done = 0
        for source, starts, offsets, rows in self._bands(inner, pads, (height, width)):
            yield from self._tiles(source, starts, offsets, rows, done)
            done += rows

    def _tiles(self, source: Array, starts: Array, offsets: Array, rows: int, done: int) -> Iterator[tuple[int, Array]]:
        from slimai.simulator import _kernels_windows  # noqa: PLC0415 - spares numba

        kernels = {"quads": _kernels_windows.window_quads, "halves": _kernels_windows.window_halves}
        multiply, spare = kernels.get(self.engine, _kernels_windows.window_pairs), _kernels_windows.TILE
        step = min(max(spare, _TILE_SUMS // self.outputs // spare * spare), rows)
        kind = np.float64 if self.engine == "halves" else np.int32
        share = self.outputs // len(self.matrices)
        sums = self.pool.empty(((step + spare) * share + 32,), kind)
        whole = None if len(self.matrices) == 1 else self.pool.empty((step, self.outputs), kind)
        for first in range(0, rows, step):
            count = min(step, rows - first)
            for index, packed in enumerate(self.packed):
                multiply(source[index * self.depth :], starts[first:], count, offsets, packed, share, sums)
                found = sums[: count * share].reshape(count, share)
                if whole is not None:
                    whole[:count, index * share : (index + 1) * share] = found
            yield done + first, found if whole is None else whole[:count]

    def _bands(
        self, x: Array, pads: tuple[int, int, int, int], size: Pair
    ) -> Iterator[tuple[Array, Array, Array, int]]:
        """Yield (elements, first elements of the windows, offsets, number of windows) of pictures or parts of one."""
        images, height, width, channels = x.shape
        wide = width + pads[1] + pads[3]
        row_bytes = wide * channels * self.kind.itemsize
        tall = height + pads[0] + pads[2]
        most = max(1, _BAND_BYTES // max(row_bytes, 1))
        many = min(max(1, most // tall), images)
        (stride, _), span = self.window.strides, (self.window.kernel[0] - 1) * self.window.dilations[0] + 1
        lines = size[0] if most >= tall else min(max(1, (most - span) // stride + 1), size[0])
        direct = not any(pads) and x.dtype == self.kind and not self.run % 4 and x.flags.c_contiguous
        shape = (many, tall if lines == size[0] else (lines - 1) * stride + span, wide * channels)
        starts, offsets = self._windows(shape, lines, size[1], channels)
        room = None if direct else self.pool.empty((math.prod(shape) + _SPARE,), self.kind)
        for image in range(0, images, many):
            pictures = x[image : image + many]
            for first in range(0, size[0], lines):
                count = len(pictures) * min(lines, size[0] - first) * size[1]
                top = first * stride
                if room is None:
                    yield pictures.reshape(-1)[top * wide * channels :], starts, offsets, count
                else:
                    self._fill(pictures, pads[0] - top, pads[1] * channels, room, shape)
                    yield room, starts, offsets, count

    def _fill(self, pictures: Array, top: int, left: int, room: Array, shape: tuple[int, ...]) -> None:
        """Write pictures [N, H, W, C] with their padding into `room`, from row -top on."""
        from slimai.simulator import _kernels_windows  # noqa: PLC0415 - spares numba

        flat = pictures.reshape(*pictures.shape[:2], -1)
        whole = room[: math.prod(shape)].reshape(shape)[: len(pictures)]
        if self.engine == "quads":
            _kernels_windows.place_bytes(flat.view(np.uint8), self.flip, np.uint8(self.zero), top, left, whole)
        else:
            _kernels_windows.place_centred(flat, self.centre, top, left, whole)

    def _windows(
        self, shape: tuple[int, ...], lines: int, width: int, channels: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the first elements of all windows of a band, some more, and the offsets of a window's steps."""
        key = (*shape, lines, width)
        if key not in self._places:
            window, row = self.window, shape[2]
            image = np.arange(shape[0])[:, None, None] * (shape[1] * row)
            line = np.arange(lines)[:, None] * (window.strides[0] * row)
            starts = (image + line + np.arange(width) * (window.strides[1] * channels)).reshape(-1)
            share = _SHARES[self.engine]
            taps = np.arange(window.kernel[0])[:, None, None] * (window.dilations[0] * row)
            across = 1 if self.run > self.depth or window.kernel[1] == 1 else window.kernel[1]
            places = taps + np.arange(across)[:, None] * (window.dilations[1] * channels)
            offsets = (places + np.arange(0, self.run, share)).reshape(-1)
            padded = np.concatenate([starts, np.zeros(_SPARE, np.int64)]).astype(np.int32)
            self._places[key] = padded, offsets.astype(np.int32)
        return self._places[key]
