"""A scale that a device has in another form is found whatever arithmetic and layer hide it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))

from plans import Op, build_plan, params, program

from slimai.schema.target import TargetSection
from slimai.simulator.divergence import cases
from slimai.simulator.explanation import explanations

SHAPE = (2, 16, 16, 16)  # enough integers that the windows of scales are narrow
PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64", "ort_f32")


def network(op, preset, scales):
    names = ["a", "b", "out"]
    inputs = tuple(names[:2]) if op in ("Add", "Mul") else ("a",)
    shapes = dict.fromkeys(names, SHAPE)
    grids = {name: params("s8", scale) for name, scale in zip(names, scales, strict=True)}
    return program(build_plan([Op(op, inputs, "out")], shapes, grids, inputs, ("out",)), preset)


@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=40)
@given(scales=st.tuples(*[st.floats(0.02, 0.1)] * 3), factor=st.floats(0.5, 2.0), seed=st.integers(0, 2**32 - 1))
def test_the_scale_of_an_output_is_found(op, preset, scales, factor, seed):
    right = network(op, preset, scales)
    wrong = network(op, preset, (*scales[:2], float(np.float32(scales[2] * factor))))
    rng = np.random.default_rng(seed)
    feeds = {name: rng.integers(-127, 128, SHAPE).astype(np.int8) for name in right.plan.graph.inputs}
    board = {"out": np.array(wrong.run(feeds)["out"])}
    for case in cases(right, feeds, board):
        found = explanations(right.plan, TargetSection(), case)
        assert found, (scales, factor)
