"""Resize and normalizations for `integer_reader`, from the file of integers and docs/arithmetic.md alone."""

import math

import numpy as np
from reader_arithmetic import TYPES, away, looked_up, up


def resized(layer):
    values, grid = layer.operands[0]
    axes = [axis for axis in range(values.ndim) if f"index_{axis}" in layer.tables or f"lower_{axis}" in layer.tables]
    if layer.attrs["mode"] == "nearest":
        for axis in axes:
            values = values.take(layer.table(f"index_{axis}"), axis=axis)
        return looked_up(values, grid, layer.table("table_0"))
    if "multiplier" not in layer.tables:
        found = tflite_single(layer, values, axes) if grid["type"] == "u8" else tflite_linear(layer, values, axes)
        return looked_up(found, grid, layer.table("table_0"))
    acc = values - grid["zero_point"]
    unit = 1 << min(11, (22 if grid["type"] in ("s8", "u8") else 27) // len(axes))
    for axis in axes:
        lower, weight = layer.table(f"lower_{axis}"), layer.table(f"weight_{axis}")
        weight = weight.reshape((-1,) + (1,) * (acc.ndim - 1 - axis))
        upper = np.minimum(lower + 1, acc.shape[axis] - 1)
        acc = acc.take(lower, axis=axis) * (unit - weight) + acc.take(upper, axis=axis) * weight
    return layer.requantized(acc)


def taps(layer, axis, rank):
    shape = (-1,) + (1,) * (rank - 1 - axis)
    return layer.table(f"lower_{axis}"), layer.table(f"upper_{axis}"), layer.table(f"weight_{axis}").reshape(shape)


def tflite_linear(layer, acc, axes):
    """Return the sum with weights of 10 bits an axis, over 2^20, half away from zero."""
    for axis in axes:
        lower, upper, weight = taps(layer, axis, acc.ndim)
        acc = acc.take(lower, axis=axis) * (1024 - weight) + acc.take(upper, axis=axis) * weight
    return away(acc, 20)


def tflite_single(layer, values, axes):
    """Return the four products in float32, columns outside, their sum plus a half, truncated."""
    one, half, x = np.float32(1), np.float32(0.5), values.astype(np.float32)
    (top, bottom, fy), (near, far, fx) = (taps(layer, axis, x.ndim) for axis in axes)
    total = None
    for column, wx in ((near, one - fx), (far, fx)):
        for row, wy in ((top, one - fy), (bottom, fy)):
            part = x.take(row, axis=axes[0]).take(column, axis=axes[1]) * wy * wx
            total = part if total is None else total + part
    return np.trunc(total + half).astype(np.int64)


def normalized(layer, rows):
    """Return N of section 5, [rows, places], in Python integers."""
    (low, high), grid = TYPES[layer.operands[0][1]["type"]], layer.operands[0][1]
    size, reach = rows.shape[1], high - low
    e2 = min(size * layer.attrs["epsilon"] / grid["scale"] ** 2, 2.0**61)
    f = max(0, 62 - (max(size * reach**2, size**2) + math.floor(e2) + 1).bit_length())
    epsilon, p = round(e2 * 2.0**f), max(0, (size * reach).bit_length() - 31)
    e = math.frexp(math.sqrt(2.0**f / size))[1] - 1
    g = 23 - -(-(size - 1).bit_length() // 2)
    found = []
    for row in rows.tolist():
        total = sum(row)
        mean, rest = total // size, total % size
        centred = [value - mean for value in row]
        spread = (sum(c * c for c in centred) << f) - ((rest * rest << f) // size) + epsilon
        h = max(62 - spread.bit_length(), 0) // 2 * 2
        root = math.isqrt(spread << h)
        inverse = 2**61 // root if spread else 0
        u = min(max(61 - p - e - g - h // 2, 0), 62)
        scaled = [(size * c - rest + (1 << p >> 1)) >> p for c in centred]
        found.append([(d * inverse + (1 << u >> 1)) >> u for d in scaled])
    return np.array(found, np.int64)


def normalized_layer(layer):
    x, axis = layer.operands[0][0], layer.attrs["axis"]
    n = normalized(layer, x.reshape(-1, math.prod(x.shape[axis:])))
    return affine(layer, n, layer.table("factor"), layer.table("offset")).reshape(x.shape)


def normalized_channels(layer):
    x = layer.operands[0][0]
    n = normalized(layer, x.reshape(x.shape[0] * x.shape[1], -1)).reshape(*x.shape[:2], -1)
    return affine(layer, n, layer.table("factor")[:, None], layer.table("offset")[:, None]).reshape(x.shape)


def affine(layer, n, factor, offset):
    return layer.finished(layer.grid["zero_point"] + up(n * factor + offset, layer.table("shift")[0]))
