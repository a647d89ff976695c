"""ArgMax: compares integers, which order as the real values do."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally


def compile_argmax(context: LayerContext) -> Compiled:
    """Return the kernel of an arg max; the output is int64 and not quantized."""
    axis, keep = int(context.attrs["axis"]), bool(context.attrs.get("keepdims", 1))
    last = bool(context.attrs.get("select_last_index", 0))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x = inputs[0]
        found = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis) if last else np.argmax(x, axis=axis)
        return [np.expand_dims(found, axis) if keep else found]

    return Compiled(kernel)
