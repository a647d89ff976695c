"""Layers over three axes of space in C: against the simulator's integers, and against ONNX Runtime's exact sums.

ONNX Runtime's float operators on the integers give the sums (below 2^24), which then go through the scalar
requantization of the rule, without the simulator. 0 integers may differ.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from portable_c import build, extremes, subject
from volume_cases import OPERATORS, volume_case

from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")
CASES = 12


@pytest.mark.parametrize("op", OPERATORS)
def test_windows_over_three_axes(op, tmp_path):
    subjects, expected = [], []
    for number in range(CASES):
        rng = np.random.default_rng(zlib.crc32(f"{op} {number}".encode()))
        preset, dtype = PRESETS[number % 4], ("s8", "u8", "s16")[number // 4]
        plan, x, wanted = volume_case(op, rng, dtype, preset)
        program = compile_plan(plan, TargetSection(), arithmetic=preset)
        weights = "file" if number % 5 == 4 and op != "MaxPool" else "array"  # a pool has no constants
        subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}", weights=weights))
        expected.append((x, wanted))
    build(subjects, tmp_path)
    for item, (x, wanted) in zip(subjects, expected, strict=True):
        feeds = [{"x": x}, *extremes(item.program)]
        assert item.differences(feeds) == {}, item.network.prefix
        if wanted is not None:
            assert np.array_equal(item.dump(feeds[:1])[0]["y"], wanted), item.network.prefix
