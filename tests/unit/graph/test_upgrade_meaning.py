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


X = {"x": [1, 4, 6, 6]}
NUMBERS = np.random.default_rng(1)


def floats(*shape):
    return NUMBERS.uniform(0.5, 1.5, shape).astype(F32)


def ints(*values):
    return np.array(values, np.int64)


# Of the operators that need more than one input or attributes: constants by position, attributes.
FORMS = {
    "Conv": ({1: floats(4, 2, 3, 3), 2: floats(4)}, {"group": 2, "pads": [1, 0, 0, 1], "strides": [2, 1]}),
    "ConvTranspose": ({1: floats(4, 3, 3, 3)}, {"strides": [2, 2], "output_padding": [1, 0]}),
    "MatMul": ({1: floats(6, 3)}, {}),
    "Transpose": ({}, {"perm": [0, 2, 3, 1]}),
    "Concat": ({1: floats(1, 4, 6, 6)}, {"axis": 1}),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), ({1: floats(4, 1, 1)}, {})),
    "PRelu": ({1: floats(4, 1, 1)}, {}),
    "Gemm": ({1: floats(6, 3), 2: floats(3)}, {"alpha": 0.5, "beta": 2.0}),
    "Reshape": ({1: ints(0, -1, 6)}, {}),
    "Gather": ({1: ints(2, 0)}, {"axis": 1}),
    "MaxPool": ({}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "AveragePool": ({}, {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], "count_include_pad": 1}),
    "ReduceMean": ({}, {"axes": [1, 3], "keepdims": 0}),
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), ({}, {"blocksize": 2})),
    "Flatten": ({}, {"axis": 2}),
    "BatchNormalization": ({place: floats(4) for place in (1, 2, 3, 4)}, {"epsilon": 1e-3}),
    "Clip": ({1: F32(-0.5), 2: F32(0.4)}, {}),
    "Pad": ({1: ints(0, 0, 1, 0, 0, 0, 2, 1), 2: F32(0.5)}, {}),
    "Resize": ({1: np.zeros(0, F32), 2: np.array([1, 1, 1.5, 2], F32)}, {"mode": "linear"}),
    "Slice": ({1: ints(1, 0), 2: ints(3, -1), 3: ints(1, 3)}, {}),
}


@pytest.mark.parametrize("op", [op for op in upgrade.UNCHANGED_SINCE if op != "Constant"])
def test_operators_that_need_no_run_mean_the_same_ever_since(op):
    """The same node proto, in every operator set from the noted one to 17."""
    constants, attrs = FORMS.get(op, ({}, {}))
    nodes = [helper.make_node(op, ["x", *(f"c{place}" for place in constants)], ["y"], name="n", **attrs)]
    shape = [5, 6] if op == "Gemm" else X["x"]
    kind = 7 if op == "Shape" else 1
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, shape)], [helper.make_tensor_value_info("y", kind, None)],
        [onnx.numpy_helper.from_array(value, f"c{place}") for place, value in constants.items()],
    )  # fmt: skip
    models = [
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        for opset in range(upgrade.UNCHANGED_SINCE[op], 18)
    ]
    for model in models[:-1]:
        FloatSession(model.SerializeToString(), optimize=False)  # what no runtime opens could not differ
        assert first_difference(model, models[-1]) is None
        assert upgrade._same_nodes(model, models[-1], model.opset_import[0].version)
    lowest = upgrade.UNCHANGED_SINCE[op]
    assert not upgrade._same_nodes(models[0], models[-1], lowest - 1)


def test_every_other_operator_is_run(build, monkeypatch):
    seen = []
    monkeypatch.setattr(upgrade, "first_difference", lambda before, _after: seen.append(len(before.graph.node)))
    load_onnx(build([("Relu", "x", "r", {}), ("Neg", "r", "y", {})], {"x": [1, 3, 4]}, ["y"], opset=9, ir=4))
    assert not seen
    load_onnx(build([("Relu", "x", "r", {}), ("Softmax", "r", "y", {})], {"x": [1, 3, 4]}, ["y"], opset=9, ir=4))
    assert seen == [2]
