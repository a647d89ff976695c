"""Tensors, constants and nodes may bear any names, those that slimai gives to its own too.

A network is written twice: with plain names, and with names that collide with what passes, lowering, Requantize and
export add. Oracle: the network with plain names; equal bits in float, in integers and exported.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

SUFFIXES = (
    *("__dq", "__q", "__float", "__scale", "__zero_point", "__tied", "__s8_0", "__u8_0", "__s16_0", "_weight"),
    *("_bias", "_scaled", "_slope", "_pads", "_value", "_lo", "_hi", "_shape", "_starts", "_ends", "_axes", "_steps"),
    *("_sigmoid", "_softplus", "_tanh", "_product", "_transpose", "__weight", "__bias", "__operand1", "_scales"),
    *("__dq__q", "_requantize", "_cropped", "__QuantizeLinear", "__q__QuantizeLinear", "_sizes", "_split", "_relu"),
)
STEMS = ("x", "a", "b", "c", "d", "e", "f", "g", "h", "y", "w")
PLACES = ("a", "b", "c", "d", "e", "f", "g", "h", "y", "w", "s", "t", "k")


def network(names, nodes):
    """Return the model; `names` renames tensors and constants, `nodes` names the nodes."""
    rng = np.random.default_rng(4)
    constants = {
        "w": rng.normal(size=(4, 4, 1, 1)), "s": np.abs(rng.normal(size=4)), "t": rng.normal(size=4),
        "k": rng.normal(size=(1, 4, 1, 1)),
    }  # fmt: skip
    shape = {"shape": np.array([1, 36, 4]), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.float32(0.5)}

    def n(name):
        return names.get(name, name)

    steps = [
        ("Conv", ["x", "w"], "a", {}),
        ("BatchNormalization", ["a", "s", "t", "t", "s"], "b", {}),
        ("Sigmoid", ["b"], "c", {}),
        ("Mul", ["b", "c"], "d", {}),
        ("Pad", ["d", "pads", "v"], "e", {}),
        ("Clip", ["e", "v"], "f", {}),
        ("Add", ["f", "k"], "g", {}),
        ("Concat", ["g", "e"], "h", {"axis": 1}),
        ("MaxPool", ["h"], "y", {"kernel_shape": [2, 2]}),
    ]
    protos = [
        helper.make_node(op, [n(item) for item in reads], [n(y)], name=nodes.get(y, f"node_{y}"), **attrs)
        for op, reads, y, attrs in steps
    ]
    values = {**{key: value.astype(np.float32) for key, value in constants.items()}, **shape}
    graph = helper.make_graph(
        protos,
        "g",
        [helper.make_tensor_value_info(n("x"), TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info(n(name), TensorProto.FLOAT, None) for name in ("y", "d")],
        [numpy_helper.from_array(value, n(key)) for key, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("nets") / "net.onnx"


def results(model, path, level):
    """Return what float network, integer network and export compute, in the order of the outputs."""
    onnx.save(model, path)
    graph = load_onnx(path)
    feed = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    feeds = {graph.inputs[0]: feed}
    plan = build_plan(graph, collect(graph, [feeds]), QuantOptions(level=level), TargetSection())
    integers = compile_plan(plan, TargetSection()).run(feeds)
    exported = FloatSession(to_qdq(plan).SerializeToString(), optimize=False).run(feeds)
    found = FloatSession(graph).run(feeds)
    return [item[name] for item in (found, integers, exported) for name in graph.outputs]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    tensors=st.dictionaries(
        st.sampled_from(PLACES), st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES)), max_size=5
    ),
    nodes=st.dictionaries(
        st.sampled_from("abcdefghy"), st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES)), max_size=3
    ),
    level=st.sampled_from([1, 2, 3, 4]),
)
def test_names_change_nothing(path, tensors, nodes, level):
    wanted = {place: f"{stem}{suffix}" for place, (stem, suffix) in tensors.items()}
    names = {place: name for place, name in wanted.items() if list(wanted.values()).count(name) == 1}
    labels = {place: f"{stem}{suffix}" for place, (stem, suffix) in nodes.items()}
    for found, plain in zip(
        results(network(names, labels), path, level), results(network({}, {}), path, level), strict=True
    ):
        np.testing.assert_array_equal(found, plain)
