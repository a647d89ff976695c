"""Clip with one upper limit a channel: what is saved, what is recognised again, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.graph.load import load_onnx
from slimai.graph.ops import channel_limits
from slimai.graph.passes import run_pass
from slimai.graph.passes.fuse_channel_clip import FUSE_CHANNEL_CLIP
from slimai.graph.save import to_onnx
from slimai.runtime.session import FloatSession

F32 = np.float32
LIMITS = np.array([0.5, 1.0, 1.5, 2.0], F32)
RELU_MIN = [("Relu", "x", "r", {}), ("Min", "rm", "y", {})]


@pytest.mark.parametrize("shape", [(1, 4, 6, 7), (1, 4, 9), (1, 4)], ids=str)
def test_relu_and_min_become_a_clip_that_is_saved_as_them_again(build, shape):
    """The three networks are the same to the last bit."""
    limits = LIMITS.reshape(4, *(1,) * (len(shape) - 2))
    graph = load_onnx(build(RELU_MIN, {"x": shape}, ["y"], {"m": limits}))
    found, (change,) = run_pass(graph, FUSE_CHANNEL_CLIP)
    (clip,) = found.nodes
    assert (clip.op, channel_limits(clip)) == ("Clip", tuple(LIMITS.tolist()))
    assert change.applied
    x = np.random.default_rng(1).normal(0, 2, (3, *shape[1:])).astype(F32)
    expected = np.minimum(np.maximum(x, 0), limits)
    for opset in (None, 21):
        model = to_onnx(found, batch="N", opset=opset)
        assert [node.op_type for node in model.graph.node] == ["Relu", "Min"]
        assert np.array_equal(FloatSession(model.SerializeToString()).run({"x": x})["y"], expected)


def test_a_relu_that_others_read_stays(build):
    nodes = [*RELU_MIN, ("Exp", "r", "z", {})]
    graph = load_onnx(build(nodes, {"x": (1, 4, 6, 7)}, ["y", "z"], {"m": LIMITS.reshape(4, 1, 1)}))
    found, (change,) = run_pass(graph, FUSE_CHANNEL_CLIP)
    assert found.nodes == graph.nodes
    assert change.reason == "'r' is also read by 'exp2'"


@pytest.mark.parametrize(
    "limits",
    [LIMITS.reshape(1, 1, 4), LIMITS.reshape(4, 1, 1) - F32(0.5), np.ones((2, 4, 1, 1), F32)],
    ids=["another axis", "a limit of 0", "a batch of limits"],
)
def test_other_minima_stay(build, limits):
    graph = load_onnx(build(RELU_MIN, {"x": (1, 4, 4, 4)}, ["y"], {"m": limits}))
    found, changes = run_pass(graph, FUSE_CHANNEL_CLIP)
    assert (found.nodes, changes) == (graph.nodes, ())


def test_float_networks_keep_their_minimum(build):
    """A target may have no clamp a channel: there the Min runs on the host, as ever."""
    graph = load_onnx(build(RELU_MIN, {"x": (1, 4, 4, 4)}, ["y"], {"m": LIMITS.reshape(4, 1, 1)}))
    assert [node.op for node in graph.nodes] == ["Relu", "Min"]
