"""Operators of old operator sets mean what they meant; where the converter changes that, the node is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from slimai.errors import UnsupportedError
from slimai.graph import upgrade
from slimai.graph.load import load_onnx
from slimai.graph.same_outputs import first_difference
from slimai.runtime.session import FloatSession

F32 = np.float32
OPERATORS = (
    *("Hardmax", "Softmax", "LogSoftmax", "Upsample", "Pad", "Slice", "Clip", "Squeeze", "Split", "ReduceMean"),
    *("BatchNormalization", "Flatten", "Dropout", "ReduceSum"),
)


@st.composite
def old_nodes(draw):
    """Return (operator, attributes, constants by position, opset) whose meaning changed after operator set 7."""
    op = draw(st.sampled_from(OPERATORS))
    opset = draw(st.integers(7, 12))
    axis = draw(st.sampled_from([0, 1, 2, 3]))
    if op in {"Hardmax", "Softmax", "LogSoftmax", "Flatten"}:
        return op, draw(st.sampled_from([{}, {"axis": axis}])), {}, opset
    if op == "Upsample":
        scales = [1.0, 1.0, 2.0, 3.0]
        mode = draw(st.sampled_from(["nearest", "linear"]))
        opset = min(opset, 9)
        return (op, {"mode": mode}, {1: np.array(scales, F32)}, 9) if opset == 9 else (
            op, {"mode": mode, "scales": scales}, {}, opset)  # fmt: skip
    small = {
        "Pad": {"pads": [0, 0, 1, 0, 0, 0, 2, 1], "value": 0.5},
        "Slice": {"starts": [1, 0], "ends": [3, -1], "axes": [1, 3]},
        "Clip": {"min": -0.5, "max": 0.7},
        "Split": {"axis": 1, "split": [1, 2]},
        "ReduceMean": {"axes": [1, 3], "keepdims": 0},
        "ReduceSum": {"axes": [2], "keepdims": 1},
        "Dropout": {"ratio": 0.3},
        "Squeeze": {"axes": [0]},
    }
    limits = {"Pad": 10, "Slice": 9, "Clip": 10, "Dropout": 11}
    constants = {}
    if op == "BatchNormalization":
        constants = {place: np.linspace(0.5, 1.5, 3, dtype=F32) * place for place in (1, 2, 3, 4)}
    return op, small.get(op, {}), constants, min(opset, limits.get(op, 12))


@settings(max_examples=80, deadline=None)
@given(old_nodes())
def test_old_operators_keep_their_meaning(tmp_path_factory, chosen):
    op, attrs, constants, opset = chosen
    outputs = ["y", "z"] if op == "Split" else ["y"]
    shape = [1, 3, 4, 5]
    node = helper.make_node(op, ["x", *(f"c{place}" for place in constants)], outputs, name="old", **attrs)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, f"c{place}") for place, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)
    path = tmp_path_factory.mktemp("old") / "old.onnx"
    onnx.save(model, path)
    before, after = FloatSession(path.read_bytes(), optimize=False), FloatSession(load_onnx(path))
    feed = {"x": np.random.default_rng(4).normal(0, 1, shape).astype(F32)}
    wanted, found = before.run(feed), after.run(feed)
    for name in outputs:
        assert found[name].shape == wanted[name].shape
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_what_the_converter_changes_is_refused_by_name(build, monkeypatch, opset):
    """As Hardmax was before it had a conversion here: the axes behind `axis` are no longer one."""
    monkeypatch.setattr(upgrade, "_with_flat_hardmax", lambda model, _version: model)
    nodes = [("Relu", "x", "r", {}), ("Hardmax", "r", "h", {"axis": 1}), ("Neg", "h", "y", {})]
    path = build(nodes, {"x": [1, 3, 4]}, ["y"], opset=opset, ir=4)
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(path)
    assert str(caught.value) == (
        f"{path}: hardmax1: operator set {opset} cannot be brought to 17 unchanged: "
        "Hardmax gives other values after it; export the model with operator set 17"
    )


def test_equal_models_and_random_ones_differ_in_nothing(build):
    path = build([("Relu", "x", "y", {})], {"x": [1, 3]}, ["y"])
    other = build([("Neg", "x", "y", {})], {"x": [1, 3]}, ["y"], name="other")
    assert first_difference(onnx.load(path), onnx.load(path)) is None
    assert first_difference(onnx.load(path), onnx.load(other)) == ("relu0", "Relu gives other values after it")
    path = build([("RandomNormalLike", "x", "r", {}), ("Add", "xr", "y", {})], {"x": [1, 3]}, ["y"], name="random")
    assert first_difference(onnx.load(path), onnx.load(path)) is None
