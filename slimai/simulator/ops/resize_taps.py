"""Where the pixels of a resized image come from: positions, nearest indices, linear taps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.simulator.fixed_point import Int

_TIE = 1e-6  # pixels from the middle of two that count as the middle in ONNX Runtime: found by trial, tested over sizes


def source_positions(size: int, out: int, scale: float, mode: str, name: str) -> NDArray[np.float32]:
    """Return the place in the input, in pixels, of each output pixel along one axis (float32, as ONNX Runtime)."""
    x, ratio = np.arange(out, dtype=np.float32), np.float32(scale)
    half = np.float32(0.5)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        return np.asarray((x + half) / ratio - half, np.float32)
    if mode == "pytorch_half_pixel":
        return np.zeros(out, np.float32)
    if mode == "asymmetric":
        return np.asarray(x / ratio, np.float32)
    if mode == "align_corners":
        return np.asarray(x * np.float32(size - 1) / np.float32(max(out - 1, 1)), np.float32)
    if mode == "half_pixel_symmetric":
        adjust = np.float32(out) / (ratio * np.float32(size))
        centre = np.float32(size) / np.float32(2.0)
        return np.asarray(centre * (1 - adjust) + (x + half) / ratio - half, np.float32)
    raise InputError.at(name, "coordinate transformation is not supported", mode, cure="run the node on the host")


def nearest_index(size: int, out: int, scale: float, mode: str, rounding: str, name: str) -> Int:
    """Return the input index that each output pixel copies along one axis."""
    place = source_positions(size, out, scale, mode, name).astype(np.float64)
    if rounding == "round_prefer_floor":
        index = np.ceil(place - 0.5 - _TIE)
    elif rounding == "round_prefer_ceil":
        index = np.floor(place + 0.5 + _TIE)
    elif rounding == "ceil":
        index = np.ceil(place)
    else:
        index = np.floor(place)
    return np.clip(index.astype(np.int64), 0, size - 1)


def linear_taps(size: int, out: int, scale: float, mode: str, name: str) -> tuple[Int, Int, NDArray[np.float32]]:
    """Return (lower index, upper index, fraction of the upper) along one axis, places clamped to the input."""
    place = np.clip(source_positions(size, out, scale, mode, name), 0, np.float32(size - 1))
    lower = np.minimum(np.floor(place).astype(np.int64), size - 1)
    upper = np.minimum(lower + 1, size - 1)
    return lower, upper, np.asarray(place - lower.astype(np.float32), np.float32)
