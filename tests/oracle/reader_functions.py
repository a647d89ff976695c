"""Functions of one integer or two for `integer_reader`, from the file of integers and docs/arithmetic.md alone."""

import math

import numpy as np
from reader_arithmetic import looked_up, t31, up

ENDLESS = 2**32
LN2 = 744261118  # rhe(2^30 ln 2)


def leading(size):
    """Return n of 2^n <= size < 2^(n + 1) for integers of at least 1."""
    return np.array([int(value).bit_length() - 1 for value in size.reshape(-1)]).reshape(size.shape)


def mantissa(knots, size, n):
    """Return h(size / 2^n) in 1/2^30: the line between two of 257 knots."""
    fraction = np.where(n < 16, size << np.maximum(15 - n, 0), size >> 1) - 2**15
    place = fraction >> 7
    return knots[place] + (((knots[place + 1] - knots[place]) * (fraction & 127) + 64) >> 7)


def quotient(layer):
    """Return a / b: the divisor's leading bit split off, the reciprocal of the rest on lines between 257 knots."""
    a, b = np.broadcast_arrays(layer.centred(0), layer.centred(1))
    size = np.maximum(np.abs(b), 1)
    n = leading(size)
    product = (np.abs(a) * mantissa(layer.table("knots"), size, n) + 2**14) >> 15
    found = up(product * layer.table("multiplier")[n], layer.table("shift")[n])
    found = np.where(b == 0, np.where(a == 0, 0, ENDLESS), found)
    return layer.finished(layer.grid["zero_point"] + np.where((a < 0) != (b < 0), -found, found))


def power(layer, exponent):
    """Return x^p of 16-bit integers: sign and leading bit split off, what 2^n does is in m_n and t_n."""
    values = layer.centred()
    whole, odd = float(exponent).is_integer(), exponent % 2 == 1
    size = np.abs(values) if whole else np.maximum(values, 0)
    n = leading(np.maximum(size, 1))
    found = up(mantissa(layer.table("knots"), np.maximum(size, 1), n) * layer.table("multiplier")[n],
               layer.table("shift")[n])  # fmt: skip
    found = np.where(size == 0, 0 if exponent > 0 else ENDLESS, found)
    return layer.finished(layer.grid["zero_point"] + np.where((values < 0) & odd, -found, found))


def logarithm(layer):
    """Return ln x of 16-bit integers; what is not positive gives the lowest integer."""
    values = layer.centred()
    multiplier, offset, shift = (int(item) for item in layer.table("multiplier_offset_shift"))
    size = np.maximum(values, 1)
    n = leading(size)
    natural = n * LN2 + mantissa(layer.table("knots"), size, n)
    found = up(natural * multiplier + offset, shift)
    return layer.finished(layer.grid["zero_point"] + np.where(values > 0, found, -ENDLESS))


def steep(function):
    """Return an operator that has a table of 8-bit inputs, or knots of 257 places of 16-bit ones."""

    def operator(layer, plain):
        return plain(layer) if layer.table("knots") is None or layer.table("knots").size != 257 else function(layer)

    return operator


EXPONENTS = {"Sqrt": 0.5, "Rsqrt": -0.5, "Reciprocal": -1.0}
STEEP = {
    **{op: steep(lambda layer, p=p: power(layer, p)) for op, p in EXPONENTS.items()},
    "Pow": steep(lambda layer: power(layer, layer.attrs["exponent"])),
    "Log": steep(logarithm),
}


def above(layer):
    """Return x - z where it is above floor(alpha / s_x), else 0."""
    x, limit = layer.centred(), math.floor(layer.attrs["alpha"] / layer.operands[0][1]["scale"])
    return np.where(x > limit, x, 0)


SIGNS = {
    "Abs": lambda layer: np.abs(layer.centred()),
    "Neg": lambda layer: -layer.centred(),
    "ThresholdedRelu": above,
}


def chosen(choose):
    """Return an operator that chooses between its operands, each brought to the output's grid first."""

    def operator(layer):
        parts = [
            looked_up(values, grid, layer.table(f"table_{place}"))
            for place, (values, grid) in enumerate(layer.ordered())
        ]
        return layer.finished(choose(layer, *parts))

    return operator


largest_of = chosen(lambda _layer, *parts: np.maximum(*parts))
smallest_of = chosen(lambda _layer, *parts: np.minimum(*parts))
selected = chosen(lambda layer, a, b: np.where(layer.tables["mask"] != 0, a, b))


def rescaled(layer):
    """Return both operands of TFLite's sums and differences, raised and brought to one scale."""
    left, multiplier, shift = (layer.table(n) for n in ("left_shift", "operand_multiplier", "operand_shift"))
    return [t31(layer.centred(place) << left[0], multiplier[place], shift[place]) for place in (0, 1)]


def squared_difference(layer):
    a, b = rescaled(layer)
    return layer.requantized((a - b) ** 2)
