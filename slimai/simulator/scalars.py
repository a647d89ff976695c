"""Tensors of rank 0: kernels see them as arrays of one element, so that none has to know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally


def with_scalars(context: LayerContext, compiled: Compiled) -> Compiled:
    """Return the layer's kernel, taking and giving scalars where the graph has them."""
    layer, kernel = context.layer, compiled.kernel
    scalars = [not context.graph.shape(name) for name in layer.outputs]
    if not any(scalars) and all(context.graph.shape(name) for name in layer.inputs):
        return compiled

    def run(inputs: Sequence[Array], tally: Tally) -> list[Array]:
        made = kernel([np.atleast_1d(value) for value in inputs], tally)
        return [np.reshape(value, ()) if scalar else value for value, scalar in zip(made, scalars, strict=True)]

    return replace(compiled, kernel=run)
