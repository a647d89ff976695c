"""Writing graphs: outputs, batch, operator set, parts."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.save import subgraph, to_onnx
from slimai.runtime.session import FloatSession

F32 = np.float32
rng = np.random.default_rng(23)
X = {"x": [1, 4, 6, 7]}


@pytest.fixture
def network(build):
    nodes = [
        ("Conv", "xwb", "c", {"pads": [1, 1, 1, 1]}),
        ("Sigmoid", "c", "s", {}),
        ("Mul", "cs", "u", {}),
        ("Resize", ["u", "", "", "n"], "r", {"mode": "linear"}),
        ("Slice", ["r", "first", "last", "axes", "steps"], "l", {}),
        ("Reshape", "lt", "y", {}),
    ]
    constants = {
        "w": rng.normal(size=(4, 4, 3, 3)).astype(F32),
        "b": rng.normal(size=4).astype(F32),
        "n": np.array([1, 4, 10, 13]),
        "first": np.array([-1]),
        "last": np.array([-(2**31)]),
        "axes": np.array([1]),
        "steps": np.array([-2]),
        "t": np.array([1, -1]),
    }
    return build(nodes, X, ["y"], constants)


def test_extra_outputs_come_after_the_own_ones(network):
    graph = load_onnx(network)
    model = to_onnx(graph, extra_outputs=["u", "y", "x"])
    assert [item.name for item in model.graph.output] == ["y", "u", "x"]
    found = FloatSession(model.SerializeToString()).run({"x": np.ones((1, 4, 6, 7), F32)})
    assert found["u"].shape == (1, 4, 6, 7)


@pytest.mark.parametrize("batch", [1, 5, "N"])
def test_batch_of_inputs_and_outputs(network, compare, batch):
    graph = load_onnx(network)
    model = to_onnx(graph, batch=batch)
    onnx.checker.check_model(model, full_check=True)
    for item in (*model.graph.input, *model.graph.output):
        first = item.type.tensor_type.shape.dim[0]
        assert (first.dim_param or first.dim_value) == batch
    compare(network, graph, 1e-6)


@pytest.mark.parametrize("opset", [None, 17, 18, 19, 21])
def test_operator_sets_agree(network, opset):
    graph = load_onnx(network)
    x = {"x": rng.normal(size=(3, 4, 6, 7)).astype(F32)}
    model = to_onnx(graph, batch="N", opset=opset)
    assert model.opset_import[0].version == (opset or 17)
    found, wanted = FloatSession(model.SerializeToString()).run(x), FloatSession(graph).run(x)
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=0, atol=1e-6)


def test_opset_that_lacks_an_operator(build):
    graph = load_onnx(build([("HardSwish", "x", "y", {})], X, ["y"]))
    with pytest.raises(InputError, match="network 'small' cannot be written in operator set 12"):
        to_onnx(graph, opset=12)


def test_saved_model_loads_as_the_same_network(network, tmp_path, compare):
    graph = load_onnx(network)
    path = tmp_path / "again.onnx"
    path.write_bytes(to_onnx(graph).SerializeToString())
    again = load_onnx(path, name=graph.name)
    assert [(node.op, node.attrs, node.outputs) for node in again.nodes] == [
        (node.op, node.attrs, node.outputs) for node in graph.nodes
    ]
    compare(network, again, 1e-6)
    assert to_onnx(graph).SerializeToString() == to_onnx(load_onnx(network)).SerializeToString()


def test_fixed_batch_is_refused_with_its_reason(build):
    graph = load_onnx(build([("Transpose", "x", "y", {"perm": [1, 0]})], {"x": [1, 3]}, ["y"]))
    with pytest.raises(InputError) as caught:
        to_onnx(graph, batch="N")
    assert str(caught.value) == (
        "network 'small' runs one image at a time: "
        "Transpose 'transpose0' gives a tensor of the shape (3, 1), without a batch axis of 1"
    )


def test_subgraph_has_the_borders_of_its_nodes(network):
    graph = load_onnx(network)
    assert [node.op for node in graph.nodes] == ["Conv", "SiLU", "Resize", "Slice", "Reshape"]
    part = subgraph(graph, [graph.nodes[2], graph.nodes[3].name], name="host")
    assert (part.name, part.inputs, part.outputs) == ("host", ("u",), ("l",))
    assert set(part.constants) == set()
    x = {"x": rng.normal(size=(2, 4, 6, 7)).astype(F32)}
    whole = FloatSession(graph, outputs=["u", "l"]).run(x)
    found = FloatSession(part).run({"u": whole["u"]})
    np.testing.assert_array_equal(found["l"], whole["l"])


def test_subgraph_gives_what_others_read(build):
    nodes = [("Relu", "x", "a", {}), ("Exp", "a", "b", {}), ("Add", "ab", "y", {})]
    graph = load_onnx(build(nodes, X, ["y"]))
    assert subgraph(graph, graph.nodes[:2]).outputs == ("a", "b")
    assert subgraph(graph, graph.nodes[2:]).inputs == ("a", "b")
