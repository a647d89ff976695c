"""Numba kernels of recurrent operators; NumPy twins of the same name and signature: `_reference_recurrent`.

Gates are s16 of 0.15 fixed point, their sums s16 of 3.12. Of a sum of products: `multiplier` and `exponent` [2, G * H]
are those of `narrow_tail` (8 bits), or 16-bit multiplier and right shift (`wide`); the first row is that of the first
step, whose hidden values have a grid of their own. `sum_limit`: largest sum that the accumulator holds; beyond it a sum
saturates or wraps, and is counted. Recipe: docs/arithmetic.md, section 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.compiling import njit

_S32_HIGH, _S16_HIGH = (1 << 31) - 1, (1 << 15) - 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _clamp(value: Any, high: Any) -> Any:
    return min(max(value, -high - 1), high)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _rounded(value: Any, shift: Any) -> Any:
    """Return value / 2**shift rounded to nearest, ties away from zero."""
    if shift == 0:
        return value
    return (value + (np.int64(1) << (shift - 1)) - np.int64(value < 0)) >> shift


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _narrow(value: Any, multiplier: Any, exponent: Any) -> Any:
    value = _clamp(value, _S32_HIGH)
    if exponent > 0:
        return (_clamp(value << exponent, _S32_HIGH) * multiplier + (1 << 30)) >> 31
    return _rounded((value * multiplier + (1 << 30)) >> 31, -exponent)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _half_up(value: Any, shift: Any) -> Any:
    if shift == 0:
        return value
    return (value + (np.int64(1) << (shift - 1))) >> shift


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _tail(value: Any, multiplier: Any, exponent: Any, wide: Any) -> Any:
    if wide:
        return _half_up(value * multiplier, exponent)
    return _narrow(value, multiplier, exponent)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _joined(first: Any, second: Any, wide: Any, added: Any, reach: Any) -> Any:
    """Return the place in a table of `2 * reach` of the sum of both parts of a gate.

    Not `added`: the first part is saturated before, and of the 16-bit recipe the second one too.
    """
    if added:
        return _clamp(first + _clamp(second, _S32_HIGH), reach - 1) + reach
    return _clamp(_clamp(first, _S16_HIGH) + (_clamp(second, _S16_HIGH) if wide else second), reach - 1) + reach


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _limited(value: Any, high: Any, wraps: Any, left: Any) -> Any:
    """Return the sum as the accumulator holds it; left[0] counts."""
    if value > high or value < -high - 1:
        left[0] += 1
        if wraps:
            return (value + high + 1) % (2 * (high + 1)) - high - 1
        return _clamp(value, high)
    return value


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _dot(weights: Any, values: Any) -> Any:
    total = np.int64(0)
    for k in range(values.size):
        total += np.int64(weights[k]) * np.int64(values[k])
    return total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def lstm_steps(parts: Any, products: Any, tables: Any, numbers: Any, h: Any, c: Any, y: Any, cells: Any) -> int:
    """Run the steps of an LSTM, gates ordered input, output, forget, cell as ONNX's; return how many sums overflowed.

    parts: [T, N, 4H] input parts of the gates' sums. products: weights [4H, H], multiplier, exponent. tables: sigmoid,
    tanh [2 * n], entry i of the integer i - n, and tanh of cells, [65536]. numbers: wide, whether parts of a gate are
    added before they saturate, the cell's right shift, lowest and highest cell, multiplier and exponent of the output,
    its zero point, lowest and highest integer, sum_limit, whether sums wrap, whether steps run backwards. h, c: [N, H],
    zero point taken away from h; both are left at the last step. y, cells: [T, N, H], written.
    """
    (weights, multiplier, exponent), (sigmoid, tanh, cell_tanh) = products, tables
    wide, added, shift, cell_low, cell_high = numbers[:5]
    out_multiplier, out_exponent, zero, low, high, sum_limit, wraps, backwards = numbers[5:]
    reach = len(sigmoid) // 2
    steps, batch, units = y.shape
    sums, left = np.empty(4 * units, np.int64), np.zeros(1, np.int64)
    for number in range(steps):
        t = steps - 1 - number if backwards else number
        factor, shifted = multiplier[min(number, 1)], exponent[min(number, 1)]
        for n in range(batch):
            for j in range(4 * units):
                total = _limited(_dot(weights[j], h[n]), sum_limit, wraps, left)
                part = _tail(total, factor[j], shifted[j], wide)
                sums[j] = _joined(parts[t, n, j], part, wide, added, reach)
            for j in range(units):
                entering = sigmoid[sums[j]] * tanh[sums[3 * units + j]]
                staying = sigmoid[sums[2 * units + j]] * c[n, j]
                if wide:
                    cell = _narrow(staying, 1 << 30, -14)
                    cell = _clamp(cell, _S16_HIGH) + _clamp(_narrow(entering, 1 << 30, 1 - shift), _S16_HIGH)
                else:
                    cell = _rounded(staying, 15) + _rounded(entering, shift)
                c[n, j] = min(max(_clamp(cell, _S16_HIGH), cell_low), cell_high)
                cells[t, n, j] = c[n, j]
                product = sigmoid[sums[units + j]] * cell_tanh[c[n, j] + 32768]
                out = min(max(_narrow(product, out_multiplier, out_exponent) + zero, low), high)
                y[t, n, j] = out
            for j in range(units):
                h[n, j] = y[t, n, j] - zero
    return int(left[0])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def gru_steps(parts: Any, products: Any, tables: Any, numbers: Any, h: Any, state: Any, y: Any) -> int:
    """Run the steps of a GRU, gates in ONNX's order (update, reset, hidden); return how many sums overflowed.

    parts: [T, N, 3H]. products: weights [3H, H], multiplier, exponent, and bias [2, H] of the hidden gate's recurrent
    part, read where the reset gate comes after the product. tables: sigmoid, tanh. numbers: wide, integer bits of the
    state, multiplier and exponent of the output, its zero point, lowest and highest integer, sum_limit, whether sums
    wrap, whether steps run backwards, whether the reset gate comes after the product. h: [N, H], the output's integers
    without zero point; state: [N, H] s16; both are left at the last step. y: [T, N, H], written.
    """
    (weights, multiplier, exponent, bias), (sigmoid, tanh) = products, tables
    wide, bits, out_multiplier, out_exponent, zero, low, high, sum_limit, wraps, backwards, after = numbers
    steps, batch, units = y.shape
    reach = len(sigmoid) // 2
    update, reset = np.empty(units, np.int64), np.empty(units, np.int64)
    scaled, left = np.empty(units, np.int64), np.zeros(1, np.int64)
    for number in range(steps):
        t = steps - 1 - number if backwards else number
        row = min(number, 1)
        factor, shifted, offset = multiplier[row], exponent[row], bias[row]
        for n in range(batch):
            for j in range(2 * units):
                total = _limited(_dot(weights[j], h[n]), sum_limit, wraps, left)
                part = _tail(total, factor[j], shifted[j], wide)
                gate = sigmoid[_joined(parts[t, n, j], part, wide, True, reach)]
                if j < units:
                    update[j] = gate
                else:
                    reset[j - units] = gate
            for j in range(units):
                scaled[j] = h[n, j] if after else (reset[j] * h[n, j] + (1 << 14)) >> 15
            for j in range(units):
                i = 2 * units + j
                total = _dot(weights[i], scaled) + (offset[j] if after else 0)
                recurrent = _tail(_limited(total, sum_limit, wraps, left), factor[i], shifted[i], wide)
                recurrent = _clamp(recurrent, _S32_HIGH)
                if after:
                    recurrent = (reset[j] * recurrent + (1 << 14)) >> 15
                new = tanh[_joined(parts[t, n, i], recurrent, wide, True, reach)]
                kept = (update[j] * state[n, j]) << bits
                state[n, j] = _clamp(_half_up((32768 - update[j]) * new + kept, 15 + bits), _S16_HIGH)
            for j in range(units):
                out = _narrow(state[n, j], out_multiplier, out_exponent) + zero
                y[t, n, j] = min(max(out, low), high)
                h[n, j] = y[t, n, j] - zero
    return int(left[0])
