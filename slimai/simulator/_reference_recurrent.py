"""NumPy twins of the kernels of recurrent operators: the same steps, one array operation after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimai.simulator.fixed_point import S32_HIGH, S32_LOW, Int, half_up_shift, high_multiply, rounding_shift

_S16_LOW, _S16_HIGH = -(1 << 15), (1 << 15) - 1


def narrow_tail(value: Int, multiplier: Int | int, exponent: Int | int) -> Int:
    """Return value * multiplier * 2**(exponent - 31) with two roundings, of values that saturate to s32."""
    exponent = np.asarray(exponent, np.int64)
    shifted = np.clip(value, S32_LOW, S32_HIGH) << np.maximum(exponent, 0)
    wide = np.clip(shifted, S32_LOW, S32_HIGH)
    return rounding_shift(high_multiply(wide, multiplier), np.maximum(-exponent, 0))


def gate_part(value: Int, multiplier: Int, exponent: Int, *, wide: bool) -> Int:
    """Return sums of products in 3.12 fixed point, not saturated yet."""
    return half_up_shift(value * multiplier, exponent) if wide else narrow_tail(value, multiplier, exponent)


def saturate32(value: Int) -> Int:
    """Return the value clamped to s32."""
    return np.clip(value, S32_LOW, S32_HIGH)


def saturate16(value: Int) -> Int:
    """Return the value clamped to s16."""
    return np.clip(value, _S16_LOW, _S16_HIGH)


def _places(first: Int, second: Int, table: Int, *, wide: bool, added: bool = True) -> Int:
    """Return the place of the sum of both parts of gates in a table whose middle belongs to 0: see the twin."""
    reach = len(table) // 2
    both = first + saturate32(second) if added else saturate16(first) + (saturate16(second) if wide else second)
    places: Int = np.clip(both, -reach, reach - 1) + reach
    return places


class _Sums:
    """What the accumulator makes of sums; `left` counts those that it does not hold."""

    def __init__(self, high: int, *, wraps: bool) -> None:
        self.high, self.wraps, self.left = high, wraps, 0

    def limit(self, value: Int) -> Int:
        outside = (value > self.high) | (value < -self.high - 1)
        self.left += int(np.count_nonzero(outside))
        if not outside.any():
            return value
        if self.wraps:
            return (value + self.high + 1) % (2 * (self.high + 1)) - self.high - 1
        return np.clip(value, -self.high - 1, self.high)


def lstm_steps(
    parts: Int,
    products: tuple[Int, Int, Int],
    tables: tuple[Int, Int, Int],
    numbers: tuple[int, ...],
    h: Int,
    c: Int,
    y: Int,
    cells: Int,
) -> int:
    """Run the steps of an LSTM: see the twin."""
    (weights, multiplier, exponent), (sigmoid, tanh, cell_tanh) = products, tables
    wide, added, shift, cell_low, cell_high, *others = numbers
    out_multiplier, out_exponent, zero, low, high, sum_limit, wraps, backwards = others
    steps, units, sums = y.shape[0], y.shape[2], _Sums(sum_limit, wraps=bool(wraps))
    for number, t in enumerate(reversed(range(steps)) if backwards else range(steps)):
        row = min(number, 1)
        part = gate_part(sums.limit(_product(h, weights)), multiplier[row], exponent[row], wide=bool(wide))
        gates = _places(parts[t], part, sigmoid, wide=bool(wide), added=bool(added))
        entering = sigmoid[gates[:, :units]] * tanh[gates[:, 3 * units :]]
        leaving, staying = sigmoid[gates[:, units : 2 * units]], sigmoid[gates[:, 2 * units : 3 * units]] * c
        if wide:
            kept, new = narrow_tail(staying, 1 << 30, -14), narrow_tail(entering, 1 << 30, 1 - shift)
            c[:] = np.clip(saturate16(saturate16(kept) + saturate16(new)), cell_low, cell_high)
        else:
            c[:] = np.clip(rounding_shift(staying, 15) + rounding_shift(entering, shift), cell_low, cell_high)
        cells[t] = c
        out = narrow_tail(leaving * cell_tanh[c + 32768], out_multiplier, out_exponent) + zero
        y[t] = np.clip(out, low, high)
        h[:] = y[t] - zero
    return sums.left


def gru_steps(
    parts: Int,
    products: tuple[Int, Int, Int, Int],
    tables: tuple[Int, Int],
    numbers: tuple[int, ...],
    h: Int,
    state: Int,
    y: Int,
) -> int:
    """Run the steps of a GRU: see the twin."""
    (weights, multiplier, exponent, bias), (sigmoid, tanh) = products, tables
    wide, bits, out_multiplier, out_exponent, zero, low, high, sum_limit, wraps, backwards, after = numbers
    steps, units, sums = y.shape[0], y.shape[2], _Sums(sum_limit, wraps=bool(wraps))
    first, last = slice(0, 2 * units), slice(2 * units, 3 * units)
    for number, t in enumerate(reversed(range(steps)) if backwards else range(steps)):
        row = min(number, 1)
        both = sums.limit(_product(h, weights[first]))
        part = gate_part(both, multiplier[row, first], exponent[row, first], wide=bool(wide))
        gates = sigmoid[_places(parts[t][:, first], part, sigmoid, wide=bool(wide))]
        update, reset = gates[:, :units], gates[:, units:]
        scaled = h if after else (reset * h + (1 << 14)) >> 15
        total = _product(scaled, weights[last]) + (bias[row] if after else 0)
        part = gate_part(sums.limit(total), multiplier[row, last], exponent[row, last], wide=bool(wide))
        if after:
            part = (reset * saturate32(part) + (1 << 14)) >> 15
        new = tanh[_places(parts[t][:, last], part, tanh, wide=bool(wide))]
        mixed = (32768 - update) * new + ((update * state) << bits)
        state[:] = saturate16(half_up_shift(mixed, 15 + bits))
        y[t] = np.clip(narrow_tail(state, out_multiplier, out_exponent) + zero, low, high)
        h[:] = y[t] - zero
    return sums.left


def _product(values: Int, weights: NDArray[np.int64]) -> Int:
    return np.asarray(values, np.int64) @ np.asarray(weights, np.int64).T
