"""Exact sums of convolution windows without copies of them: a band of the padded picture, and the places in it.

Engines, the fastest that is proven exact (`_kernels_windows`): quads (uint8 by int8), pairs (int16, sums below 2**31),
halves (16-bit weights as 256 * high + low). Where a CPU has none of them `Convolution` gathers windows for `Product`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import largest
from slimai.simulator.buffers import BufferPool
from slimai.simulator.finish import Rule, finish_of
from slimai.simulator.fixed_point import S32_HIGH
from slimai.simulator.pictures import Pictures, pictures_of
from slimai.simulator.product import Matrix, centred_range, pair_engine
from slimai.simulator.rows import RowKernel
from slimai.simulator.tiles import BLOCK

Array = NDArray[Any]
Pair = tuple[int, int]
Kernel = Callable[..., None]
Engine = Literal["quads", "pairs", "halves"]

_SHARES: dict[str, int] = {"quads": 4, "pairs": 2, "halves": 2}  # elements in four bytes
_BAND_BYTES = 1 << 19  # of a padded picture: with its sums, what a second-level cache holds
_TILE_SUMS = 1 << 16
_BAND_WINDOWS = 1 << 15
_SPARE = 64  # elements that the last window may read beyond its end
_KEPT = 256  # bands that are remembered, a few thousand windows each


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

    @property
    def crops(self) -> bool:
        """Whether a pad is negative."""
        return min(self.pads) < 0

    def cropped(self, x: Array) -> Array:
        """Return x [N, H, W, C] without what negative pads take away."""
        top, left, bottom, right = (max(-pad, 0) for pad in self.pads)
        return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def window_engine(
    matrices: tuple[Matrix, ...], x: QParams, reach: float, bias: float, *, parted: bool = True
) -> Engine | None:
    """Return the engine for sums of magnitude up to `reach` and biases up to `bias`, or None.

    quads add up x plus 0 to 255, which the bias takes away again: both stay below 2**31 within three times the reach of
    8-bit integers. parted: whether halves may be summed in parts that stay below 2**31 each.
    """
    from slimai.simulator import _kernels_windows  # noqa: PLC0415 - spares numba

    if not _kernels_windows.BROAD:
        return None
    if _kernels_windows.QUADS and x.dtype.bits == 8 and all(matrix.narrow for matrix in matrices):
        most = 512.0 * max(matrix.magnitude for matrix in matrices) + bias
        if most <= S32_HIGH:
            return "quads"
    engines = {pair_engine(matrix, centred_range(x), reach, broad=True) for matrix in matrices}
    if "blas" in engines or (not parted and "wide" in engines):
        return None
    return "pairs" if engines == {"pairs"} else "halves"


@dataclass(frozen=True, eq=False)
class Bands:
    """How pictures [N, H, W, C] are cut: `many` of them at once, or bands of `lines` rows of the output of one.

    shape: [pictures, rows, elements of a row] of a band with its padding. starts: the first elements of its windows and
    some more. offsets: the elements of a window's steps behind its first.
    """

    many: int
    lines: int
    height: int
    width: int
    shape: tuple[int, int, int]
    starts: NDArray[np.int32]
    offsets: NDArray[np.int32]


class Part(NamedTuple):
    """What of the pictures is one band: first element, sizes, rows of padding before it (negative: behind the first).

    rows, done: windows in it and before it.
    """

    at: int
    sizes: tuple[int, ...]
    top: int
    rows: int
    done: int


@lru_cache(maxsize=_KEPT)
def cut_bands(
    window: Window, shape: tuple[int, int, int, int], itemsize: int, across: int, run: int, share: int
) -> Bands:
    """Return the bands of pictures of a shape.

    Args:
        window: geometry.
        shape: [N, H, W, C] of what negative pads have left.
        itemsize: bytes of an element.
        across: horizontal taps that are places of their own (the others are neighbours).
        run: neighbouring elements at each place.
        share: elements of a step.
    """
    images, height, width, channels = shape
    top, left, bottom, right = (max(pad, 0) for pad in window.pads)
    tall, row = height + top + bottom, (width + left + right) * channels
    stride, span = window.strides[0], (window.kernel[0] - 1) * window.dilations[0] + 1
    out = (tall - span) // stride + 1, (row // channels - (window.kernel[1] - 1) * window.dilations[1] - 1)
    size = out[0], out[1] // window.strides[1] + 1
    most = max(1, _BAND_BYTES // max(row * itemsize, 1))
    lines = min(max(1, (most - span) // stride + 1), max(1, _BAND_WINDOWS // size[1]), size[0])
    many = min(max(1, min(most // tall, _BAND_WINDOWS // (size[0] * size[1]))), images) if lines == size[0] else 1
    band = many, tall if lines == size[0] else (lines - 1) * stride + span, row
    starts = np.arange(many)[:, None, None] * (band[1] * row) + np.arange(lines)[:, None] * (stride * row)
    starts = (starts + np.arange(size[1]) * (window.strides[1] * channels)).reshape(-1)
    down = np.arange(window.kernel[0])[:, None, None] * (window.dilations[0] * row)
    places = down + np.arange(across)[:, None] * (window.dilations[1] * channels) + np.arange(0, run, share)
    offsets = places.reshape(-1)
    padded = (np.pad(starts, (0, _SPARE)), np.pad(offsets, (0, -len(offsets) % share)))
    return Bands(many, lines, *size, band, *(array.astype(np.int32) for array in padded))


class WindowSums:
    """Sums over windows of x [N, H, W, C] with the weights of `matrices`, one [KH * KW * C / group, O / group] a group.

    zero: what is left of the zero point: the sums are those of x - z plus `zero` times the sum of their weights.
    """

    def __init__(
        self, engine: Engine, matrices: tuple[Matrix, ...], window: Window, x: QParams, pool: BufferPool
    ) -> None:
        self.engine, self.window, self.pool = engine, window, pool
        self.outputs = sum(matrix.columns for matrix in matrices)
        self.depth = matrices[0].depth // math.prod(window.kernel)
        flip = 128 if engine == "quads" and x.dtype.signed else 0
        self.zero = x.zero_point + flip if engine == "quads" else 0
        self.shift = np.int32(-flip if engine == "quads" else x.zero_point)  # taken away from what is read
        self.kind = np.dtype(np.uint8 if engine == "quads" else np.int16)
        self.sums_kind = np.dtype(np.float64 if engine == "halves" else np.int32)
        self.share = _SHARES[engine]
        self.fill = self.kind.type(self.zero)
        self.padded, self.parts, self.largest = any(window.pads), 1, largest(x)
        self._known: dict[Any, tuple[Bands, bool, tuple[Part, ...]]] = {}
        self._prepare(matrices)

    def _prepare(self, matrices: tuple[Matrix, ...]) -> None:
        """Set the weights as the kernel reads them, and how windows lie."""
        whole = len(matrices) == 1 and self.window.dilations[1] == 1
        self.across = 1 if whole else self.window.kernel[1]
        self.run = self.depth * (self.window.kernel[1] if whole else 1)
        self.aligned = not self.run % self.share
        self.packed = [matrix.window_form(self.run, self.engine) for matrix in matrices]
        if self.engine == "halves":
            self.parts = max(matrix.half_parts(self.run, self.largest) for matrix in matrices)

    @cached_property
    def _kernel(self) -> tuple[Kernel, int]:
        """The kernel, and by how many rows a tile may reach beyond the last."""
        from slimai.simulator import _kernels_windows as kernels  # noqa: PLC0415 - spares numba

        known = {"quads": kernels.window_quads, "pairs": kernels.window_pairs, "halves": kernels.window_halves}
        return known[self.engine], kernels.TILE

    def __call__(self, x: Array) -> Iterator[tuple[int, Array]]:
        """Yield (first row, sums [rows, O]) in order; a row is a pixel of the output [N, OH, OW]."""
        for source, bands, count, done in self._bands(x):
            yield from self._tiles(source, bands, count, done)

    def finish(self, kernel: RowKernel | None, bound: float) -> Rule | None:
        """Return what `kernel` does with sums up to `bound`, bias included, as `write` takes it, or None."""
        return finish_of(kernel, bound, self._blocks()) if self.parts == 1 else None

    def _blocks(self) -> Array:
        """Return the first column of each block of weights."""
        groups, columns = len(self.packed), self.outputs // len(self.packed)
        first: Array = np.add.outer(np.arange(groups) * columns, np.arange(0, columns, BLOCK)).ravel()
        return first

    def write(self, x: Array, rule: Rule, out: Array) -> None:
        """Write the output integers of all windows into `out`, [rows, O]."""
        target, columns, blocks = (
            out.reshape(-1),
            self.outputs // len(self.packed),
            len(rule.tables) // len(self.packed),
        )
        for source, bands, rows, done in self._bands(x):
            for index, packed in enumerate(self.packed):
                self._fused(
                    source[index * self.depth :] if index else source, bands.starts, rows, bands.offsets, packed,
                    columns, rule, index * blocks, target, done * self.outputs + index * columns, self.outputs,
                )  # fmt: skip

    @cached_property
    def _fused(self) -> Kernel:
        """The kernel that requantizes what it adds up."""
        from slimai.simulator import _kernels_fused as kernels  # noqa: PLC0415 - spares numba

        return kernels.window_halves_out if self.engine == "halves" else kernels.windows_out

    @cached_property
    def _place(self) -> Kernel:
        from slimai.simulator._kernels_windows import place  # noqa: PLC0415 - spares numba

        return place

    def _cut(self, pictures: Pictures) -> tuple[Bands, bool, tuple[Part, ...]]:
        """Return the bands of pictures, whether windows are read where they lie, and the parts that are bands."""
        sizes, steps = pictures.sizes, pictures.steps
        key = sizes, steps[3], pictures.flat.dtype
        if key not in self._known:
            bands = cut_bands(self.window, sizes, self.kind.itemsize, self.across, self.run, self.share)
            direct = not self.padded and self.aligned and steps[3] == 1 and pictures.flat.dtype == self.kind
            self._known[key] = bands, direct, tuple(self._parts(pictures, bands, direct=direct))
        return self._known[key]

    def _parts(self, pictures: Pictures, bands: Bands, *, direct: bool) -> Iterator[Part]:
        (images, *size), done = pictures.sizes, 0
        for image in range(0, images, bands.many):
            many = min(bands.many, images - image)
            for first in range(0, bands.height, bands.lines):
                rows = many * min(bands.lines, bands.height - first) * bands.width
                top, at = first * self.window.strides[0], image * pictures.steps[0]
                above = max(self.window.pads[0], 0) - top
                yield Part(at + top * bands.shape[2] if direct else at, (many, *size), above, rows, done)
                done += rows

    def _bands(self, x: Array) -> Iterator[tuple[Array, Bands, int, int]]:
        """Yield (elements, how windows lie in them, rows, first row) of one band after the other."""
        pictures = pictures_of(x, self.window.pads, pointwise=self.window.pointwise)
        flat, steps = pictures.flat, pictures.steps
        bands, direct, parts = self._cut(pictures)
        _, tall, row = bands.shape
        flat = flat.view(np.uint8) if self.engine == "quads" else flat
        left = max(self.window.pads[1], 0) * x.shape[3]
        room = flat if direct else self.pool.empty((math.prod(bands.shape) + _SPARE,), self.kind)
        for at, sizes, top, rows, done in parts:
            source = flat[at:] if at else flat
            if not direct:
                self._place(source, sizes, steps, self.shift, self.fill, top, left, room[: sizes[0] * tall * row], row)
                source = room
            yield source, bands, rows, done

    def _tiles(self, source: Array, bands: Bands, rows: int, done: int) -> Iterator[tuple[int, Array]]:
        kernel, spare = self._kernel
        groups = len(self.packed)
        columns = self.outputs // groups
        step = min(max(spare, _TILE_SUMS // self.outputs // spare * spare), rows)
        sums = self.pool.empty(((step + spare) * columns + 2 * BLOCK,), self.sums_kind)
        whole = None if groups == 1 else self.pool.empty((step, self.outputs), self.sums_kind)
        for first in range(0, rows, step):
            count, starts = min(step, rows - first), bands.starts[first:]
            for index, packed in enumerate(self.packed):
                part = source[index * self.depth :] if index else source
                if self.parts == 1:
                    kernel(part, starts, count, bands.offsets, packed, columns, sums)
                else:
                    self._add_parts(part, starts, count, bands.offsets, packed, columns, sums)
                found = sums[: count * columns].reshape(count, columns)
                if whole is not None:
                    whole[:count, index * columns : (index + 1) * columns] = found
            yield done + first, found if whole is None else whole[:count]

    def _add_parts(
        self, source: Array, starts: Array, count: int, offsets: Array, packed: Array, columns: int, sums: Array
    ) -> None:
        """Write what the kernel does, from sums over a part of the steps each."""
        more, used, steps = self.pool.empty(sums.shape, sums.dtype), count * columns, packed.shape[1]
        for index in range(self.parts):
            part = slice(index * steps // self.parts, (index + 1) * steps // self.parts)
            weights = np.ascontiguousarray(packed[:, part])
            self._kernel[0](source, starts, count, offsets[part], weights, columns, more if index else sums)
            if index:
                np.add(sums[:used], more[:used], out=sums[:used])


class DepthwiseSums(WindowSums):
    """Sums over windows of x [N, H, W, C] channel by channel, with the one matrix [KH * KW, C] of weights."""

    def _prepare(self, matrices: tuple[Matrix, ...]) -> None:
        self.across, self.run = self.window.kernel[1], 1
        self.aligned = matrices[0].columns >= BLOCK
        self.packed = [matrices[0].depthwise_form(self.engine)]

    @cached_property
    def _kernel(self) -> tuple[Kernel, int]:
        from slimai.simulator import _kernels_depthwise as kernels  # noqa: PLC0415 - spares numba

        known = {"quads": kernels.depth_quads, "pairs": kernels.depth_pairs, "halves": kernels.depth_halves}
        return known[self.engine], kernels.PIXELS

    def _blocks(self) -> Array:
        from slimai.simulator._kernels_depthwise import channel_blocks  # noqa: PLC0415 - spares numba

        return channel_blocks(self.outputs)

    @cached_property
    def _fused(self) -> Kernel:
        from slimai.simulator import _kernels_fused as kernels  # noqa: PLC0415 - spares numba

        return kernels.depth_halves_out if self.engine == "halves" else kernels.depth_out
