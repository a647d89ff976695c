"""Normalization by mean and variance in integers: one integer square root and one integer division a row.

Recipe: docs/arithmetic.md, section 5. Everything fits 64 bits, whatever the length of a row below `LONGEST`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.simulator.context import Array, Compiled, LayerContext, Tally
from slimai.simulator.fixed_point import Int, bit_length, floor_root, half_up_shift, round_half_away

LONGEST = 1 << 28
_ROOM = 62  # bits of a non-negative intermediate
_FACTOR_BITS, _OFFSET_BITS = 31, 60


@dataclass(frozen=True)
class RowScale:
    """The numbers of one layer that do not depend on the row: see `row_scale`.

    fraction: f. epsilon: E. pre: p. size: D. shift: 61 - p - e - g. mantissa: mu. grid: g.
    """

    fraction: int
    epsilon: int
    pre: int
    size: int
    shift: int
    mantissa: float
    grid: int


def row_scale(x: QParams, size: int, epsilon: float) -> RowScale:
    """Return the constants of rows of `size` integers on the grid `x`; `epsilon` is added to the real variance.

    With reach = 2**bits - 1 and e2 = D * epsilon / s_x**2, 2**61 at most:
    f = max(0, 62 - bit_length(max(D * reach**2, D**2) + floor(e2) + 1)), E = rhe(e2 * 2**f),
    p = max(0, bit_length(D * reach) - 31), sqrt(2**f / D) = mu * 2**e with 1 <= mu < 2, g = 23 - ceil(log2(D) / 2).
    """
    reach = (1 << x.dtype.bits) - 1
    added = min(size * epsilon / x.scale**2, 2.0**61)
    fraction = max(0, _ROOM - (max(size * reach**2, size**2) + int(added) + 1).bit_length())
    half, exponent = math.frexp(math.sqrt(2.0**fraction / size))
    pre = max(0, (size * reach).bit_length() - 31)
    grid = 23 - ((size - 1).bit_length() + 1) // 2
    return RowScale(
        fraction,
        round(added * 2.0**fraction),
        pre,
        size,
        61 - pre - (exponent - 1) - grid,
        2.0 * half,
        grid,
    )


def normalized_rows(rows: Int, scale: RowScale) -> Int:
    """Return N, [R, D]: (x - mean) / sqrt(variance + epsilon) / mu * 2**g of each row of integers; |N| <= 2**23."""
    total = rows.sum(axis=1, keepdims=True)
    floor = total // scale.size
    rest = total - floor * scale.size
    centred = rows - floor
    squares = np.square(centred).sum(axis=1, keepdims=True)
    spread = (squares << scale.fraction) - ((np.square(rest) << scale.fraction) // scale.size) + scale.epsilon
    left = np.maximum(_ROOM - bit_length(spread), 0) // 2 * 2
    root = floor_root(spread << left)
    inverse = np.where(root > 0, (np.int64(1) << 61) // np.maximum(root, 1), 0)
    distance = half_up_shift(centred * scale.size - rest, scale.pre)
    return half_up_shift(distance * inverse, np.clip(scale.shift - left // 2, 0, 62))


@dataclass(frozen=True, eq=False)
class Affine:
    """y = clamp(z_y + ((N * factor + offset + half(shift)) >> shift)); factor, offset: [K] int64, one a place."""

    factor: Int
    offset: Int
    shift: int

    def apply(self, values: Int, context: LayerContext) -> Array:
        """Return output integers of N whose last axis has K places (or any, where K is 1)."""
        low, high = context.limits
        raw = half_up_shift(values * self.factor + self.offset, self.shift)
        return np.clip(raw + context.out.zero_point, low, high).astype(context.out.dtype.numpy)

    def tables(self) -> dict[str, Array]:
        """Return the arrays of the exported integer tables."""
        return {"factor": self.factor, "offset": self.offset, "shift": np.array([self.shift])}


def affine(context: LayerContext, scale: RowScale, gain: NDArray[np.float64], bias: NDArray[np.float64]) -> Affine:
    """Return the tables of real gains and biases, [K] each.

    t is the largest of 0..60 with |factor| < 2**31 and |offset| < 2**60, where
    factor = rha(gain * mu / s_y * 2**(t - g)) and offset = rha(bias / s_y * 2**t).

    Raises:
        InputError: not even t = 0 fits; the message names the node.
    """
    real = gain * scale.mantissa / context.out.scale * 2.0**-scale.grid
    shifted = bias / context.out.scale
    room = [_bits_left(real, _FACTOR_BITS), _bits_left(shifted, _OFFSET_BITS), 60]
    shift = min(room)
    if shift < 0:
        worst = float(np.abs(real).max())
        raise InputError.at(context.layer.name, "the output's scale is too fine for its gain", worst)
    factor = round_half_away(np.ldexp(real, shift)).astype(np.int64)
    offset = round_half_away(np.ldexp(shifted, shift)).astype(np.int64)
    return Affine(factor, offset, shift)


def _bits_left(real: NDArray[np.float64], bits: int) -> int:
    """Return the largest t with rha(|real| * 2**t) < 2**bits."""
    largest = float(np.abs(real).max(initial=0.0))
    if largest == 0.0:
        return 1 << 10
    exponent = math.frexp(largest)[1]
    shift = bits - exponent
    return shift - (float(round_half_away(np.ldexp(largest, shift))) >= 2.0**bits)


def compile_layernormalization(context: LayerContext) -> Compiled:
    """Return the kernel of a layer normalization over all axes from `axis` on."""
    axis, shape = int(context.attrs["axis"]), context.graph.shape(context.layer.node.inputs[0])
    size = math.prod(shape[axis:])
    scale = _scale(context, size)
    finish = affine(context, scale, *(np.broadcast_to(item, shape[axis:]).reshape(-1) for item in _constants(context)))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        rows = np.ascontiguousarray(inputs[0]).reshape(-1, size).astype(np.int64)
        return [finish.apply(normalized_rows(rows, scale), context).reshape(inputs[0].shape)]

    return Compiled(kernel, finish.tables())


def compile_instancenormalization(context: LayerContext) -> Compiled:
    """Return the kernel of an instance normalization: rows are the planes of channels, on axis 1."""
    shape = context.graph.shape(context.layer.node.inputs[0])
    size = math.prod(shape[2:])
    scale = _scale(context, size)
    finish = affine(context, scale, *_constants(context))

    def kernel(inputs: Any, _tally: Tally) -> list[Array]:
        x = np.ascontiguousarray(inputs[0])
        values = normalized_rows(x.reshape(-1, size).astype(np.int64), scale).reshape(*x.shape[:2], size)
        return [finish.apply(values.transpose(0, 2, 1), context).transpose(0, 2, 1).reshape(x.shape)]

    return Compiled(kernel, finish.tables())


def _scale(context: LayerContext, size: int) -> RowScale:
    if size > LONGEST:
        raise InputError.at(context.layer.name, f"rows longer than {LONGEST} have no integer kernel", size)
    return row_scale(context.input(), size, float(context.attrs["epsilon"]))


def _constants(context: LayerContext) -> list[NDArray[np.float64]]:
    """Return gain and bias as the reals that their stored integers stand for; no bias is 0."""
    found = []
    for position in (1, 2):
        stored = context.layer.operands.get(position)
        found.append(np.zeros(1) if stored is None else stored[1].scale * (stored[0] - float(stored[1].zero_point)))
    return [*np.broadcast_arrays(*found)]
