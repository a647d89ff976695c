"""Shared scales, and Requantize where sharing would cost accuracy or is impossible."""

import numpy as np
import pytest

from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan

W = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)


def branches(net, *, read_elsewhere=False):
    n = net()
    n.conv("x", "a", W)
    n.conv("x", "b", W)
    n.node("Concat", ("a", "b"), "y", (1, 8, 8, 8), axis=1)
    if read_elsewhere:
        n.conv("b", "c", W)
        return n.graph("y", "c")
    return n.graph("y")


def kinds(plan):
    return [layer.kind for layer in plan.layers]


def test_concat_ties_inputs_that_nothing_else_reads(net, stats_of):
    stats = stats_of(x=[-1, 1], a=[-4, 4], b=[-0.8, 0.8], y=[-4, 4])
    plan = build_plan(branches(net), stats, QuantOptions(level=1))
    assert plan.tensors["a"] == plan.tensors["b"] == plan.tensors["y"]
    assert plan.tensors["y"].scale == float(np.float32(4 / 127))
    assert kinds(plan) == ["Conv", "Conv", "Concat"]


def test_concat_requantizes_a_small_input_with_other_readers(net, stats_of):
    stats = stats_of(x=[-1, 1], a=[-4, 4], b=[-0.6, 0.6], y=[-4, 4], c=[-1, 1])
    plan = build_plan(branches(net, read_elsewhere=True), stats, QuantOptions(level=1))
    assert plan.tensors["b"].scale == float(np.float32(np.float64(np.float32(0.6)) / 127))
    added = next(layer for layer in plan.layers if layer.kind == "Requantize")
    assert added.inputs == ("b",)
    assert plan.tensors[added.outputs[0]] == plan.tensors["y"]
    concat = next(layer for layer in plan.layers if layer.kind == "Concat")
    assert concat.inputs == concat.node.inputs == ("a", added.outputs[0])
    note = next(d for d in plan.decisions if d.where == "n_y")
    assert note.what == "Requantize on input b"
    assert note.why == "its other readers would get a grid 6.67 times coarser"
    assert plan.profile_names[added.outputs[0]] == "Requantize_b_0_requantize__1:0"


def test_concat_ties_a_shared_input_of_nearly_the_same_range(net, stats_of):
    stats = stats_of(x=[-1, 1], a=[-4, 4], b=[-3.5, 3.5], y=[-4, 4], c=[-1, 1])
    plan = build_plan(branches(net, read_elsewhere=True), stats, QuantOptions(level=1))
    assert plan.tensors["b"] == plan.tensors["y"]
    assert "Requantize" not in kinds(plan)


def test_a_network_input_keeps_its_range(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.node("Concat", ("x", "a"), "y", (1, 8, 8, 8), axis=1)
    plan = build_plan(n.graph("y"), stats_of(x=[-1, 1], a=[-4, 4], y=[-4, 4]), QuantOptions(level=1, percent=50))
    assert plan.tensors["x"].scale == float(np.float32(1 / 127))
    assert plan.tensors["y"].scale == float(np.float32(2 / 127))
    assert kinds(plan) == ["Conv", "Requantize", "Concat"]
    assert any(d.why == "its scale is fixed" for d in plan.decisions)


@pytest.mark.parametrize("level", range(5))
def test_moves_pass_parameters_on(net, stats_of, level):
    n = net()
    n.conv("x", "a", W)
    n.node("MaxPool", ("a",), "p", (1, 4, 4, 4), kernel_shape=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0))
    n.node("Transpose", ("p",), "t", (1, 4, 4, 4), perm=(0, 2, 3, 1))
    n.node("Reshape", ("t",), "r", (1, 64), shape=(1, 64))
    stats = stats_of(x=[-1, 1], a=[-2, 3], p=[0, 3], t=[0, 3], r=[0, 3])
    plan = build_plan(n.graph("r"), stats, QuantOptions(level=level))
    assert plan.tensors["a"] == plan.tensors["p"] == plan.tensors["t"] == plan.tensors["r"]
    assert kinds(plan) == ["Conv", "MaxPool", "Transpose", "Reshape"]


def test_concat_of_concat_shares_one_scale(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.conv("x", "b", W)
    n.node("Concat", ("a", "b"), "y1", (1, 8, 8, 8), axis=1)
    n.conv("x", "c", W)
    n.node("Concat", ("y1", "c"), "y2", (1, 12, 8, 8), axis=1)
    stats = stats_of(x=[-1, 1], a=[-1, 1], b=[-2, 2], y1=[-2, 2], c=[-5, 5], y2=[-5, 5])
    plan = build_plan(n.graph("y2"), stats, QuantOptions(level=3))
    assert len({plan.tensors[name] for name in ("a", "b", "c", "y1", "y2")}) == 1


def test_level_2_concat_of_signed_and_unsigned(net, stats_of):
    """The u8 branch, read elsewhere, would lose its extra bit: it is requantized instead."""
    n = net()
    n.conv("x", "a", W)
    n.node("Relu", ("a",), "ra")
    n.conv("x", "b", W)
    n.node("Concat", ("ra", "b"), "y", (1, 8, 8, 8), axis=1)
    n.conv("ra", "c", W)
    stats = stats_of(x=[-1, 1], ra=[0, 2], b=[-2, 2], y=[-2, 2], c=[-1, 1])
    plan = build_plan(n.graph("y", "c"), stats, QuantOptions(level=2))
    assert plan.tensors["ra"].dtype.name == "u8"
    assert plan.tensors["y"].dtype.name == "s8"
    assert kinds(plan).count("Requantize") == 1
