"""Numba kernels of pooling over two axes of space; NumPy twins of the same name and signature: `_reference_pool`.

x: [N, H, W, C]. Of a window only the places within the picture count. kernel, strides, dilations, near: (vertical,
horizontal) each; near: the padding before the first place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_sums(x: Any, zero: Any, kernel: Any, strides: Any, dilations: Any, near: Any, acc: Any) -> None:
    """Write sums of x - zero into acc [N, OH, OW, C] int32."""
    for image in range(acc.shape[0]):
        for oy in range(acc.shape[1]):
            for ox in range(acc.shape[2]):
                total = acc[image, oy, ox]
                total[:] = 0
                for ky in range(kernel[0]):
                    y = oy * strides[0] - near[0] + ky * dilations[0]
                    if y < 0 or y >= x.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        at = ox * strides[1] - near[1] + kx * dilations[1]
                        if at < 0 or at >= x.shape[2]:
                            continue
                        source = x[image, y, at]
                        for c in range(acc.shape[3]):
                            total[c] = np.int32(total[c] + np.int32(np.int32(source[c]) - zero))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_maxima(x: Any, least: Any, kernel: Any, strides: Any, dilations: Any, near: Any, out: Any) -> None:
    """Write the largest of x into out [N, OH, OW, C] of its type; `least` of a window beside the picture."""
    for image in range(out.shape[0]):
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                best = out[image, oy, ox]
                best[:] = least
                for ky in range(kernel[0]):
                    y = oy * strides[0] - near[0] + ky * dilations[0]
                    if y < 0 or y >= x.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        at = ox * strides[1] - near[1] + kx * dilations[1]
                        if at < 0 or at >= x.shape[2]:
                            continue
                        source = x[image, y, at]
                        for c in range(out.shape[3]):
                            best[c] = max(best[c], source[c])
