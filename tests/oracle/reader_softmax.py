"""Softmax for `integer_reader`, from the file of integers and docs/arithmetic.md alone."""

import numpy as np
from reader_arithmetic import TYPES, away, line, t31, up


def softmax(layer):
    axis, powers = layer.attrs["axis"], layer.table("exponentials")
    rows = np.moveaxis(layer.operands[0][0], axis, -1)
    distance = rows.max(axis=-1, keepdims=True) - rows
    if powers is None:
        return np.moveaxis(layer.finished(interpolated(layer, distance)), -1, axis)
    counted = distance < powers.size
    e = np.where(counted, powers[np.minimum(distance, powers.size - 1)], 0)
    if "fraction" in layer.tables:
        total = e.sum(axis=-1, keepdims=True)
        y = layer.grid["zero_point"] + (e * layer.table("fraction") + 128 * total) // (256 * total)
    else:
        y = layer.grid["zero_point"] + fixed_point_quotients(e, TYPES[layer.grid["type"]])
    return np.moveaxis(layer.finished(y), -1, axis)


def fixed_point_quotients(e, reach):
    """Return the shares of exponentials [..., D] (31 bits of fraction) in 1/256, as TFLite divides them."""
    out = np.zeros_like(e)
    for place in np.ndindex(*e.shape[:-1]):
        row = [int(value) for value in e[place]]
        total = sum(int(away(np.int64(value), 12)) for value in row)
        zeros = 32 - total.bit_length()
        half = (total << zeros) >> 1
        x = 1515870810 + high(half, -1010580540)
        for _ in range(3):
            x += max(min(high(x, 2**29 - high(half, x)) << 2, 2**31 - 1), -(2**31))
        inverse = max(min(x << 1, 2**31 - 1), -(2**31))
        out[place] = [int(away(np.int64(high(inverse, value)), 35 - zeros)) for value in row]
    return out


def high(a, b):
    return (a * b + 2**30) >> 31


def interpolated(layer, distance):
    """Return TFLite's softmax of 16 bits: exponentials and the inverse of their sum on lines between 513 knots."""
    multiplier, exponent = int(layer.table("multiplier")[0]), int(layer.table("shift")[0])
    scaled = np.clip(t31(-distance, multiplier, exponent) + 32767, -32768, 32767)
    powers = line(layer.table("exp_knots"), scaled, 7, 1 << 15)
    total = powers.sum(axis=-1, keepdims=True)
    zeros = np.array([32 - int(value).bit_length() for value in total.reshape(-1)]).reshape(total.shape)
    place = np.clip(up(total << (zeros - 1), 14) - 98304, -32768, 32767)
    inverse = line(layer.table("inverse_knots"), place, 7, 1 << 15)
    return np.clip(up(powers * inverse, 31 - zeros), 0, 32767)
