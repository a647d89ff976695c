"""Generated geometry in C against the simulator: windows, pads, groups, axes, ranks, accumulators; 0 may differ."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from drawn_layers import MAKERS, conv
from operators import SAMPLES, integer_case
from plans import Op, build_plan, params
from portable_c import build, extremes, subject

from slimai.graph.ir import Node
from slimai.quantizer.plan import QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")


@pytest.mark.parametrize("maker", MAKERS, ids=lambda item: item.__name__)
def test_generated_geometry(maker, tmp_path):
    subjects = []
    for number in range(12):
        rng = np.random.default_rng(zlib.crc32(f"{maker.__name__} {number}".encode()))
        dtype, preset = ("s8", "u8", "s16")[number % 3], PRESETS[number // 3]
        program = compile_plan(maker(rng, dtype), TargetSection(), arithmetic=preset)
        subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}"))
    check(subjects, tmp_path)


def check(subjects, folder):
    build(subjects, folder)
    wrong = {
        (item.network.prefix, item.network.plan.layers[0].node.attrs.get("mode")): found
        for item in subjects
        if (found := item.differences(extremes(item.program)))
    }
    assert wrong == {}


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("op", ["Conv", "Gemm", "Add", "Mul", "GlobalAveragePool", "AveragePool", "Resize"])
def test_a_narrow_accumulator(op, overflow, tmp_path):
    """16 bits: sums leave them, and are saturated or wrapped alike."""
    subjects, counted = [], 0
    target = TargetSection(acc_bits=16, acc_overflow=overflow)
    for preset in PRESETS:
        plan, _, _ = integer_case(op, SAMPLES[op][-1], preset, "u8", np.random.default_rng(2))
        program = compile_plan(plan, target, arithmetic=preset)
        subjects.append(subject(program, target, tmp_path, f"n_{preset}"))
    check(subjects, tmp_path)
    counted = sum(sum(item.program.overflows.values()) for item in subjects)
    assert counted or op in {"GlobalAveragePool", "AveragePool", "Mul"}, "no sum left the accumulator"


def test_upper_limits_of_channels(tmp_path):
    subjects = []
    for number, preset in enumerate(PRESETS):
        rng = np.random.default_rng(number)
        plan = conv(rng, "s8")
        while plan.graph.nodes[0].attrs.get("channels_last", 0) or plan.graph.shape("y")[1] < 3:
            plan = conv(rng, "s8")
        (layer,) = plan.layers
        channels = plan.graph.shape("y")[1]
        limits = tuple(rng.uniform(0.2, 2.0, channels).tolist())
        clip = Node("clip", "Clip", layer.node.outputs, ("y",), {"lo": 0.0, "hi": limits})
        plan = replace(plan, layers=(replace(layer, activation=clip),))
        program = compile_plan(plan, TargetSection(), arithmetic=preset)
        assert np.unique(program.table()[f"{layer.name}/clamp_high"]).size > 1
        subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}"))
    check(subjects, tmp_path)


def test_weights_with_a_zero_point_and_operands_that_broadcast(tmp_path):
    subjects = []
    for number, preset in enumerate(("gemmlowp", "xi_sym")):
        rng = np.random.default_rng(number)
        weight = QWeight(rng.integers(0, 256, (4, 8)).astype(np.uint8), params("u8", 1.0).dtype, np.array([0.01]),
                         zero_point=131)  # fmt: skip
        x, y, z = params("u8", 0.02, 120), params("u8", 0.3, 100), params("u8", 0.05, 7)
        ops = [
            Op("Gemm", ("x",), "a", {"transB": 1}, weight),
            Op("Reshape", ("a",), "b", {"shape": (1, 2, 2, 1)}),
            Op("Mul", ("b", "w"), "c"),
            Op("Sub", ("c", "d"), "y"),
        ]
        shapes = {"x": (1, 8), "a": (1, 4), "b": (1, 2, 2, 1), "w": (1, 2, 1, 3), "c": (1, 2, 2, 3), "d": (1, 2, 1, 1),
                  "y": (1, 2, 2, 3)}  # fmt: skip
        tensors = {"x": x, "a": y, "b": y, "w": z, "c": y, "d": z, "y": params("u8", 0.4, 128)}
        plan = build_plan(ops, shapes, tensors, ("x", "w", "d"), ("y", "c"))
        program = compile_plan(plan, TargetSection(), arithmetic=preset)
        subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}"))
    build(subjects, tmp_path)
    for item in subjects:
        assert item.differences(extremes(item.program)) == {}
