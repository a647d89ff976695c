"""How pictures [N, H, W, C] lie in memory: flat elements, sizes, and the steps between neighbours of each axis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Four = tuple[int, int, int, int]

_FEW_PLANES = 4  # channels of which planes are read one by one instead of being brought into channels-last order


class Pictures(NamedTuple):
    """Elements [N * H * W * C or more] of which picture n has pixel (y, x), channel c at n, y, x, c times `steps`."""

    flat: Array
    sizes: Four
    steps: Four


def pictures_of(x: Array, pads: Four, *, pointwise: bool) -> Pictures:
    """Return x [N, H, W, C], channels last in memory or few whole planes, without what negative pads take away.

    pads: top, left, bottom, right. pointwise: whether pixels may as well be rows of their own.
    """
    count, height, width, channels = x.shape
    if channels <= _FEW_PLANES and not pointwise and not x.flags.c_contiguous:
        planes = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        flat, steps = planes.reshape(-1), (channels * height * width, width, 1, height * width)
    else:
        flat, steps = np.ascontiguousarray(x).reshape(-1), (height * width * channels, width * channels, channels, 1)
    if pointwise:
        return Pictures(flat, (1, count * height * width, 1, channels), (flat.size, channels, channels, 1))
    if min(pads) < 0:
        top, left, bottom, right = (max(-pad, 0) for pad in pads)
        flat = flat[top * steps[1] + left * steps[2] :]
        height, width = height - top - bottom, width - left - right
    return Pictures(flat, (count, height, width, channels), steps)
