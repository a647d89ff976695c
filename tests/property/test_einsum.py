"""Einsum that is a product of matrices becomes one, whatever its letters; other equations stay and run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx


def model(equation, first, second, constant=None):
    """Return the ONNX model of two operands, of which one may be a constant."""
    shapes = {"a": first, "b": second}
    rng = np.random.default_rng(len(equation))
    given_ = [
        numpy_helper.from_array(rng.normal(size=shapes[name]).astype(np.float32), name)
        for name in shapes
        if name == constant
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
        if name != constant
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)
    graph = helper.make_graph([node], "net", inputs, outputs, given_)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def outputs(content, feeds):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def check(folder, made):
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    graph = load_onnx(path)
    rng = np.random.default_rng(1)
    feeds = {name: rng.normal(size=graph.shape(name)).astype(np.float32) for name in graph.inputs}
    expected, found = outputs(path.read_bytes(), feeds), outputs(to_onnx(graph).SerializeToString(), feeds)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)
    return graph


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_product_of_matrices_is_one(tmp_path_factory, data):
    """Relative and absolute tolerance 1e-5 of ONNX Runtime's Einsum."""
    letters = data.draw(st.permutations("abcdefgh"))
    counts = [data.draw(st.integers(0, 2)) for _ in range(4)]
    ends = np.cumsum([0, *counts])
    batch, left, right, summed = ("".join(letters[a:b]) for a, b in pairwise(ends))
    first, second, out = (
        "".join(data.draw(st.permutations(term))) for term in (batch + left + summed, batch + summed + right,
                                                               batch + left + right)
    )  # fmt: skip
    if not first or not second:
        return
    sizes = {letter: data.draw(st.integers(1, 4)) for letter in letters}
    constant = data.draw(st.sampled_from([None, "a", "b"]))
    made = model(
        f"{first},{second}->{out}", [sizes[i] for i in first], [sizes[i] for i in second], constant
    )  # fmt: skip
    graph = check(tmp_path_factory.mktemp("einsum"), made)
    assert not [node for node in graph.nodes if node.op == "Einsum"]


@pytest.mark.parametrize("equation", ["ij,kj->i", "ii,ij->ij", "...i,ij->...j"])
def test_another_equation_stays_and_runs(tmp_path, equation):
    graph = check(tmp_path, model(equation, [3, 3], [3, 3]))
    assert [node.op for node in graph.nodes] == ["Einsum"]


def test_an_attention_keeps_its_batch(tmp_path):
    graph = check(tmp_path, model("bqhd,bkhd->bhqk", [1, 5, 2, 4], [1, 6, 2, 4]))
    assert graph.batchable, graph.batch_note
    assert [node.op for node in graph.nodes].count("MatMul") == 1
