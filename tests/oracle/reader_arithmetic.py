"""The arithmetic of `integer_reader`, from docs/arithmetic.md: shifts, accumulators, the tails of the presets."""

import numpy as np

TYPES = {"s8": (-128, 127), "u8": (0, 255), "s16": (-32768, 32767)}


def limited(acc, network):
    """Return sums held to the accumulator, where it has less than 32 bits."""
    bits, overflow = network["accumulator"]["bits"], network["accumulator"]["overflow"]
    if bits >= 32:
        return acc
    half = 1 << (bits - 1)
    return np.clip(acc, -half, half - 1) if overflow == "saturate" else (acc + half) % (2 * half) - half


def up(value, shift):
    """Return value / 2^shift, half up; beyond 62 there is nothing left of 64 bits."""
    shift = np.minimum(shift, 62)
    return (value + np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)) >> shift


def away(value, shift):
    """Return value / 2^shift, half away from zero."""
    return np.sign(value) * up(np.abs(value), shift)


def xi_sym(acc, tables):
    a16 = np.clip(up(acc, tables["pre_shift"]), -32768, 32767)
    return up(a16 * tables["multiplier"], tables["shift"])


def wide(acc, multiplier):
    """Return the sums as Python integers where products need more than 64 bits, which 16-bit layers do."""
    top = int(np.abs(acc).max(initial=0)) * int(np.abs(multiplier).max(initial=0))
    return acc.astype(object) if top >= 2**61 else acc


def half_up(acc, tables):
    return narrow(up(wide(acc, tables["multiplier"]) * tables["multiplier"], tables["shift"]))


def narrow(values):
    """Return int64; what is beyond 62 bits is beyond every output's range too."""
    return np.clip(values, -(2**62), 2**62).astype(np.int64)


def gemmlowp(acc, tables):
    return t31(acc, tables["multiplier"], tables["shift"])


def t31(value, multiplier, exponent):
    shifted = value << np.maximum(exponent, 0)
    high = (wide(shifted, multiplier) * multiplier + (1 << 30)) >> 31
    return away(narrow(high), np.maximum(-exponent, 0))


def float64(acc, tables):
    product = acc.astype(np.float64) * tables["multiplier"]
    return (np.sign(product) * np.floor(np.abs(product) + 0.5)).astype(np.int64)


RULES = {"xi_sym": xi_sym, "single": half_up, "tflite_s64": half_up, "gemmlowp": gemmlowp, "float64": float64}


def looked_up(values, grid, table):
    """Return the entries of a table over all integers of a type; the values themselves where there is none."""
    return values if table is None else table[values - TYPES[grid["type"]][0]]


def surrounded(x, sides, fill=0):
    """Return x with (near, far) places of `fill` along each axis; negative numbers cut off instead."""
    cut = tuple(slice(max(-near, 0), x.shape[axis] - max(-far, 0)) for axis, (near, far) in enumerate(sides))
    return np.pad(x[cut], [(max(near, 0), max(far, 0)) for near, far in sides], constant_values=fill)


def line(knots, values, bits, reach):
    """Return the values on the lines between knots that are 2^bits integers apart, from -reach on."""
    inside = np.clip(values, -reach, reach - 1) + reach
    place, part = inside >> bits, inside & ((1 << bits) - 1)
    return knots[place] + up((knots[place + 1] - knots[place]) * part, bits)
