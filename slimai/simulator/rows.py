"""Requantization of accumulator rows [R, C]: picks the fast kernel that is proven exact for the layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.accumulate import Accumulator
from slimai.simulator.context import Tally
from slimai.simulator.fixed_point import S32_HIGH, Int
from slimai.simulator.requantize import Requantizer

Array = NDArray[Any]
RowKernel = Callable[[Array, Array], None]

_NARROW, _FOLDED = 16, 64  # columns: fewer are no vector; several rows make so many


class RowRequantizer:
    """Turns accumulator rows into output integers, bias added on the way.

    Args:
        requantizer: tables of the layer, one channel a column (or one for all).
        bias: [C] int64 or zeros.
        accumulator: width and largest magnitude of the sums, bias included.
        columns: C.

    kernel: what does it in compiled code, or None.
    """

    def __init__(self, requantizer: Requantizer, bias: Int, accumulator: Accumulator, columns: int) -> None:
        self.requantizer = requantizer
        self.bias = np.broadcast_to(np.asarray(bias, np.int64), (columns,))
        self.accumulator = accumulator
        self.kernel = None if accumulator.checked else fast_kernel(requantizer, self.bias, accumulator.bound)
        self._fold = -(-_FOLDED // columns) if 0 < columns < _NARROW else 1

    def __call__(self, acc: Array, out: Array, tally: Tally) -> None:
        """Write the integers of `acc` (sums without bias, [R, C], any dtype) into `out`, [R, C]."""
        if self.kernel is not None:
            whole = self._by_folded_rows(acc, out)
            if whole < len(acc):
                self.kernel(acc[whole:], out[whole:])
            return
        total = self.accumulator.limit(acc.astype(np.int64) + self.bias, tally)
        out[...] = self.requantizer.exact(total)

    @cached_property
    def _folded(self) -> RowKernel | None:
        """The kernel of several rows as one: fused layers of few columns never need it."""
        if self.kernel is None or self._fold == 1:
            return None
        repeated = self.requantizer.repeated(self._fold)
        return fast_kernel(repeated, np.tile(self.bias, self._fold), self.accumulator.bound)

    def _by_folded_rows(self, acc: Array, out: Array) -> int:
        """Return how many rows were taken several as one: a loop over few columns has no vectors."""
        if self._folded is None or not (acc.flags.c_contiguous and out.flags.c_contiguous):
            return 0
        whole = len(acc) - len(acc) % self._fold
        width = self._fold * acc.shape[1]
        if whole:
            self._folded(acc[:whole].reshape(-1, width), out[:whole].reshape(-1, width))
        return whole


class FlatRequantizer:
    """Requantizes arrays of any shape and memory order with one multiplier."""

    WIDTH = 1024

    def __init__(self, requantizer: Requantizer, accumulator: Accumulator) -> None:
        self.dtype = requantizer.out.dtype.numpy
        self._rows = RowRequantizer(requantizer, np.zeros(1, np.int64), accumulator, self.WIDTH)

    def __call__(self, acc: Array, tally: Tally) -> Array:
        """Return output integers in the shape and memory order of `acc`."""
        out = np.empty_like(acc, dtype=self.dtype, order="K")
        self.flat(acc.ravel(order="K"), out.ravel(order="K"), tally)
        return out

    def flat(self, source: Array, target: Array, tally: Tally) -> None:
        """Write the output integers of flat sums."""
        whole = source.size - source.size % self.WIDTH
        if whole:
            self._rows(source[:whole].reshape(-1, self.WIDTH), target[:whole].reshape(-1, self.WIDTH), tally)
        if whole < source.size:
            tail = np.zeros((1, self.WIDTH), source.dtype)
            tail[0, : source.size - whole] = source[whole:]
            integers = np.empty((1, self.WIDTH), self.dtype)
            self._rows(tail, integers, tally)
            target[whole:] = integers[0, : source.size - whole]


# the largest sums that the kernels of long products hold exactly
_HALVES_LIMIT, _WIDE_LIMIT, _LONG_LIMIT = 2.0**37, 2.0**47 - 1, 2.0**52


def fast_kernel(requantizer: Requantizer, bias: Int, bound: float) -> RowKernel | None:
    """Return a compiled kernel that equals `Requantizer.exact` for |acc + bias| <= `bound`, or None.

    None means that no kernel can be proven exact (sums beyond 32 bits with a shift too large for float64).
    """
    rule = requantizer.rule
    if rule.final == "half_even":
        return _float_kernel(requantizer, bias) if bound <= S32_HIGH else None
    if rule.final == "half_away":
        return _double_kernel(requantizer, bias)
    if rule.pre_shift:
        return _xi_kernel(requantizer, bias, bound)
    if rule.final == "half_up":
        return _scaled_kernel(requantizer, bias, bound)
    return _two_step_kernel(requantizer, bias, bound)


def _ends(requantizer: Requantizer) -> tuple[np.int32, np.int32, np.int32]:
    return np.int32(requantizer.out.zero_point), np.int32(requantizer.low), np.int32(requantizer.high)


def _packed(tables: tuple[Any, ...], bias: Int, kind: type) -> Array:
    """Return [T, C] of tables that are [C] or [1]."""
    packed = np.empty((len(tables), *bias.shape), kind)
    for row, table in zip(packed, tables, strict=True):
        row[...] = table
    return packed


def _half(shift: Int) -> Int:
    return np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)


def _xi_kernel(requantizer: Requantizer, bias: Int, bound: float) -> RowKernel | None:
    from slimai.simulator._kernels_requantize import xi_rows  # noqa: PLC0415 - spares numba

    # A shift of 32 or more leaves nothing of a 32-bit value: a multiplier of 0 says the same.
    gone = (requantizer.pre_shift > 31) | (requantizer.shift > 31) | (requantizer.multiplier == 0)
    pre, shift = np.where(gone, 0, requantizer.pre_shift), np.where(gone, 0, requantizer.shift)
    multiplier = np.where(gone, 0, requantizer.multiplier)
    if bound + float(_half(pre).max()) > S32_HIGH:
        return None
    # Above `most` the product would leave 32 bits; the output is saturated there already (M * 2**p >= Y / 32767).
    most = np.minimum(32767, (S32_HIGH - _half(shift)) // np.maximum(multiplier, 1))
    tables = (bias + _half(pre), pre, np.full_like(most, -32768), most, multiplier, _half(shift), shift)
    return partial(_call, xi_rows, (_packed(tables, bias, np.int32), *_ends(requantizer)))


def _call(kernel: Callable[..., None], tables: tuple[Any, ...], acc: Array, out: Array) -> None:
    kernel(acc, *tables, out)


def _reach(requantizer: Requantizer) -> int:
    """Return the magnitude beyond which every result is clamped."""
    zero = requantizer.out.zero_point
    return max(abs(requantizer.low - zero), abs(requantizer.high - zero)) + 2


def _scaled_kernel(requantizer: Requantizer, bias: Int, bound: float) -> RowKernel | None:
    from slimai.simulator._kernels_requantize import scaled_long_rows, scaled_rows  # noqa: PLC0415 - spares numba

    reach, shift = _reach(requantizer), requantizer.shift
    multiplier = np.ldexp(requantizer.multiplier.astype(np.float64), -shift)
    limit = np.ceil(reach / np.where(multiplier > 0, multiplier, 1.0))
    short = np.minimum(shift, 62)
    # Below `most` the product with its rounding term stays below 2**63.
    most = np.minimum((2.0**62 - _half(short)) / np.maximum(requantizer.multiplier, 1), _LONG_LIMIT)
    if np.all(np.minimum(limit, bound) <= most):
        wide = _packed((bias, np.minimum(limit, most), requantizer.multiplier, _half(short), short), bias, np.int64)
        return partial(_call, scaled_long_rows, (wide, *_ends(requantizer)))
    # (reach + 1) * 2**shift bounds acc * m after the clamp: below 2**52 nothing is rounded in float64.
    if np.any(float(reach + 1) * np.exp2(shift.astype(np.float64)) >= 2.0**52):
        return _long_scaled_kernel(requantizer, bias, limit, bound)
    return partial(_call, scaled_rows, (_packed((bias, limit, multiplier), bias, np.float64), *_ends(requantizer)))


def _long_scaled_kernel(
    requantizer: Requantizer, bias: Int, limit: NDArray[np.float64], bound: float
) -> RowKernel | None:
    """Return the kernel where products need more than 52 bits; limit: of the sums, beyond it the output saturates."""
    from slimai.simulator._kernels_requantize import scaled_halves_rows, scaled_wide_rows  # noqa: PLC0415 - spares numba

    multiplier = requantizer.multiplier
    shift = np.minimum(np.where(multiplier > 0, requantizer.shift, 17), 62)  # a multiplier of 0 gives 0 at any shift
    largest = np.minimum(limit, bound)
    if np.all(largest <= _HALVES_LIMIT) and np.all(shift >= 17):
        parts = (multiplier >> 16, (multiplier & 0xFFFF) * 2.0**-16, np.exp2(shift - 17.0), np.exp2(16.0 - shift))
        tables = _packed((bias, np.minimum(limit, _HALVES_LIMIT), *parts), bias, np.float64)
        return partial(_call, scaled_halves_rows, (tables, *_ends(requantizer)))
    if np.all(largest <= _WIDE_LIMIT) and np.all(shift >= 16):
        tables = _packed(
            (bias, np.minimum(limit, _WIDE_LIMIT), multiplier, np.int64(1) << (shift - 1), shift - 16), bias, np.int64
        )
        return partial(_call, scaled_wide_rows, (tables, *_ends(requantizer)))
    return None


def _two_step_kernel(requantizer: Requantizer, bias: Int, bound: float) -> RowKernel | None:
    from slimai.simulator._kernels_requantize import (  # noqa: PLC0415 - spares numba
        two_step_rows,
        two_step_short_rows,
        two_step_wide_rows,
    )

    left, right = np.maximum(requantizer.shift, 0), np.maximum(-requantizer.shift, 0)
    if not left.any() and bound + float(_half(right).max()) <= S32_HIGH:
        short = _packed((bias, requantizer.multiplier, right, _half(right), right > 0), bias, np.int32)
        return partial(_call, two_step_short_rows, (short, *_ends(requantizer)))
    reach = _reach(requantizer)
    # The first result has 31 fractional bits before rounding and stays below (reach + 1) * 2**right.
    if np.all(float(reach + 1) * np.exp2(right + 31.0) < 2.0**52):
        multiplier = np.ldexp(requantizer.multiplier.astype(np.float64), left - 31)
        limit = np.ceil(reach * np.exp2(right.astype(np.float64)) / np.where(multiplier > 0, multiplier, 1.0))
        tables = _packed((bias, limit, multiplier), bias, np.float64)
        shifts = _packed((right, _half(right), right > 0), bias, np.int32)
        return partial(_call, two_step_rows, (tables, shifts, *_ends(requantizer)))
    if bound > S32_HIGH:
        return None
    if _halves_fit(left, right, reach, bound):
        return _halves_kernel(requantizer, bias, right, reach)
    tables = _packed((bias, left, requantizer.multiplier, _half(right), right), bias, np.int64)
    return partial(_call, two_step_wide_rows, (tables, *_ends(requantizer)))


def _halves_fit(left: Int, right: Int, reach: int, bound: float) -> bool:
    """Return whether no left shift is needed and the first result with its rounding term stays below 2**31."""
    most = np.minimum(bound, (reach + 1) * np.exp2(right.astype(np.float64)))
    return bool(np.all((left == 0) & (right < 31) & (most + np.exp2(right.astype(np.float64)) <= S32_HIGH)))


def _halves_kernel(requantizer: Requantizer, bias: Int, right: Int, reach: int) -> RowKernel:
    from slimai.simulator._kernels_requantize import two_step_halves_rows  # noqa: PLC0415 - spares numba

    multiplier = requantizer.multiplier
    size = np.maximum(multiplier, 1) * 2.0**-31
    # A multiplier of 0 takes any sum; the others are clamped where the output is saturated already.
    limit = np.minimum(np.ceil(reach * np.exp2(right.astype(np.float64)) / size), float(S32_HIGH))
    tables = _packed((bias, limit, multiplier >> 16, (multiplier & 0xFFFF) * 2.0**-16), bias, np.float64)
    shifts = _packed((right, _half(right), right > 0), bias, np.int32)
    return partial(_call, two_step_halves_rows, (tables, shifts, *_ends(requantizer)))


def _double_kernel(requantizer: Requantizer, bias: Int) -> RowKernel:
    from slimai.simulator._kernels_requantize import double_rows  # noqa: PLC0415 - spares numba

    tables = _packed((bias, requantizer.real), bias, np.float64)
    return partial(_call, double_rows, (tables, np.float64(_reach(requantizer)), *_ends(requantizer)))


def _float_kernel(requantizer: Requantizer, bias: Int) -> RowKernel:
    from slimai.simulator._kernels_requantize import float_rows  # noqa: PLC0415 - spares numba

    zero, low, high = _ends(requantizer)
    offsets, factors = _packed((bias,), bias, np.int32)[0], _packed((requantizer.real,), bias, np.float32)[0]
    return partial(_call, float_rows, (offsets, factors, np.float32(low - zero), np.float32(high - zero), zero))
