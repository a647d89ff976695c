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


OPERATORS = [op for op in WRITERS if op in SAMPLES]
QUICK = [("xi_sym", "s8", False), ("xi_sym", "s16", False), ("gemmlowp", "u8", False), ("gemmlowp", "u8", True),
         ("tflite_s64", "s16", False), ("single", "u8", False)]  # fmt: skip
ALL = [(preset, dtype, tied) for preset in PRESETS for dtype in ("s8", "u8", "s16") for tied in (False, True)]


@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator(op, tmp_path):
    check(op, QUICK, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator_under_every_preset_and_type(op, tmp_path):
    check(op, ALL, tmp_path)


def check(op, settings, folder):
    """Compare every sample of an operator, under these (preset, type, whether input and output share a grid)."""
    subjects, feeds = [], []
    for number, sample in enumerate(SAMPLES[op]):
        for preset, dtype, tied in settings:
            if not _has(op, preset) or (tied and TRAITS[op].family == "recurrent"):  # cells have a grid of their own
                continue
            rng = np.random.default_rng(zlib.crc32(repr((op, number, preset, dtype, tied)).encode()))
            plan, inputs, _ = integer_case(op, sample, preset, dtype, rng, tied=tied)
            program = compile_plan(plan, TargetSection(), arithmetic=preset)
            prefix = f"n{number}_{preset}_{dtype}_{int(tied)}"
            subjects.append(subject(program, TargetSection(), folder, prefix))
            feeds.append([*extremes(program), inputs])
    build(subjects, folder)
    wrong = {
        item.network.prefix: found
        for item, data in zip(subjects, feeds, strict=True)
        if (found := item.differences(data))
    }
    assert wrong == {}


def _has(op: str, preset: str) -> bool:
    recipe = "dsp" if preset in ("xi_sym", "single") else "tflite"
    return recipe in TRAITS[op].recipes
