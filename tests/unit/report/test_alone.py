"""One tensor rounded, the rest in float. Oracle: ONNX's reference evaluator on networks with one Q and DQ in them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.report.alone import MOST_IMAGES, AloneRounding, images_for


@pytest.fixture(scope="module")
def case(decoded_detector):
    graph = load_onnx(decoded_detector, batch_of_one=True)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=(4, 3, 64, 64)).astype(np.float32)}
    return graph, collect(graph, [feeds]), feeds


def with_one_rounded(graph, name, params):
    """Return the float model in which what reads `name`, and an output of this name, gets rounded values."""
    model = to_onnx(graph)
    model.opset_import[0].version = 19  # the evaluator has no earlier QuantizeLinear
    for node in model.graph.node:
        if name not in graph.inputs:
            node.output[:] = ["exact" if item == name else item for item in node.output]
        else:
            node.input[:] = ["inexact" if item == name else item for item in node.input]
    source, target = (name, "inexact") if name in graph.inputs else ("exact", name)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(params.scale), "own_scale"))
    zero = np.array(params.zero_point, params.dtype.numpy)
    model.graph.initializer.append(numpy_helper.from_array(zero, "own_zero"))
    pair = [
        helper.make_node("QuantizeLinear", [source, "own_scale", "own_zero"], ["own_integers"]),
        helper.make_node("DequantizeLinear", ["own_integers", "own_scale", "own_zero"], [target]),
    ]
    nodes = list(model.graph.node)
    place = 0 if name in graph.inputs else 1 + next(i for i, node in enumerate(nodes) if "exact" in node.output)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], *pair, *nodes[place:]])
    onnx.checker.check_model(model)
    return model


def ratio(wanted, found):
    """Return noise over signal, boxes and scores by themselves, where 16-bit joins are expected: the mean of both."""
    parts = []
    for part in (slice(0, 4), slice(4, 7)):
        real = wanted[:, part].astype(np.float64)
        parts.append(np.square(found[:, part] - real).sum() / np.square(real).sum())
    return sum(parts) / 2


@pytest.mark.parametrize("level", [1, 3])
def test_every_tensor_alone(case, level):
    graph, stats, feeds = case
    plan = build_plan(graph, stats, QuantOptions(level=level))
    rounding, steps = AloneRounding(graph, plan), []
    for half in (slice(0, 2), slice(2, 4)):
        rounding.add({"x": feeds["x"][half]}, lambda: steps.append(1))
    found = rounding.ratios()
    assert len(steps) == 2 * len(rounding.grids)
    pictures = [{"x": picture[None]} for picture in feeds["x"]]
    plain = ReferenceEvaluator(to_onnx(graph))
    wanted = np.concatenate([plain.run(None, one)[0] for one in pictures])
    assert set(found) == {name for name in graph.activations() if name in plan.tensors} - {"join"}
    assert plan.tensors["join"].dtype.bits == 16
    for name in ("x", "stem_relu", "box_relu", "size", "boxes", "pixels", "cls", "cls_flat", "scores"):
        model = ReferenceEvaluator(with_one_rounded(graph, name, plan.tensors[name]))
        made = np.concatenate([model.run(None, one)[0] for one in pictures])
        assert found[name] == pytest.approx(ratio(wanted, made), rel=0.02), name


def test_images_stay_within_the_work(case, monkeypatch):
    graph, stats, _ = case
    plan = build_plan(graph, stats, QuantOptions(level=1))
    assert images_for(graph, plan) == MOST_IMAGES
    monkeypatch.setattr("slimai.report.alone.MOST_MACS", 1)
    assert images_for(graph, plan) == 1
