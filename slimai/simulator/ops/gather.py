"""Moves by constant indices: Gather, Tile, ScatterND. Integers are copied, or brought to the output's grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.ops.move import carried_inputs, unary_move


def compile_gather(context: LayerContext) -> Compiled:
    """Return the kernel of a gather along one axis."""
    attrs = context.attrs
    indices, axis = np.array(attrs["indices"], np.int64).reshape(attrs["shape"]), int(attrs["axis"])
    return unary_move(context, lambda x: np.take(x, indices, axis=axis))


def compile_tile(context: LayerContext) -> Compiled:
    """Return the kernel of a tiling."""
    repeats = tuple(context.attrs["repeats"])
    return unary_move(context, lambda x: np.tile(x, repeats))


def compile_scatternd(context: LayerContext) -> Compiled:
    """Return the kernel that writes slices into a copy of the first input; both come to the output's grid."""
    attrs = context.attrs
    indices = np.array(attrs["indices"], np.int64).reshape(attrs["shape"])
    places = tuple(np.moveaxis(indices, -1, 0))
    carries = carried_inputs(context)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        data, updates = (carry(part) for carry, part in zip(carries, context.arranged(inputs), strict=True))
        result = data.copy()
        result[places] = updates
        return [result]

    return Compiled(kernel)
