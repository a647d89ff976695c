"""States recognized and declared, networks cut at tensors, and the numbers that tables take; all with error texts."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.states import recognized, with_states
from slimai.graph.tokens import token_limits
from slimai.runtime.session import FloatSession
from slimai.schema.network import InputNode


def network(path, inputs, outputs, nodes=None, constants=None, dtype=TensorProto.FLOAT):
    """Write a model; by default every output is the Relu of the input at its place (the last one for more)."""
    names = list(inputs)
    nodes = nodes or [
        helper.make_node("Relu", [names[min(place, len(names) - 1)]], [name]) for place, name in enumerate(outputs)
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


PAIRS = [
    ("h", "hn"),
    ("h0", "hn"),
    ("c", "cn"),
    ("state", "stateN"),
    ("cache_in", "cache_out"),
    ("in_states", "new_states"),
]


@pytest.mark.parametrize(("state", "output"), PAIRS)
def test_a_state_is_recognized_by_its_name(tmp_path, state, output):
    graph = load_onnx(network(tmp_path / "m.onnx", {"x": (1, 4), state: (1, 3)}, {"y": (1, 4), output: (1, 3)}))
    assert recognized(graph) == {state: output}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": (1, 4), "h": (1, 3)}, {"y": (1, 4), "hn": (1, 3, 1)}),  # another shape
        ({"x": (1, 4), "audio_in": (1, 3)}, {"y": (1, 4), "audio_out": (1, 3)}),  # no word for what is held
        ({"x": (1, 4), "input_1": (1, 3)}, {"y": (1, 4), "output_1": (1, 3)}),
        ({"x": (1, 4), "h": (1, 3), "h_in": (1, 3)}, {"y": (1, 4), "hn": (1, 3)}),  # two could be meant
        ({"h": (1, 3)}, {"hn": (1, 3)}),  # nothing would be left for a sample
    ],
)
def test_nothing_is_recognized_that_is_not_sure(tmp_path, inputs, outputs):
    nodes = None
    if "hn" in outputs and len(outputs["hn"]) == 3:
        nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Unsqueeze", ["h", "axis"], ["hn"])]
    graph = load_onnx(network(tmp_path / "m.onnx", inputs, outputs, nodes, {"axis": np.array([2])} if nodes else None))
    assert recognized(graph) == {}


def test_layers_keep_their_numbers(tmp_path):
    inputs = {"x": (1, 4), "h_0": (1, 3), "h_1": (1, 3)}
    graph = load_onnx(network(tmp_path / "m.onnx", inputs, {"y": (1, 4), "h_0_out": (1, 3), "h_1_out": (1, 3)}))
    assert recognized(graph) == {"h_0": "h_0_out", "h_1": "h_1_out"}


def test_declarations(tmp_path):
    path = network(
        tmp_path / "m.onnx", {"x": (1, 4), "a": (1, 3), "h": (1, 3)}, {"y": (1, 4), "b": (1, 3), "hn": (1, 3)}
    )
    graph = load_onnx(path)
    found = with_states(graph, {"x": InputNode(seq=True), "a": InputNode(state="b")})
    assert (found.states, found.sequences) == ({"a": "b", "h": "hn"}, ("x",))
    assert with_states(graph, {"h": InputNode(state=False)}).states == {}
    assert with_states(graph, {"a": InputNode(state="hn")}).states == {"a": "hn"}


def test_wrong_declarations_are_told_at_once(tmp_path):
    inputs = {"x": (1, 4), "a": (1, 3), "b": (1, 3), "c": (1, 3)}
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Relu", ["a"], ["an"])]
    nodes += [helper.make_node("ArgMax", ["b"], ["best"], axis=1), helper.make_node("Relu", ["c"], ["w"])]
    path = network(tmp_path / "m.onnx", inputs, {"y": (1, 4), "an": (1, 3), "w": (1, 3)}, nodes)
    with pytest.raises(InputError) as caught:
        with_states(
            load_onnx(path),
            {
                "x": InputNode(state="an"),
                "a": InputNode(state="annn"),
                "b": InputNode(state="w", seq=True),
                "c": InputNode(state="w"),
            },
        )
    assert [str(item) for item in caught.value.diagnostics] == [
        (
            "network.input_node_name.x.state: the state's shape is [1, 4], its output's [1, 3] (got 'an'); "
            "name the output that holds the same state"
        ),
        (
            "network.input_node_name.a.state: the network has no such output; did you mean 'an'? (got 'annn'); "
            "name an output of the network"
        ),
        (
            "network.input_node_name.b.seq: a state holds one array, at the first step; it is no sequence (got True); "
            "leave seq out, or state"
        ),
        "network.input_node_name.c.state: input b is this output's state already (got 'w'); name another output",
    ]


def test_all_inputs_as_states_are_refused(tmp_path):
    graph = load_onnx(network(tmp_path / "m.onnx", {"a": (1, 3)}, {"b": (1, 3)}))
    with pytest.raises(InputError, match="every input is a state, and nothing is left that a sample could give"):
        with_states(graph, {"a": InputNode(state="b")})


def headed(path):
    """Write conv -> relu -> an operator that nobody knows, and a second input that only it reads."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MyDecoder", ["r", "anchors"], ["raw"], name="decoder", domain="custom"),
        helper.make_node("Relu", ["raw"], ["boxes"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8]),
            helper.make_tensor_value_info("anchors", TensorProto.FLOAT, ["A", 4]),
        ],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return weights


def test_a_network_is_cut_before_custom_post_processing(tmp_path):
    weights = headed(tmp_path / "m.onnx")
    graph = load_onnx(tmp_path / "m.onnx", cut_outputs=["r", "c"])
    assert (graph.inputs, graph.outputs, graph.shape("c")) == (("x",), ("r", "c"), (1, 4, 6, 6))
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    plain = helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], ["c"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(weights, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    truth = FloatSession(plain.SerializeToString()).run({"x": x})["c"]
    found = FloatSession(graph).run({"x": x})
    np.testing.assert_allclose(found["c"], truth, atol=1e-5)
    np.testing.assert_allclose(found["r"], np.maximum(truth, 0), atol=1e-5)


def test_unknown_tensors_to_cut_at(tmp_path):
    headed(tmp_path / "m.onnx")
    with pytest.raises(InputError) as caught:
        load_onnx(tmp_path / "m.onnx", cut_outputs=["rr", "x", "raw"])
    start = f"{tmp_path / 'm.onnx'}: network.cut_outputs: no operator of the model computes this tensor; "
    assert [str(item) for item in caught.value.diagnostics] == [
        f"{start}did you mean 'r'? (got 'rr')",
        f"{start}one of boxes, c, r, raw (got 'x')",
    ]
    with pytest.raises(InputError, match="the type of this tensor cannot be told"):
        load_onnx(tmp_path / "m.onnx", cut_outputs=["r", "raw"])


def test_the_table_behind_moves_limits_tokens(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["ids", "flat"], ["f"], name="flatten"),
        helper.make_node("Cast", ["f"], ["wide"], to=TensorProto.INT64, name="cast"),
        helper.make_node("Gather", ["table", "wide"], ["y"], name="embedding"),
        helper.make_node("Gather", ["small", "f"], ["z"], name="types"),
    ]
    constants = {
        "table": np.zeros((20, 3), np.float32),
        "small": np.zeros((7, 2), np.float32),
        "flat": np.array([6]),
    }
    outputs = {"y": (6, 3), "z": (6, 2)}
    path = network(tmp_path / "m.onnx", {"ids": (2, 3)}, outputs, nodes, constants, TensorProto.INT32)
    graph = load_onnx(path)
    low, high, reader = token_limits(graph)["ids"]
    assert (low, high) == (-7, 6)
    assert "types" in reader
