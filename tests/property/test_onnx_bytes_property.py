"""Damaged ONNX files: a graph or one InputError, never another exception."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError
from slimai.graph.load import load_onnx


def small_model() -> bytes:
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(2, 2, 3, 3)).astype(np.float32),
        "s": np.array([1, -1]),
        "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "n": np.array([1, 1, 2, 2], dtype=np.float32),
        "g": rng.normal(size=(72, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["a"], name="pad"),
        helper.make_node("Conv", ["a", "w"], ["b"], name="conv", group=1),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["c", "", "n"], ["d"], name="resize", mode="nearest"),
        helper.make_node("Slice", ["d", "s2", "e2"], ["e"], name="slice"),
        helper.make_node("Reshape", ["d", "s"], ["f"], name="reshape"),
        helper.make_node("MatMul", ["f", "g"], ["h"], name="matmul"),
        helper.make_node("Softmax", ["h"], ["y"], name="softmax", axis=1),
    ]
    constants |= {"s2": np.array([0, 0, 1]), "e2": np.array([1, 2, 4])}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in IO.items()]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


IO = {"x": ["N", 2, 6, 6], "y": ["N", 3]}
WHOLE = small_model()


def test_the_model_is_valid(tmp_path):
    (tmp_path / "m.onnx").write_bytes(WHOLE)
    assert load_onnx(tmp_path / "m.onnx").shape("y") == (1, 3)


def load(folder, content):
    path = folder / "damaged.onnx"
    path.write_bytes(content)
    with suppress(InputError):
        load_onnx(path)
    with suppress(InputError):
        load_onnx(path, optimize=False)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(tmp_path, changes):
    content = bytearray(WHOLE)
    for place, byte in changes:
        content[place] = byte
    load(tmp_path, bytes(content))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(WHOLE)), length=st.integers(1, 200), inserted=st.binary(max_size=20))
def test_cut_and_inserted_bytes(tmp_path, start, length, inserted):
    load(tmp_path, WHOLE[:start] + inserted + WHOLE[start + length :])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_bytes(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError):
        load_onnx(tmp_path / "m.onnx")


NODE_CHANGES = st.tuples(
    st.integers(0, 7), st.sampled_from(["group", "axis", "strides", "kernel_shape", "pads", "mode"]), st.integers(-3, 9)
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=NODE_CHANGES, listed=st.booleans())
def test_wrong_attributes(tmp_path, change, listed):
    place, name, value = change
    model = onnx.load_model_from_string(WHOLE)
    node = model.graph.node[place]
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, [value, value] if listed else value)])
    load(tmp_path, model.SerializeToString())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 7), position=st.integers(0, 2), name=st.sampled_from(["", "x", "w", "s", "n", "y", "none"]))
def test_wrong_connections(tmp_path, place, position, name):
    model = onnx.load_model_from_string(WHOLE)
    inputs = model.graph.node[place].input
    if position < len(inputs):
        inputs[position] = name
    load(tmp_path, model.SerializeToString())
