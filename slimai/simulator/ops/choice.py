"""Max, Min and Where by a constant mask: both operands on the output's scale, one of them chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.lookup import every_integer, look_up
from slimai.simulator.ops.elementwise import same_layout
from slimai.simulator.requantize import GEMMLOWP

Choose = Callable[[Array, Array], Array]


def compile_max(context: LayerContext) -> Compiled:
    """Return the kernel of the larger of two operands."""
    return _chosen(context, (0, 1), np.maximum)


def compile_min(context: LayerContext) -> Compiled:
    """Return the kernel of the smaller of two operands."""
    return _chosen(context, (0, 1), np.minimum)


def compile_where(context: LayerContext) -> Compiled:
    """Return the kernel of a selection: the first operand where the constant mask is true, else the second."""
    mask = context.graph.constants[context.layer.node.inputs[0]]
    return _chosen(context, (1, 2), lambda x, y: np.where(mask, x, y), {"mask": mask})


def _chosen(
    context: LayerContext, places: tuple[int, int], choose: Choose, tables: dict[str, Array] | None = None
) -> Compiled:
    """Return the kernel that chooses among integers, which monotone changes of scale brought to the output."""
    firsts = [context.input(place).dtype.low for place in places]
    changed = [_on_output(context, place) for place in places]
    named = {f"table_{number}": table for number, table in enumerate(changed) if table is not None}

    def brought(values: Array, first: int, table: Array | None) -> Array:
        return values if table is None else look_up(values, first, table)

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        ready = [brought(*item) for item in zip(context.arranged(inputs), firsts, changed, strict=True)]
        if tables is None:
            return [choose(*same_layout(*ready))]
        return [choose(*ready)]

    return Compiled(kernel, {**(tables or {}), **named})


def _on_output(context: LayerContext, place: int) -> NDArray[Any] | None:
    """Return the table [2**bits] of an operand's integers on the output's grid and inside its limits.

    None where the integers stay: equal parameters, or a TFLite network whose kernel copies them.
    """
    x, out = context.input(place), context.out
    low, high = context.limits
    kept = x == out or bool(context.attrs.get("integers_kept", 0))
    if kept and (low, high) == (out.dtype.low, out.dtype.high) and x.dtype == out.dtype:
        return None
    integers = every_integer(x)
    if kept:
        found = integers
    elif context.rule.recipe == "ort":
        real = (integers - x.zero_point).astype(np.float32) * np.float32(x.scale)
        with np.errstate(over="ignore"):  # what is beyond float32 saturates
            found = np.clip(np.rint(real / np.float32(out.scale)) + np.float32(out.zero_point), low, high)
    else:
        rule = context.under(GEMMLOWP) if context.rule.recipe == "tflite" else context
        found = rule.requantizer(x.scale, out=out).exact(integers - x.zero_point)
    table: NDArray[Any] = np.clip(found, low, high).astype(out.dtype.numpy)
    return table
