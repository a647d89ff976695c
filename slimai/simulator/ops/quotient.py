"""Div of two tensors: the divisor's leading bit split off, the reciprocal of the rest looked up, one multiplication."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator.context import Array, Compiled, LayerContext, Tally, centred
from slimai.simulator.ops.elementwise import same_layout
from slimai.simulator.ops.normalised import FRACTION_BITS, LARGEST, Mantissa, Scales

LOST_BITS = 15  # of dividend times reciprocal, before the scales
_EXPONENTS = np.arange(17)


def compile_div(context: LayerContext) -> Compiled:
    """Return the kernel of a quotient of two tensors; 0 / 0 is 0, anything else over 0 saturates."""
    if context.rule.recipe == "ort":
        return _float_quotient(context)
    a, b, out = context.input(0), context.input(1), context.out
    mantissa = Mantissa.of(lambda u: 1.0 / u)
    with np.errstate(over="ignore", under="ignore"):
        real = np.exp2(LOST_BITS - FRACTION_BITS - _EXPONENTS) * (a.scale / b.scale / out.scale)
    scales = Scales.of(np.minimum(real, 2.0**60))
    low, high = context.limits

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        first, second = same_layout(*context.arranged(inputs))
        x, y = centred(first, a), centred(second, b)
        reciprocal, n = mantissa.at(np.abs(y))
        product = (np.abs(x) * reciprocal + (1 << (LOST_BITS - 1))) >> LOST_BITS
        size = np.where(y == 0, np.where(x == 0, 0, LARGEST), scales.apply(product, n))
        found = np.where((x < 0) != (y < 0), -size, size) + out.zero_point
        return [np.clip(found, low, high).astype(out.dtype.numpy)]

    tables = {"knots": mantissa.knots.astype(np.int32)}
    return Compiled(kernel, {**tables, "multiplier": scales.multiplier, "shift": scales.shift})


def _float_quotient(context: LayerContext) -> Compiled:
    """Return the quotient of dequantized values in float32, divided by the output's scale, half to even."""
    a, b, out = context.input(0), context.input(1), context.out
    low, high = context.limits
    single = np.float32

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        first, second = context.arranged(inputs)
        x, y = (centred(item, q).astype(single) * single(q.scale) for item, q in ((first, a), (second, b)))
        with np.errstate(over="ignore"):  # what is beyond float32 saturates
            value = x / np.where(y == 0, single(1), y) / single(out.scale)
            value = np.where(y == 0, np.sign(x) * single(LARGEST), value)
            found = np.clip(np.rint(value) + single(out.zero_point), low, high)
        return [found.astype(out.dtype.numpy)]

    return Compiled(kernel)
