"""Pools and reductions for `integer_reader`, from the file of integers and docs/arithmetic.md alone."""

import math

import numpy as np
from reader_arithmetic import TYPES, looked_up, surrounded, up


def windows(layer, x, fill, beyond=None):
    """Return [taps, ...output]: what each place of the window sees.

    `fill` in the pads; `beyond` (default: `fill`) in what the last windows need further than the pads reach.
    """
    a, rank = layer.attrs, x.ndim - 2
    dilations = a.get("dilations", [1] * rank)
    cuts = list(zip(a["kernel_shape"], dilations, a["strides"], layer.shape[2:], strict=True))
    pads = list(zip(a["pads"][:rank], a["pads"][rank:], strict=True))
    further = [
        (0, max((n - 1) * s + (k - 1) * d + 1 - size - near - far, 0))
        for (near, far), size, (k, d, s, n) in zip(pads, x.shape[2:], cuts, strict=True)
    ]
    outside = fill if beyond is None else beyond
    x = surrounded(x, [(0, 0), (0, 0), *pads], fill)
    x = np.pad(x, [(0, 0), (0, 0), *further], constant_values=outside)
    taps = np.ndindex(*a["kernel_shape"])
    return np.stack(
        [
            x[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, (_, d, s, n) in zip(tap, cuts, strict=True)))]
            for tap in taps
        ]
    )


def largest(layer):
    values, grid = layer.operands[0]
    found = windows(layer, values, TYPES[grid["type"]][0]).max(axis=0)
    return looked_up(found, grid, layer.table("table_0"))


def averaged(layer):
    """Return means over the pixels that windows see; pads count, as zeros, with count_include_pad."""
    x, sizes = layer.centred(), layer.table("window")
    counted = int(bool(layer.attrs["count_include_pad"]))
    sums = windows(layer, x, 0).sum(axis=0)
    counts = windows(layer, np.ones_like(x), counted, 0).sum(axis=0)
    if "multiplier" not in layer.tables:  # TFLite: the plain sum over n, half away from zero
        total = sums + counts * layer.operands[0][1]["zero_point"]
        return layer.finished(np.sign(total) * ((np.abs(total) + counts // 2) // counts))
    found = np.zeros_like(sums)
    for place, size in enumerate(sizes):
        found = np.where(counts == size, layer.requantized(sums, pick=slice(place, place + 1)), found)
    return found


def total(layer):
    """Return sums over the axes of a mean (1 / n is in the multiplier) or of a sum."""
    x = layer.centred()
    axes = tuple(layer.attrs.get("axes", range(2, x.ndim)))
    return layer.requantized(x.sum(axis=axes).reshape(layer.shape))


def extreme(function):
    """Return the reduction to the largest or smallest integer along axes, which then comes to the output's grid."""

    def operator(layer):
        values, grid = layer.operands[0]
        found = function(values, axis=tuple(layer.attrs["axes"])).reshape(layer.shape)
        return looked_up(found, grid, layer.table("table_0"))

    return operator


def root_of_squares(layer):
    """Return the roots of sums of squares: an integer root of 30 bits and more, times m, to the right by t."""
    multiplier, exponent = int(layer.table("multiplier")[0]), int(layer.table("exponent")[0])
    squares = np.square(layer.centred()).sum(axis=tuple(layer.attrs["axes"])).reshape(-1)
    found = []
    for value in squares.tolist():
        h = max(62 - value.bit_length(), 0) // 2 * 2
        t = 31 - exponent + h // 2
        found.append(int(up(math.isqrt(value << h) * multiplier, t)) if t <= 62 else 0)
    return layer.finished(layer.grid["zero_point"] + np.array(found, np.int64).reshape(layer.shape))
