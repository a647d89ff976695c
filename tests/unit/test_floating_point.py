"""NumPy's floating-point warnings end the job and name the node, also where nobody turns warnings into errors."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from slimai.calibration import collect as collecting
from slimai.calibration import solve
from slimai.errors import InputError
from slimai.floating_point import guarded
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer import planner
from slimai.quantizer.options import QuantOptions
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan

HUGE = np.array([1e30, 0.0], np.float32)


@pytest.fixture(autouse=True)
def as_in_a_run():
    """Show warnings once, as a run does; they are errors in all other tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def relu_graph():
    shapes = {name: TensorInfo(name, (1, 2)) for name in ("x", "y")}
    return Graph("g", (Node("act", "Sigmoid", ("x",), ("y",)),), ("x",), ("y",), shapes, {})


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: HUGE * HUGE, "overflow encountered in multiply"),
        (lambda: HUGE / np.float32(0) * 0, "divide by zero encountered in divide"),
        (lambda: np.array([np.inf]) - np.inf, "invalid value encountered in subtract"),
        (lambda: np.array([np.nan]).astype(np.int64), "invalid value encountered in cast"),
    ],
)
def test_guarded(wrong, text):
    with pytest.raises(InputError) as caught, guarded("conv1", "it ran"):
        wrong()
    assert str(caught.value) == f"conv1: {text} while it ran; check the ranges and scales of its tensors"


def test_expected_values_and_underflow_pass():
    with guarded("conv1", "it ran"):
        assert np.float32(1e-30) * np.float32(1e-30) == 0
        with np.errstate(over="ignore"):
            assert np.isinf(HUGE * HUGE).any()


def test_every_thread_of_a_program_is_guarded():
    graph = relu_graph()
    feeds = [{"x": np.array([[-1.0, 1.0]], np.float32)}]
    plan = planner.build_plan(graph, collecting.collect(graph, feeds), QuantOptions(level=1))
    program = compile_plan(plan, TargetSection())
    (step,) = program.steps

    def kernel(inputs, tally):
        return [(HUGE * HUGE).astype(np.int8)]

    broken = Program(plan, (replace(step, compiled=replace(step.compiled, kernel=kernel)),), threads=2)
    with pytest.raises(
        InputError, match=r"^Sigmoid_act__1: overflow encountered in multiply while it ran under xi_sym"
    ):
        broken.run({"x": np.zeros((4, 2), np.float32)})


def test_calibration_and_quantizer_name_the_place(monkeypatch):
    graph = relu_graph()
    feeds = [{"x": np.array([[-1.0, 1.0]], np.float32)}]
    stats = collecting.collect(graph, feeds)

    def overflow(*_args, **_kwargs):
        return HUGE * HUGE

    monkeypatch.setattr(planner.LayerBuilder, "layer", overflow)
    with pytest.raises(InputError, match=r"^act: overflow .* while its weights and bias were quantized"):
        planner.build_plan(graph, stats, QuantOptions(level=1))
    monkeypatch.setattr(collecting.TensorCollector, "add", overflow)
    with pytest.raises(InputError, match=r"^[xy]: overflow .* while its statistics were taken"):
        collecting.collect(graph, feeds, threads=2)
    monkeypatch.setattr(solve, "best_limits", overflow)
    with pytest.raises(InputError, match=r"^x: overflow .* while its limits were sought by ImprovedMSE"):
        solve.solve_limits({"x": stats["x"].histogram}, {"x": solve.Grid(-128, 127)}, "ImprovedMSE")


def test_guard_of_one_thread_leaves_others_alone():
    with guarded("conv1", "it ran"), ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pool.submit(lambda: np.isinf(HUGE * HUGE).any()).result()
