"""Synthetic pictures: handwritten digits of random size and colour on textured canvases (NumPy only).

Every function takes its random generator and draws with ``random`` and ``integers`` alone, so that one seed
gives one picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SUPERSAMPLE = 4  # a digit of 8x8 samples is kept as 32x32, so that bilinear sampling of it looks smooth
INK = 0.5  # a pixel belongs to the digit when its coverage is above this
COLOUR_STEP = 12  # colours are multiples of this: few different values keep the PNG files small


@dataclass(frozen=True)
class Glyph:
    """One pasted digit: class index and the pixels it covers.

    Attributes:
        label: digit, 0..9.
        box: first and last pixel with ink, ``(left, top, right, bottom)``, 0-based, both ends inclusive.
        ink: coverage mask of the whole canvas, ``[size, size] bool``.
    """

    label: int
    box: tuple[int, int, int, int]
    ink: NDArray[np.bool_]


def interpolation_matrix(source: int, target: int) -> FloatArray:
    """Return the ``[target, source]`` matrix of Catmull-Rom interpolation between sample centres, ends repeated."""
    position = (np.arange(target) + 0.5) * source / target - 0.5
    base = np.floor(position).astype(int)
    matrix = np.zeros((target, source))
    for tap in range(-1, 3):
        distance = np.abs(position - (base + tap))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
        np.add.at(
            matrix,
            (np.arange(target), np.clip(base + tap, 0, source - 1)),
            np.where(distance <= 1.0, near, far),
        )
    return matrix


def supersample(digits: FloatArray) -> FloatArray:
    """Return digits ``[n, 8, 8]`` in 0..1 enlarged to ``[n, 34, 34]``, framed by one empty sample, clipped to 0..1."""
    matrix = interpolation_matrix(8, 8 * SUPERSAMPLE)
    enlarged = np.clip(np.einsum("yi,nij,xj->nyx", matrix, digits, matrix), 0.0, 1.0)
    return np.pad(enlarged, ((0, 0), (1, 1), (1, 1)))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return one number drawn evenly from ``low`` (inclusive) to ``high`` (exclusive)."""
    return low + (high - low) * float(rng.random())


def draw_coverage(rng: np.random.Generator, digit: FloatArray, cell: int) -> FloatArray:
    """Return the coverage ``[cell, cell]`` in 0..1 of a supersampled digit, slightly turned, slanted and stretched."""
    angle, slant = np.deg2rad(uniform(rng, -12.0, 12.0)), uniform(rng, -0.15, 0.15)
    wide, high = uniform(rng, 0.8, 1.0), uniform(rng, 0.85, 1.0)
    grid = (np.arange(cell) + 0.5) * 2.0 / cell - 1.0
    v, u = np.meshgrid(grid, grid, indexing="ij")
    x = (np.cos(angle) * u + np.sin(angle) * v + slant * v) / wide
    y = (np.cos(angle) * v - np.sin(angle) * u) / high
    last = digit.shape[0] - 1
    x = np.clip((x + 1.0) * 4.0 * SUPERSAMPLE + 0.5, 0.0, last - 1e-6)
    y = np.clip((y + 1.0) * 4.0 * SUPERSAMPLE + 0.5, 0.0, last - 1e-6)
    left, top = x.astype(int), y.astype(int)
    dx, dy = x - left, y - top
    upper = digit[top, left] * (1.0 - dx) + digit[top, left + 1] * dx
    lower = digit[top + 1, left] * (1.0 - dx) + digit[top + 1, left + 1] * dx
    value: FloatArray = upper * (1.0 - dy) + lower * dy
    return np.clip((value - 0.35) / 0.3, 0.0, 1.0)


def _pattern(rng: np.random.Generator, size: int) -> FloatArray:
    """Return one texture ``[size, size]``, roughly in -1..1: cloud, stripes, checks or slope."""
    kind = int(rng.integers(4))
    if kind == 0:
        cells = int(rng.integers(3, 9))
        matrix = interpolation_matrix(cells, size)
        return np.asarray(matrix @ (rng.random((cells, cells)) * 2.0 - 1.0) @ matrix.T)
    y, x = np.mgrid[0:size, 0:size].astype(float)
    angle = uniform(rng, 0.0, np.pi)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    period = uniform(rng, 6.0, 28.0)
    if kind == 1:
        return np.asarray(np.sin(2.0 * np.pi * along / period))
    if kind == 2:
        return np.asarray(np.sign(np.sin(np.pi * along / period) * np.sin(np.pi * across / period)))
    return np.asarray(along / size * 2.0 - 1.0)


def draw_canvas(rng: np.random.Generator, size: int) -> FloatArray:
    """Return an empty canvas ``[size, size, 3]``: a colour, one or two textures, some speckles and bars."""
    canvas = 40.0 + rng.random(3) * 175.0 + np.zeros((size, size, 3))
    for _ in range(int(rng.integers(1, 3))):
        canvas += _pattern(rng, size)[..., None] * (rng.random(3) * 36.0 - 18.0)
    speckled = rng.random((size, size)) < uniform(rng, 0.0, 0.03)
    canvas[speckled] += uniform(rng, -60.0, 60.0)
    for _ in range(int(rng.integers(0, 4))):
        top, left = (int(v) for v in rng.integers(0, size, 2))
        height, width = (int(v) for v in rng.integers(2, max(3, size // 6), 2))
        canvas[top : top + height, left : left + width] = 40.0 + rng.random(3) * 175.0
    return canvas


def _ink_colour(rng: np.random.Generator, behind: FloatArray) -> FloatArray:
    """Return a colour ``[3]`` whose luminance is at least 60 away from the mean of the pixels ``[n, 3]`` behind."""
    weights = np.array([0.299, 0.587, 0.114])
    level = float(behind.mean(axis=0) @ weights)
    while True:
        colour = rng.random(3) * 255.0
        if abs(float(colour @ weights) - level) >= 60.0:
            return colour


def paste(rng: np.random.Generator, canvas: FloatArray, coverage: FloatArray, top: int, left: int, label: int) -> Glyph:
    """Return the glyph after drawing ``coverage`` in a contrasting colour on ``canvas`` (changed in place)."""
    cell = coverage.shape[0]
    region = canvas[top : top + cell, left : left + cell]
    colour = _ink_colour(rng, region[coverage > INK])
    region += coverage[..., None] * (colour - region)
    ink = np.zeros(canvas.shape[:2], dtype=bool)
    ink[top : top + cell, left : left + cell] = coverage > INK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return Glyph(label, (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])), ink)


def posterise(canvas: FloatArray) -> NDArray[np.uint8]:
    """Return the canvas as ``uint8`` whose values are multiples of `COLOUR_STEP`."""
    levels = np.floor(np.clip(canvas, 0.0, 255.0) / COLOUR_STEP + 0.5)
    return np.minimum(levels * COLOUR_STEP, 252.0).astype(np.uint8)


def draw_scene(
    rng: np.random.Generator,
    digits: FloatArray,
    labels: NDArray[np.int64],
    size: int,
    cells: tuple[int, int],
    count: int,
) -> tuple[NDArray[np.uint8], list[Glyph]]:
    """Return a picture ``[size, size, 3] uint8`` and its glyphs, whose cells do not overlap by more than a margin.

    Args:
        rng: source of every choice.
        digits: supersampled digits to choose from, ``[n, 34, 34]``.
        labels: their classes, ``[n]``.
        size: side of the canvas in pixels.
        cells: smallest and largest cell side in pixels, both inclusive.
        count: digits to place; fewer are placed when no free spot is found in 20 trials each.
    """
    canvas = draw_canvas(rng, size)
    taken = np.zeros((size, size), dtype=bool)
    glyphs: list[Glyph] = []
    for _ in range(count):
        pick = int(rng.integers(len(labels)))
        cell = round(cells[0] * (cells[1] / cells[0]) ** float(rng.random()))
        coverage = draw_coverage(rng, digits[pick], cell)
        for _ in range(20):
            top, left = (int(v) for v in rng.integers(0, size - cell + 1, 2))
            if not taken[top : top + cell, left : left + cell].any():
                glyphs.append(paste(rng, canvas, coverage, top, left, int(labels[pick])))
                taken[top + 2 : top + cell - 2, left + 2 : left + cell - 2] = True
                break
    return posterise(canvas), glyphs
