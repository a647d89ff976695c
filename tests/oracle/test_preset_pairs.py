"""Pairs of presets against all sums of small accumulators, by formulas of docs/arithmetic.md written here again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plans import Op, one_op, params
from preset_formulas import away, raw

from slimai.errors import InputError
from slimai.graph.ir import Node
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.proofs.presets import compare_presets

PRESETS = ("xi_sym", "gemmlowp", "tflite_s64", "single")
LAYERS = 120  # for each operator; all six pairs and each preset with itself
OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "stack")
SMALL = np.arange(-(1 << 11), 1 << 11)


def outputs(preset, case, total, channel):
    """Return what a preset makes of sums in a channel of a case."""
    x, y, scales, limit, dense = case
    scale = float(scales[channel % scales.size])
    low, high = y.dtype.low, y.dtype.high
    tflite = preset in {"gemmlowp", "tflite_s64"}
    if limit is not None:
        top = away(np.float32(limit) / np.float32(y.scale)) if tflite else np.rint(limit / y.scale)
        low, high = max(low, y.zero_point), min(high, y.zero_point + int(top))
    if tflite and dense:
        product = total * (x.scale * scale / y.scale)
        found = (np.sign(product) * np.floor(np.abs(product) + 0.5)).astype(np.int64)
    else:
        real = x.scale * scale / y.scale
        if tflite and scales.size == 1 and x.dtype.name == "u8":
            real = float(np.float32(x.scale) * np.float32(scale)) / y.scale
        found = raw(preset, total, real, y)
    return np.clip(found + y.zero_point, low, high)


def random_case(rng, operator):
    """Return (plan, case of `outputs`, channels)."""
    kind, out = (str(item) for item in rng.choice(["s8", "u8"], 2))
    out = "s16" if rng.random() < 0.1 else out
    x = params(kind, float(rng.uniform(0.01, 0.1)), int(rng.integers(0, 20)))
    y = params(out, float(np.exp(rng.uniform(-6, 0))), 0 if out == "s16" else int(rng.integers(0, 30)))
    channels, per_channel = int(rng.integers(1, 5)), bool(rng.integers(2)) and operator != "stack"
    scales = rng.uniform(0.002, 0.3, channels if per_channel else 1).astype(np.float32).astype(np.float64)
    if rng.random() < 0.3:  # powers of two, where many a sum is a tie
        scales = 2.0 ** -rng.integers(2, 8, scales.size)
        x, y = params(kind, 0.5, x.zero_point), params(out, 2.0 ** -int(rng.integers(0, 4)), y.zero_point)
    shapes = {"Conv": (channels, 2, 1, 1), "ConvTranspose": (2, channels, 1, 1), "Gemm": (channels, 2),
              "MatMul": (2, channels), "stack": (3, 2, channels)}  # fmt: skip
    axis = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1, "stack": 0}[operator]
    weight = QWeight(rng.integers(-9, 10, shapes[operator]).astype(np.int8), INT_TYPES["s8"], scales, axis)
    attrs, source, target = {}, (1, 2), (1, channels)
    if operator.startswith("Conv"):
        attrs = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
        source, target = (1, 2, 1, 1), (1, channels, 1, 1)
    elif operator == "Gemm":
        attrs = {"transB": 1}
    elif operator == "stack":
        source, target = (3, 1, 2), (3, 1, channels)
    limit = float(rng.choice([1.0, 6.0])) if rng.random() < 0.3 else None
    clamp = None if limit is None else Node("c", "Clip", (), (), {"lo": 0.0, "hi": limit})
    op = Op("MatMul" if operator == "stack" else operator, ("x",), "y", attrs, weight, activation=clamp)
    plan = one_op(op, {"x": source, "y_pre": target}, target, {"x": x}, y)
    if operator == "stack":
        scales = np.float32(x.scale) * np.float32(scales[:1]).astype(np.float64) / x.scale * np.ones(1)
    dense = operator in {"Gemm", "MatMul"}
    return plan, (x, y, scales, limit, dense), channels * (3 if operator == "stack" else 1)


@pytest.mark.parametrize("operator", OPERATORS)
def test_pairs_equal_brute_force_over_the_whole_accumulator(operator):
    rng = np.random.default_rng(OPERATORS.index(operator))
    agreed = differed = 0
    for _ in range(LAYERS):
        plan, case, channels = random_case(rng, operator)
        bits = int(rng.integers(6, 13))
        total = SMALL[np.abs(SMALL + 0.5) < 1 << (bits - 1)]
        assert total.size == 1 << bits
        target = TargetSection().model_copy(update={"acc_bits": bits})
        if operator == "stack":
            made = {preset: [stacked(preset, case, total)] * channels for preset in PRESETS}
        else:
            made = {preset: [outputs(preset, case, total, c) for c in range(channels)] for preset in PRESETS}
        for first, second in itertools.combinations_with_replacement(PRESETS, 2):
            (found,) = compare_presets(plan, target, first, second)
            unlike = [c for c in range(channels) if not np.array_equal(made[first][c], made[second][c])]
            assert (found.bits, found.channels, found.differing) == (bits, channels, len(unlike)), (case, first, second)
            assert (found.example is None) == (not unlike)
            agreed, differed = agreed + (not unlike), differed + bool(unlike)
            if found.example is not None:
                at = found.example.total - int(total[0])
                values = [int(made[preset][found.example.channel][at]) for preset in (first, second)]
                assert found.example.channel == unlike[0]
                assert values == [found.example.first, found.example.second]
                assert values[0] != values[1]
    assert agreed > LAYERS
    assert differed > LAYERS


def stacked(preset, case, total):
    """A stack of matrices has one scale; TFLite multiplies it with the input's in float32."""
    x, y, _, limit, _ = case
    return outputs(preset, (x, y, case[2], limit, False), total, 0)


def test_the_whole_accumulator_is_compared_without_enumeration():
    """At 32 bits: an example is one by the formulas too; a preset agrees with itself; the clamp counts."""
    rng = np.random.default_rng(7)
    for operator in ("Conv", "Gemm"):
        plan, case, _ = random_case(rng, operator)
        for first, second in itertools.combinations(PRESETS, 2):
            (found,) = compare_presets(plan, TargetSection(), first, second)
            assert found.bits == 32
            if found.example is not None:
                total = np.array([found.example.total])
                values = [int(outputs(p, case, total, found.example.channel)[0]) for p in (first, second)]
                assert values == [found.example.first, found.example.second]
                assert values[0] != values[1]
        (found,) = compare_presets(plan, TargetSection(), "single", "single")
        assert found.verdict == "single and single agree on every sum of 32 bits"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ort_f32", "--presets: is float arithmetic by definition, not steps of integers (got 'ort_f32')"),
        ("gemlowp", "--presets: unknown preset 'gemlowp'; did you mean 'gemmlowp'?"),
    ],
)
def test_presets_that_have_no_steps(name, message):
    plan, _, _ = random_case(np.random.default_rng(0), "Conv")
    with pytest.raises(InputError) as raised:
        compare_presets(plan, TargetSection(), "single", name)
    assert message in str(raised.value)
