"""The exported model at every graph optimization of ONNX Runtime: what is found, written apart, refused.

The fault is a real one: float weights between DequantizeLinear and QuantizeLinear, which ONNX Runtime rounds to 8 bits
with one scale for all of them. The writer of grouped ConvTranspose used to write such.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from slimai.app.delivery import export_check
from slimai.app.delivery.export_check import ExportCheck, ExportFacts, LevelFacts
from slimai.artifacts.spill import Spill
from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.metrics.base import Result
from slimai.quantizer import qdq
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.quantized_onnx import plan_of_quantized
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.search.evaluate import Validation
from slimai.simulator.program import compile_plan

ONNX_RUNTIME_LEVELS = ["disabled", "basic", "extended", "layout", "all"]


class Nearness:
    """One minus the mean distance to the float outputs over their mean size."""

    name, uses_float = "nearness", True

    def measure(self, _, outputs, reference):
        return {"far": np.abs(outputs[0] - reference[0]).mean() / np.abs(reference[0]).mean()}

    def combine(self, records):
        score = max(0.0, 1.0 - float(np.mean([item["far"] for item in records])))
        return Result(score, score)


class Unmoved(Nearness):
    """A metric that no output changes."""

    def combine(self, _):
        return Result(0.5, 0.5)


@pytest.fixture
def case(tmp_path, rng, net):
    """Return (plan, validation) of Relu, a grouped ConvTranspose with weights of very different size, and a Conv."""
    n = net()
    n.node("Relu", ("x",), "r", (1, 4, 8, 8))
    weight = rng.normal(size=(4, 2, 2, 2))
    weight[:2, 0] *= 1e-2
    n.const("t_w", weight)
    sizes = {"strides": (2, 2), "dilations": (1, 1), "pads": (0,) * 4, "group": 2, "output_padding": (0, 0)}
    n.node("ConvTranspose", ("r", "t_w"), "t", (1, 4, 16, 16), **sizes)
    last = rng.normal(size=(3, 4, 1, 1))
    last[:, 0] *= 1e2
    n.conv("t", "y", last, np.zeros(3))
    graph = n.graph("y")
    images = rng.normal(size=(12, 4, 8, 8)).astype(np.float32)
    plan = build_plan(graph, collect(graph, [{"x": images}]), QuantOptions(level=4, bias_correction=False))
    inputs, reference = Spill(tmp_path / "in", 12), Spill(tmp_path / "ref", 12)
    inputs.put(0, {"x": images})
    reference.put(0, FloatSession(graph).run({"x": images}))
    yield plan, Validation(tuple(f"image {index}" for index in range(12)), inputs, reference, ("y",), 4)
    inputs.close()
    reference.close()


def float_weights(self, name, weight, layout):
    """Write the weights as the old writer did."""
    self.constants[name] = (weight.values * layout.spread(weight.scale, weight.values.shape)).astype(np.float32)
    return name


def serialized(plan):
    return qdq.to_qdq(plan).SerializeToString(deterministic=True)


def outputs(model, feeds, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def test_a_sound_model_is_left_as_it_is(case):
    plan, validation = case
    model, facts = ExportCheck(plan, validation, Nearness()).checked(serialized(plan))
    assert model == serialized(plan)
    assert list(facts.levels) == ONNX_RUNTIME_LEVELS
    assert facts.images == 8
    assert all(item.steps <= 1 for item in facts.levels.values())
    assert (facts.spelled_out, facts.refused, facts.skipped) == ((), "", "")


def test_what_a_level_changes_is_written_apart_and_named(case, monkeypatch):
    plan, validation = case
    monkeypatch.setattr(qdq._Writer, "_grouped_weight", float_weights)
    faulty, feeds = serialized(plan), validation.inputs.pick([11])
    step = plan.tensors["y"].scale
    plain = outputs(faulty, feeds, "ORT_DISABLE_ALL")
    assert np.abs(outputs(faulty, feeds, "ORT_ENABLE_ALL") - plain).max() > 100 * step  # the fault is there
    model, facts = ExportCheck(plan, validation, Nearness()).checked(faulty)
    culprit = next(layer.name for layer in plan.layers if layer.node.op == "ConvTranspose")
    assert facts.spelled_out == (culprit,)
    assert facts.images == 12  # a doubt of 8 images is looked at on more of them
    assert all(item.steps <= 1 for item in facts.levels.values())
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        assert np.abs(outputs(model, feeds, level) - plain).max() <= 1.01 * step, level


def test_a_model_written_apart_is_read_as_the_same_integers(case, tmp_path):
    plan, validation = case
    found = []
    for names in ([], ["x", "r", "t"]):
        path = tmp_path / "model.onnx"
        path.write_bytes(qdq.to_qdq(plan, spelled_out=names).SerializeToString())
        found.append(plan_of_quantized(load_onnx(path, optimize=False)))
    plain, apart = found
    assert all(layer.mode == "integer" for layer in apart.layers)
    assert dict(apart.tensors) == dict(plain.tensors)
    assert [layer.name for layer in apart.layers] == [layer.name for layer in plain.layers]
    feeds = validation.inputs.pick(range(12))
    first, second = (compile_plan(item, TargetSection()).run(feeds)["y"] for item in (plan, apart))
    np.testing.assert_array_equal(first, second)


def test_a_model_that_nothing_helps_is_refused_by_the_layers_name(case, monkeypatch):
    plan, validation = case
    monkeypatch.setattr(qdq._Writer, "_grouped_weight", float_weights)
    monkeypatch.setattr(export_check, "to_qdq", lambda plan, **_: qdq.to_qdq(plan))
    model, facts = ExportCheck(plan, validation, Nearness()).checked(serialized(plan))
    assert model is None
    culprit = next(layer.name for layer in plan.layers if layer.node.op == "ConvTranspose")
    assert facts.refused.startswith(f"{culprit}: ONNX Runtime's graph optimization 'all' changes what")
    assert "integers, the score from 0.9" in facts.refused


def test_other_integers_without_another_score_are_told_only(case, monkeypatch):
    plan, validation = case
    monkeypatch.setattr(qdq._Writer, "_grouped_weight", float_weights)
    model, facts = ExportCheck(plan, validation, Unmoved()).checked(serialized(plan))
    assert model == serialized(plan)
    assert facts.levels["all"].steps > 100
    assert facts.to_json()["levels"]["all"]["largest_difference"] == facts.levels["all"].steps


def test_a_model_that_does_not_run_is_refused(case):
    plan, validation = case
    model, facts = ExportCheck(plan, validation, Nearness()).checked(b"no model")
    assert model is None
    assert facts.refused.startswith("ONNX Runtime cannot run the exported model: ")


def test_without_images_it_says_why(case):
    plan, validation = case
    none = Validation((), validation.inputs, validation.reference, ("y",), 4)
    model, facts = ExportCheck(plan, none, Nearness()).checked(b"unread")
    assert (model, facts) == (b"unread", ExportFacts(skipped="there is no validation image"))


@pytest.mark.parametrize(
    ("plain", "level", "bad"),
    [
        (LevelFacts(0.9, 0), LevelFacts(0.8, 2), True),
        (LevelFacts(0.9, 0), LevelFacts(0.8, 1), False),
        (LevelFacts(0.9, 0), LevelFacts(0.8905, 99), False),
        (LevelFacts(0.9, 0), LevelFacts(0.8, None), True),
        (LevelFacts(0.9, 0), LevelFacts(None, 99), False),
        (LevelFacts(None, 0), LevelFacts(0.8, 99), False),
        (LevelFacts(0.9, 0), LevelFacts(None, None, "no kernel"), True),
    ],
)
def test_a_level_is_bad_where_both_fall(plain, level, bad):
    assert level.bad(plain) is bad
