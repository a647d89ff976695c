"""Compiled loops of blob text. Their twins in plain Python are `plain_fixed`, `str` and `parse_plain` of `text`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.compiling import njit

SPACE, MINUS, PLUS, DOT, ZERO, NINE = 32, 45, 43, 46, 48, 57
MILLION = 1_000_000
LONGEST = 40  # characters of one number with its separator


@njit(nogil=True, cache=True)
def _put_digits(out: Any, at: Any, number: Any, least: Any) -> Any:
    """Write a whole number not below 0 with at least `least` digits; return the position after it."""
    count = 1
    rest = number // 10
    while rest > 0:
        count += 1
        rest //= 10
    count = max(count, least)
    end = at + count
    for place in range(end - 1, at - 1, -1):
        out[place] = ZERO + number % 10
        number //= 10
    return end


@njit(nogil=True, cache=True)
def _put_six(out: Any, at: Any, number: Any) -> Any:
    """Write a uint32 below 10^6 as six digits; return the position after them."""
    high = number // np.uint32(1000)
    low = number - high * np.uint32(1000)
    for half in (high, low):
        hundreds = half // np.uint32(100)
        rest = half - hundreds * np.uint32(100)
        tens = rest // np.uint32(10)
        out[at] = ZERO + hundreds
        out[at + 1] = ZERO + tens
        out[at + 2] = ZERO + rest - tens * np.uint32(10)
        at += 3
    return at


@njit(nogil=True, cache=True)
def _millionths(bits: Any) -> Any:
    """Return round-half-even(|value| * 10^6) of a float32 below 10^6 in magnitude, from its bits, exactly."""
    exponent = (bits >> 23) & 0xFF
    mantissa = np.int64(bits & 0x7FFFFF)
    if exponent == 0:
        exponent = 1
    else:
        mantissa |= 1 << 23
    scaled = mantissa * MILLION  # below 2^44
    shift = 150 - exponent
    if shift <= 0:
        return scaled << -shift
    if shift > 46:
        return np.int64(0)
    whole = scaled >> shift
    rest = scaled - (whole << shift)
    half = np.int64(1) << (shift - 1)
    if rest > half or (rest == half and whole & 1):
        whole += 1
    return whole


@njit(nogil=True, cache=True)
def format_fixed(bits: NDArray[np.int32], out: NDArray[np.uint8]) -> int:
    """Write float32 values, given by their bits and below 10^6 in magnitude, as '%f'; return the length.

    out: at least 15 characters a value.
    """
    at = 0
    for i in range(bits.size):
        if i:
            out[at] = SPACE
            at += 1
        if bits[i] < 0:
            out[at] = MINUS
            at += 1
        number = _millionths(bits[i])
        whole = number // MILLION
        if whole < 10:  # by far the most common
            out[at] = ZERO + whole
            at += 1
        else:
            at = _put_digits(out, at, whole, 1)
        out[at] = DOT
        at = _put_six(out, at + 1, np.uint32(number - whole * MILLION))
    return at


@njit(nogil=True, cache=True)
def format_whole(values: NDArray[np.int64], out: NDArray[np.uint8]) -> int:
    """Write integers as '%d'; return the length. out: at least 21 characters a value."""
    at = 0
    for i in range(values.size):
        if i:
            out[at] = SPACE
            at += 1
        number = values[i]
        if number < 0:
            out[at] = MINUS
            at += 1
            number = -number
        at = _put_digits(out, at, number, 1)
    return at


@njit(nogil=True, cache=True)
def _simple_number(text: Any, begin: Any, end: Any, powers: Any) -> Any:
    """Return (ok, value) of ``[+-]digits[.digits]`` with few enough digits that the result is rounded once."""
    at = begin
    negative = False
    if text[at] == MINUS or text[at] == PLUS:
        negative = text[at] == MINUS
        at += 1
    mantissa = np.int64(0)
    digits = 0
    decimals = -1
    while at < end:
        sign = text[at]
        if ZERO <= sign <= NINE:
            mantissa = mantissa * 10 + np.int64(sign - ZERO)
            digits += 1
            if decimals >= 0:
                decimals += 1
        elif sign == DOT and decimals < 0:
            decimals = 0
        else:
            return False, 0.0
        at += 1
    # up to 15 digits and up to 10^15 are exact in float64, so the quotient is rounded once
    if digits == 0 or digits > 15:
        return False, 0.0
    value = np.float64(mantissa) / powers[max(decimals, 0)]
    return True, -value if negative else value


@njit(nogil=True, cache=True)
def parse_numbers(
    text: NDArray[np.uint8],
    powers: NDArray[np.float64],
    values: NDArray[np.float64],
    odd: NDArray[np.int64],
) -> tuple[int, int]:
    """Read numbers separated by white space; return how many there are, and how many are not simple.

    powers: 1, 10 .. 10^15. values: filled as far as it reaches. odd [n, 3]: index, begin and end of each number
    that the caller must read itself, as far as it reaches.
    """
    count, strange, at = 0, 0, 0
    while at < text.size:
        if text[at] == SPACE or 9 <= text[at] <= 13:
            at += 1
            continue
        begin = at
        while at < text.size and not (text[at] == SPACE or 9 <= text[at] <= 13):
            at += 1
        ok, value = _simple_number(text, begin, at, powers)
        if count < values.size:
            values[count] = value
            if not ok and strange < len(odd):
                odd[strange, 0] = count
                odd[strange, 1] = begin
                odd[strange, 2] = at
            if not ok:
                strange += 1
        count += 1
    return count, strange
