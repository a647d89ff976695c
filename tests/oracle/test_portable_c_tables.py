"""Multipliers and shifts of generated C are those of the simulator, whatever the scales: each is looked up, none run.

A multiplier that is wrong in its last bits changes an output too rarely for a test that runs a few inputs.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import SAMPLES, integer_case

from slimai.codegen.layers import WRITERS
from slimai.codegen.network import build_network
from slimai.codegen.options import CodeOptions
from slimai.graph.ops import TRAITS
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")
TABLES = ("multiplier", "pre_shift", "shift")
OPERATORS = [op for op in WRITERS if op in SAMPLES]
# Their tables are no requantization's, or are laid out otherwise in C (positive and negative side by side).
OTHERS = {"PRelu", "Div", "LSTM", "GRU", "LayerNormalization", "InstanceNormalization", "ReduceL2"}


def missing(op, sample, preset, dtype, seed):
    """Return the tables of the simulator's layer that the C of it does not hold."""
    plan, _, _ = integer_case(op, sample, preset, dtype, np.random.default_rng(seed))
    program = compile_plan(plan, TargetSection(), arithmetic=preset)
    network = build_network(program, TargetSection(), CodeOptions("net"))
    held = {tuple(values.tolist()) for values in network.constants.arrays.values()}
    tables = program.steps[-1].compiled.tables
    if "multiplier" in tables and tables["multiplier"].dtype.kind == "f":  # a double, which C has taken apart
        return {}
    wanted = {name: tuple(np.ravel(tables[name]).tolist()) for name in TABLES if name in tables}
    return {name: values for name, values in wanted.items() if values not in held}


@pytest.mark.parametrize("op", [op for op in OPERATORS if op not in OTHERS])
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["s8", "u8", "s16"]))
@settings(max_examples=2, deadline=None)
def test_tables_are_the_simulator_s(op, seed, dtype):
    for preset in PRESETS:
        if ("dsp" if preset in ("xi_sym", "single") else "tflite") in TRAITS[op].recipes:
            assert [missing(op, sample, preset, dtype, seed) for sample in SAMPLES[op]] == [{}] * len(SAMPLES[op])
