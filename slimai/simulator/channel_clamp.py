"""A clamp whose upper limit differs by channel: a pass over the integers of a layer, after its scalar clamp.

min(clamp(v, lo, max hi), hi[c]) = clamp(v, lo, hi[c]) for every v, so one pass serves all operators and presets, and
the kernels of scalar clamps stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally


def with_channel_clamp(context: LayerContext, compiled: Compiled) -> Compiled:
    """Return the layer with the upper limits of its channels, as `clamp_high` in its tables; as it is without any."""
    high = context.channel_high
    if high is None:
        return compiled
    tables = {**compiled.tables, "clamp_high": high}
    if high.min() == high.max():  # on this grid no channel ends below another
        return Compiled(compiled.kernel, tables)
    limits = high.astype(context.out.dtype.numpy)

    def kernel(inputs: Any, tally: Tally) -> list[Array]:
        (made,) = compiled.kernel(inputs, tally)
        lower_to(made, limits)
        return [made]

    return Compiled(kernel, tables)


def lower_to(y: Array, limits: Array) -> None:
    """Bring y [N, C, ...] down to limits [C], in place; fastest where the memory is channels-last."""
    from slimai.simulator._kernels_elementwise import lower_rows  # noqa: PLC0415 - spares numba

    rows = np.moveaxis(y, 1, -1)
    if rows.flags.c_contiguous:
        lower_rows(rows.reshape(-1, limits.size), limits)
    else:
        np.minimum(y, limits.reshape(-1, *(1,) * (y.ndim - 2)), out=y)
