"""Generated C against the simulator: every tensor's bytes, operator by operator, every preset; 0 may differ."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from operators import SAMPLES, integer_case
from portable_c import build, extremes, subject

from slimai.codegen.layers import WRITERS
from slimai.graph.ops import TRAITS
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")


@pytest.mark.parametrize("op", [op for op in WRITERS if op in SAMPLES])
def test_an_operator_under_every_preset_and_type(op, tmp_path):
    subjects, feeds = [], []
    for number, sample in enumerate(SAMPLES[op]):
        for preset in (item for item in PRESETS if _has(op, item)):
            for dtype in ("s8", "u8", "s16"):
                for tied in (False, True):
                    rng = np.random.default_rng(zlib.crc32(repr((op, number, preset, dtype, tied)).encode()))
                    plan, inputs, _ = integer_case(op, sample, preset, dtype, rng, tied=tied)
                    program = compile_plan(plan, TargetSection(), arithmetic=preset)
                    prefix = f"n{number}_{preset}_{dtype}_{int(tied)}"
                    subjects.append(subject(program, TargetSection(), tmp_path, prefix))
                    feeds.append([*extremes(program), inputs])
    build(subjects, tmp_path)
    wrong = {item.network.prefix: found for item, data in zip(subjects, feeds, strict=True)
             if (found := item.differences(data))}  # fmt: skip
    assert wrong == {}


def _has(op: str, preset: str) -> bool:
    recipe = "dsp" if preset in ("xi_sym", "single") else "tflite"
    return recipe in TRAITS[op].recipes
