"""Convolution over three axes of space as one over two: what a window sees along the depth becomes channels.

The product of [N, D, H, W, C] with weights [O, C / group, KD, KH, KW] is that of [N * OD, H, W, C * KD] with
[O, C / group * KD, KH, KW]: picture (n, z) holds the KD slices that output depth z reads. The same products are
summed in one accumulator, so nothing of the arithmetic changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import Array


@dataclass(frozen=True)
class Depth:
    """Geometry along the depth; pads: near and far side, negative ones crop; spread: steps between the slices read."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int] = (0, 0)
    spread: int = 1

    @classmethod
    def of(cls, kernel: int, attrs: Mapping[str, Any]) -> Depth:
        """Return that of a convolution over three axes."""
        pads = (int(attrs["pads"][0]), int(attrs["pads"][3]))
        return cls(kernel, int(attrs["strides"][0]), int(attrs["dilations"][0]), pads)

    @classmethod
    def of_transposed(cls, kernel: int, attrs: Mapping[str, Any]) -> Depth:
        """Return that of a transposed convolution: slices are spread by its stride, then a convolution of stride 1."""
        reach = (kernel - 1) * int(attrs["dilations"][0])
        extra = int((*attrs.get("output_padding", ()), 0)[0])
        pads = (reach - int(attrs["pads"][0]), reach - int(attrs["pads"][3]) + extra)
        return cls(kernel, 1, int(attrs["dilations"][0]), pads, int(attrs["strides"][0]))

    def unrolled(self, x: Array, zero: int) -> tuple[Array, int]:
        """Return ([N * OD, H, W, C * KD], OD) of x [N, D, H, W, C]; what lies outside holds `zero`."""
        whole = self._padded(x, zero)
        count = (whole.shape[1] - (self.kernel - 1) * self.dilation - 1) // self.stride + 1
        taps = [
            whole[:, first : first + (count - 1) * self.stride + 1 : self.stride]
            for first in range(0, self.kernel * self.dilation, self.dilation)
        ]
        pictures = np.stack(taps, axis=-1)
        return np.ascontiguousarray(pictures.reshape(-1, *x.shape[2:4], x.shape[4] * self.kernel)), count

    def _padded(self, x: Array, zero: int) -> Array:
        length = (x.shape[1] - 1) * self.spread + 1
        near, far = self.pads
        whole = np.full((x.shape[0], max(near, 0) + length + max(far, 0), *x.shape[2:]), zero, x.dtype)
        whole[:, max(near, 0) : max(near, 0) + length : self.spread] = x
        return whole[:, max(-near, 0) : whole.shape[1] - max(-far, 0)]


def plane(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes along the two last of three axes of space."""
    pads = attrs["pads"]
    found = {name: tuple(attrs[name][1:]) for name in ("strides", "dilations", "output_padding") if attrs.get(name)}
    return {**attrs, **found, "pads": (pads[1], pads[2], pads[4], pads[5])}


def transposed_weights(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [C * KD, O / group, KH, KW] of a transposed convolution's [C, O / group, KD, KH, KW], the depth turned."""
    turned = values[:, :, ::-1].transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(turned.reshape(-1, *turned.shape[2:]))
