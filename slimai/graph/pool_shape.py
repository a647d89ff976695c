"""Sizes of pools with ceil_mode, as ONNX Runtime computes them.

ONNX's inference counts a last window that begins behind the picture (operator sets below 22); no runtime computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def pooled_sizes(sizes: Sequence[int], attrs: Mapping[str, Any]) -> list[int]:
    """Return the spatial sizes of the output of a pool with ceil_mode.

    attrs: as ONNX's helper reads them (text as bytes). Source: ONNX Runtime's pool_attributes.h.
    """
    rank = len(sizes)
    strides, dilations = (attrs.get(key, [1] * rank) for key in ("strides", "dilations"))
    auto = attrs.get("auto_pad", b"NOTSET")
    if auto.startswith(b"SAME"):
        return [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    pads = attrs.get("pads", [0] * (2 * rank)) if auto == b"NOTSET" else [0] * (2 * rank)
    rows = zip(sizes, attrs["kernel_shape"], strides, dilations, pads[:rank], pads[rank:], strict=True)
    return [_size(*row) for row in rows]


def _size(size: int, kernel: int, stride: int, dilation: int, begin: int, end: int) -> int:
    count = -(-(size + begin + end - (kernel - 1) * dilation - 1) // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count  # the last window begins inside
