"""Multipliers and rules: properties that the definitions promise, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.errors import InputError
from slimai.graph.ir import Node
from slimai.quantizer.params import S8, S16, U8, QParams
from slimai.simulator.arithmetic import rule_for, situation
from slimai.simulator.fixed_point import (
    multiply_by_quantized_multiplier,
    multiply_shift,
    quantize_multiplier,
    round_half_away,
    rounding_shift,
)
from slimai.simulator.requantize import PRESETS, build_requantizer, clamp_limits, real_multiplier, xi_parameters

NATIVE = {"s16": "tflite_s64", "sym8": "xi_sym", "asym8": "gemmlowp"}


@given(st.integers(-(2**47) + 1, 2**47 - 1), st.integers(0, 2**31 - 1), st.integers(16, 62))
def test_multiply_shift_is_exact_where_the_product_needs_78_bits(value, multiplier, shift):
    found = int(multiply_shift(value, multiplier, shift))
    assert found == (value * multiplier + (1 << (shift - 1))) >> shift


@given(st.integers(-(2**40), 2**40), st.integers(0, 40))
def test_rounding_shift_rounds_ties_away_from_zero(value, shift):
    exact = Fraction(value, 1 << shift)
    expected = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    assert int(rounding_shift(value, shift)) == expected


@given(st.floats(-(2.0**40), 2.0**40))
def test_round_half_away(value):
    exact = Fraction(value)
    assert int(round_half_away(value)) == int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)


@given(st.floats(2.0**-31, 2.0**20))
def test_quantized_multiplier_is_within_half_a_unit_of_31_bits(real):
    multiplier, exponent = quantize_multiplier(np.array([real]))
    assert 1 << 30 <= multiplier[0] < 1 << 31
    error = abs(Fraction(int(multiplier[0])) * Fraction(2) ** (int(exponent[0]) - 31) - Fraction(real))
    assert error <= Fraction(2) ** (int(exponent[0]) - 32)


def test_multipliers_below_two_to_the_minus_32_vanish():
    multiplier, exponent = quantize_multiplier(np.array([0.0, 2.0**-40]))
    assert multiplier.tolist() == [0, 0]
    assert exponent.tolist() == [0, 0]


@given(st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-20, 0.9))
def test_two_step_rounding_equals_its_definition(value, real):
    multiplier, exponent = quantize_multiplier(np.array([real]))
    q, e = int(multiplier[0]), int(exponent[0])
    high = (value * q + (1 << 30)) >> 31
    exact = Fraction(high, 1 << -e) if e < 0 else Fraction(high << e)
    expected = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    assert int(multiply_by_quantized_multiplier(value, multiplier, exponent)[0]) == expected


@given(st.floats(2.0**-60, 2.0**15), st.sampled_from([S8, U8, S16]))
@settings(max_examples=300)
def test_xi_parameters_hold_what_the_preset_promises(real, kind):
    p, m, q = (int(column[0]) for column in xi_parameters(np.array([real]), QParams(kind, 1.0), "node"))
    reach = {S8: 128, U8: 256, S16: 32768}[kind]
    assert p == 0 or reach / (real * 2.0**p) <= 32767 < reach / (real * 2.0 ** (p - 1)) * (1 + 1e-15)
    exact = Fraction(real) * Fraction(2) ** (p + q)
    assert m == int(exact + Fraction(1, 2)) <= 65535
    assert q == 255 or int(exact * 2 + Fraction(1, 2)) > 65535


def test_xi_refuses_multipliers_of_two_to_the_16_by_node_name():
    with pytest.raises(InputError) as caught:
        build_requantizer(PRESETS["xi_sym"], np.array([0.1, 65536.0]), QParams(S8, 1.0), "Conv_7__1")
    assert str(caught.value) == "Conv_7__1: multiplier does not fit 16 bits (got 65536.0); raise the output's range"


@pytest.mark.parametrize("real", [-0.5, float("nan"), float("inf")])
def test_multipliers_that_are_no_positive_number_are_refused(real):
    with pytest.raises(InputError, match="Conv_7__1: multiplier is not a finite positive number"):
        build_requantizer(PRESETS["single"], np.array([real]), QParams(S8, 1.0), "Conv_7__1")


def test_float32_multiplier_is_formed_left_to_right_in_float32():
    x, w, y = 0.0123, np.array([0.0071]), 0.0456
    single = np.float32(x) * np.float32(w) / np.float32(y)
    assert (
        real_multiplier(PRESETS["ort_f32"], (x, w), y)[0]
        == single[0]
        != real_multiplier(PRESETS["single"], (x, w), y)[0]
    )


def clip(low, high):
    return Node("c", "Clip", (), (), {"lo": low, "hi": high})


def test_clamp_limits_follow_relu_and_clip():
    out = QParams(U8, 0.5, 20)
    assert clamp_limits(out, None, "dsp") == (0, 255)
    assert clamp_limits(out, Node("r", "Relu", (), ()), "dsp") == (20, 255)
    assert clamp_limits(out, clip(-np.inf, 6.0), "dsp") == (0, 32)
    assert clamp_limits(out, clip(-1e9, 1e9), "dsp") == (0, 255)
    # 1.25 / 0.5 = 2.5: half to even, or away from zero
    assert clamp_limits(out, clip(0.0, 1.25), "dsp") == (20, 22)
    assert clamp_limits(out, clip(0.0, 1.25), "tflite") == (20, 23)


def test_native_table_looks_at_the_inputs_first():
    s8, u8, asymmetric, s16 = QParams(S8, 1.0), QParams(U8, 1.0), QParams(U8, 1.0, 3), QParams(S16, 1.0)
    assert situation([s8, u8], [s8]) == "sym8"
    assert situation([s8], [asymmetric]) == "asym8"
    assert situation([s8, s16], [asymmetric]) == "s16"
    assert rule_for("native", NATIVE, [s8], [s16]).name == "xi_sym"
    assert rule_for("ort_f32", NATIVE, [s16], [s16]).name == "ort_f32"


def test_unknown_presets_are_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"target.arithmetic: unknown preset 'gemlowp'; did you mean 'gemmlowp'\?"):
        rule_for("gemlowp", NATIVE, [QParams(S8, 1.0)], [])
