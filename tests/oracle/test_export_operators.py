"""Every integer operator with every accuracy aid, exported: ONNX Runtime against the simulator.

Oracle: ONNX Runtime on the exported QDQ model, its own optimizer off. Tolerance: two steps of the output's grid (the
model rounds once in float32 where the target's arithmetic rounds in integers); indices are equal. Functions of one
16-bit value are read from 513 knots and a line between them: 3e-3 of the largest value.
"""

from __future__ import annotations

import numpy as np
import pytest
from operator_networks import NETWORKS, write_network

from slimai.app.candidates.empirical_bias import corrected_options
from slimai.calibration.collect import channel_extremes, channel_magnitudes, collect
from slimai.graph.load import load_onnx
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.rewrites.absorption import absorb_biases
from slimai.quantizer.rewrites.clustering import cluster_channels
from slimai.quantizer.rewrites.equalization import equalize
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

REWRITES = {
    "equalization": lambda graph, feeds: equalize(graph, channel_magnitudes(graph, feeds)).graph,
    "bias_absorption": lambda graph, feeds: absorb_biases(graph, channel_extremes(graph, feeds)).graph,
    "channel_clustering": lambda graph, feeds: (
        cluster_channels(graph, channel_magnitudes(graph, feeds), everywhere=True).graph
    ),
}
OPTIONS = ("bias_correction", "weight_clipping", "tail_clipping")
AIDS = ("none", *REWRITES, *OPTIONS, "empirical")


def images(graph, count=4):
    """Return feeds whose channels have means of their own, so that there is something to correct."""
    rng = np.random.default_rng(5)
    return [{name: rng.normal(0.4, 1.0, graph.shape(name)).astype(np.float32) for name in graph.inputs}] * count


def quantized(graph, aid, level):
    """Return the plan of the network with one aid on."""
    feeds = images(graph)
    if aid in REWRITES:
        graph = REWRITES[aid](graph, feeds)
    stats = collect(graph, feeds, tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph))
    options = QuantOptions(level=level, **({aid: True} if aid in OPTIONS else {}))
    if aid == "empirical":
        options = corrected_options(graph, stats, options, TargetSection(), feeds)
    return build_plan(graph, stats, options, TargetSection())


@pytest.mark.parametrize("aid", AIDS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("level", [1, 3, 4])
def test_export_agrees_with_the_simulator(tmp_path, name, aid, level):
    graph = load_onnx(write_network(tmp_path / "net.onnx", name))
    plan = quantized(graph, aid, level)
    assert all(layer.mode == "integer" for layer in plan.layers)
    program = compile_plan(plan, TargetSection())
    feed = images(graph)[0]
    ours = program.dequantize(program.run(feed))
    theirs = FloatSession(to_qdq(plan).SerializeToString(), optimize=False).run(feed)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        step = plan.tensors[key].scale if key in plan.tensors else 0.0
        assert ours[key].shape == value.shape
        line = 3e-3 * np.abs(value).max() if level == 4 and reads_lookups(plan) else 0.0
        np.testing.assert_allclose(ours[key], value, rtol=0, atol=max(2.01 * step, line))


def reads_lookups(plan):
    """Return whether a layer is a function of one 16-bit value, which is read from knots and lines between them."""
    return any(TRAITS[layer.node.op].family == "pointwise" for layer in plan.layers if layer.kind != "Requantize")


def test_every_integer_operator_is_here(tmp_path):
    """An operator that gets a kernel gets a network here too."""
    found = {node.op for name in NETWORKS for node in load_onnx(write_network(tmp_path / f"{name}.onnx", name)).nodes}
    kept_float = {op for op, row in TRAITS.items() if row.family == "recurrent"}  # between Q and DQ: tests/net
    of_tflite = {"SquaredDifference"}  # in no float network; its exported form: tests/contract/test_operators.py
    assert {op for op, row in TRAITS.items() if row.integer} - {"Requantize", *kept_float, *of_tflite} <= found
