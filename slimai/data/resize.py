"""Bringing a picture to the network's size: sizes, offsets and interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Resize:
    """What is done with a picture whose size is not the network's (SPEC section 5)."""

    mode: Literal["stretch", "letterbox", "center_crop"] = "stretch"
    short_side: int | None = None
    pad_value: tuple[float, ...] = (114.0,)
    anchor: Literal["center", "top_left"] = "center"
    interpolation: Literal["bilinear", "bilinear_cv2", "bicubic", "nearest"] = "bilinear"


@dataclass(frozen=True)
class Placement:
    """Where a picture lands: it is scaled to `scaled` (w, h) and its top left corner put at `offset` (x, y).

    A negative offset cuts, a positive one pads.
    """

    scaled: Size
    offset: tuple[int, int]


def half_up(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half up, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def place(resize: Resize, original: Size, network: Size) -> Placement:
    """Return where a picture of `original` (w, h) lands in the `network` (w, h)."""
    (w, h), (width, height) = original, network
    if resize.mode == "stretch":
        return Placement(network, (0, 0))
    if resize.mode == "letterbox":
        scaled = _fitted(original, network, inside=True)
        free = (width - scaled[0], height - scaled[1])
        return Placement(scaled, (free[0] // 2, free[1] // 2) if resize.anchor == "center" else (0, 0))
    if resize.short_side is None:
        scaled = _fitted(original, network, inside=False)
    else:
        side = resize.short_side
        scaled = (side, half_up(h * side, w)) if w <= h else (half_up(w * side, h), side)
    return Placement(scaled, (-((scaled[0] - width) // 2), -((scaled[1] - height) // 2)))


def _fitted(original: Size, network: Size, *, inside: bool) -> Size:
    """Return the size with the picture's aspect ratio that just fits inside (or just covers) the network's."""
    (w, h), (width, height) = original, network
    full_width = width * h <= height * w if inside else width * h >= height * w
    if full_width:
        return width, max(1, half_up(h * width, w))
    return max(1, half_up(w * height, h)), height


def resample(image: Image, size: Size, interpolation: str) -> Array:
    """Return the picture scaled to `size` (w, h), as [H, W] or [H, W, C] uint8."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    if image.size == size:
        return np.asarray(image)
    if interpolation == "bilinear_cv2":
        return bilinear_without_antialias(np.asarray(image), size)
    filters = {
        "bilinear": pillow.Resampling.BILINEAR,
        "bicubic": pillow.Resampling.BICUBIC,
        "nearest": pillow.Resampling.NEAREST,
    }
    return np.asarray(image.resize(size, filters[interpolation]))


_BITS = 11


def bilinear_without_antialias(pixels: Array, size: Size) -> Array:
    """Return [H, W(, C)] uint8 pixels scaled to `size` (w, h) between the four nearest, as OpenCV does it.

    Half-pixel centres; weights are rounded to 11 bits, the horizontal sums keep 11 fraction bits, the
    vertical ones are cut to 7 before the product and 2 after it (OpenCV's 8-bit INTER_LINEAR).
    """
    height, width = pixels.shape[:2]
    if (width, height) == (2 * size[0], 2 * size[1]):  # OpenCV averages blocks of four here
        blocks = pixels.reshape(size[1], 2, size[0], 2, *pixels.shape[2:]).astype(np.int32)
        halved: Array = ((blocks.sum(axis=(1, 3)) + 2) >> 2).astype(np.uint8)
        return halved
    left, right, wx = _weights(width, size[0], whole_at_border=True)
    top, bottom, wy = _weights(height, size[1], whole_at_border=False)
    shape = (1, -1) + (1,) * (pixels.ndim - 2)
    # columns are chosen before they become 32 bits wide: a large picture is never held so
    rows = pixels[:, left].astype(np.int32) * wx[0].reshape(shape)
    rows += pixels[:, right].astype(np.int32) * wx[1].reshape(shape)
    shape = (-1, 1) + (1,) * (pixels.ndim - 2)
    upper = ((rows[top] >> 4) * wy[0].reshape(shape)) >> 16
    lower = ((rows[bottom] >> 4) * wy[1].reshape(shape)) >> 16
    scaled: Array = np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)
    return scaled


def _weights(source: int, target: int, *, whole_at_border: bool) -> tuple[Array, Array, Array]:
    """Return the two neighbours of each target position and their [2, target] integer weights.

    Beyond the border both neighbours are the border element; `whole_at_border` gives it the whole weight at
    once, as OpenCV does for columns but not for rows, where the two shares are cut to integers apart.
    """
    scale = source / target
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    fraction = position - first.astype(np.float32)
    if whole_at_border:
        fraction = np.where((first < 0) | (first >= source - 1), np.float32(0), fraction)
    one = np.float32(1 << _BITS)
    weights = np.stack([np.rint((np.float32(1) - fraction) * one), np.rint(fraction * one)])
    return np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1), weights.astype(np.int32)
