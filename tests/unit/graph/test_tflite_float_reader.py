"""The reader of float TFLite networks: the graph that it gives, and what it says about files that it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))  # the flatbuffer builder

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_builder import Step, Tensor, build, build_network

from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.tflite.floats.load import onnx_of_tflite
from slimai.graph.tflite.load import is_float_tflite, load_tflite

NONE = {"FusedActivationFunction": 0}
CONV = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def real(name, shape=(1, 4), data=None, signature=()):
    return Tensor(name, shape, "float32", data=data, signature=signature)


def saved(tmp_path, model):
    path = tmp_path / "net.tflite"
    path.write_bytes(model)
    return path


def refusal(path, read=load_onnx, **options):
    with pytest.raises(InputError) as caught:
        read(path, **options)
    return [str(item).removeprefix(f"{path}: ") for item in caught.value.diagnostics]


def two_convolutions():
    w = np.ones((3, 3, 3, 3), np.float32)
    tensors = [
        real("x", (1, 8, 6, 3)), real("w", w.shape, w), real("b", (3,), np.zeros(3, np.float32)),
        real("first", (1, 8, 6, 3)), real("second", (1, 8, 6, 3)), real("y", (1, 144)),
        Tensor("shape", (2,), "int32", data=np.array([1, 144], np.int32)),
    ]  # fmt: skip
    steps = [
        Step("CONV_2D", [0, 1, 2], [3], "Conv2D", {**CONV, "FusedActivationFunction": 3}, 1),
        Step("CONV_2D", [3, 1, 2], [4], "Conv2D", {**CONV, **NONE}, 1),
        Step("RESHAPE", [4, 6], [5], "Reshape", {"NewShape": [1, 144]}),
    ]
    return build_network(tensors, steps, [0], [5])


def test_a_chain_of_convolutions_is_transposed_at_its_ends_only(tmp_path):
    graph = load_onnx(saved(tmp_path, two_convolutions()))
    assert [node.op for node in graph.nodes] == ["Transpose", "Conv", "Clip", "Conv", "Transpose", "Reshape"]
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))
    assert graph.shape("x") == (1, 8, 6, 3)
    assert graph.shape("first") == graph.shape("second") == (1, 3, 8, 6)
    assert graph.batchable


def test_a_network_can_end_earlier(tmp_path):
    path = saved(tmp_path, two_convolutions())
    made = onnx_of_tflite(path, cut_outputs=["first"])
    assert [node.op_type for node in made.graph.node] == ["Transpose", "Conv", "Clip", "Transpose"]
    assert [dim.dim_value for dim in made.graph.output[0].type.tensor_type.shape.dim] == [1, 8, 6, 3]
    assert refusal(path, onnx_of_tflite, cut_outputs=["frist", "w"]) == [
        "network.cut_outputs: no operator of the model computes this tensor; did you mean 'first'? (got 'frist')",
        "network.cut_outputs: no operator of the model computes this tensor; one of first, second, y (got 'w')",
    ]


def test_an_8_bit_network_can_end_before_what_is_not_supported(tmp_path):
    tensors = [Tensor(name, (1, 4), "int8", 0.1, 3) for name in "xay"]
    path = saved(tmp_path, build_network(tensors, [Step("RELU", [0], [1]), Step("SIN", [1], [2], version=1)], [0], [2]))
    assert refusal(path, load_tflite) == ["SIN: operator is not supported: y"]
    assert load_tflite(path, cut_outputs=["a"]).graph.outputs == ("a",)


@pytest.mark.parametrize(("dtype", "read"), [("int8", load_tflite), ("float32", onnx_of_tflite)])
def test_a_custom_operator_is_refused_by_name_and_the_network_can_end_before_it(dtype, read, tmp_path):
    """Both of a kind are one mistake; what is computed before them is named, a constant is not."""
    grid = (0.1, 3) if dtype == "int8" else ()
    tensors = [Tensor(name, (1, 4), dtype, *grid) for name in "xabyz"]
    tensors.append(Tensor("anchors", (1, 4), dtype, *grid, data=np.zeros((1, 4), dtype)))
    steps = [Step("RELU", [0], [1]), Step("RELU6", [1], [2]),
             Step("CUSTOM TFLite_Detection_PostProcess", [1, 2, 5], [3]),
             Step("CUSTOM TFLite_Detection_PostProcess", [2], [4])]  # fmt: skip
    path = saved(tmp_path, build_network(tensors, steps, [0], [3, 4]))
    cure = "end the network before it: network.cut_outputs: [a, b]"
    assert refusal(path, read) == [f"CUSTOM TFLite_Detection_PostProcess: operator is not supported: y, z; {cure}"]
    assert read(path, cut_outputs=["a", "b"])


def test_what_reading_changed_is_told(tmp_path):
    graph = load_onnx(saved(tmp_path, two_convolutions()))
    (told,) = [line for line in graph.history if line.startswith("Transpose between")]
    turned = [node.outputs[0] for node in graph.nodes if node.op == "Transpose"]
    assert told == "Transpose between the file's order of axes and that of ONNX added: " + ", ".join(
        f"'{name}'" for name in turned
    )


def test_kinds_of_networks(tmp_path):
    path = saved(tmp_path, two_convolutions())
    assert is_float_tflite(path)
    assert refusal(path, load_tflite) == [
        (
            "network.model_type: a float network: none of the 3 tensors that it computes is quantized; "
            "set network.model_type: float, or quantize it fully to 8 bit"
        )
    ]
    tensors = [Tensor(name, (1, 4), "int8", 0.1, 3) for name in "xy"]
    path = saved(tmp_path, build_network(tensors, [Step("RELU", [0], [1])], [0], [1]))
    assert not is_float_tflite(path)
    assert refusal(path) == [
        (
            "network.model_type: a quantized network: 2 of the 2 tensors that its operators pass on are integers; "
            "set network.model_type: quantized"
        )
    ]


@pytest.mark.parametrize("reader", [load_onnx, load_tflite])
def test_dynamic_range_is_one_mistake_however_many_layers(tmp_path, reader):
    w = Tensor("w", (4, 4), "int8", 0.01, 0, 0, np.ones((4, 4), np.int8))
    tensors = [real("x"), w, *(real(f"t{i}") for i in range(40))]
    steps = [Step("FULLY_CONNECTED", [i and i + 1, 1], [i + 2], "FullyConnected", NONE, 3) for i in range(40)]
    assert refusal(saved(tmp_path, build_network(tensors, steps, [0], [41])), reader) == [
        (
            "network.model_type: a dynamic-range network: 40 operators multiply float activations by integer weights, "
            "which neither a float nor an integer network does; convert it again without optimizations "
            "(network.model_type: float), or with a representative data set to full 8 bit (quantized)"
        )
    ]


def relu(x, y):
    return build("RELU", [x], [y])


WRONG = {
    "open sizes": (
        relu(real("x", (1, 1, 1, 3), signature=(-1, -1, -1, 3)), real("y", (1, 1, 1, 3))),
        [
            ("x: only the first axis of an input may be open (got [-1, -1, -1, 3]); "
            "convert the model again with fixed sizes")
        ],
    ),
    "control flow": (
        build_network([real(n) for n in "xay"], [Step("RELU", [0], [1]), Step("WHILE", [1], [2], version=1)], [0], [2]),
        ["WHILE: control flow (other subgraphs) is not supported: y"],
    ),
    "half": (
        relu(Tensor("x", (1, 4), "float16"), Tensor("y", (1, 4), "float16")),
        [
            ("a float network holds no float16 tensors: x, y; convert it again in float32, or to full 8 bit with "
            "network.model_type: quantized")
        ],
    ),
    "shape": (relu(real("x"), real("y", (1, 5))), ["RELU 'y': declares the output shape [1, 5], it computes [1, 4]"]),
    "two rules": (
        build_network([real(n) for n in "xab"], [Step("LSTM", [0], [1]), Step("TOPK_V2", [0], [2])], [0], [1]),
        ["LSTM: operator is not supported: a", "TOPK_V2: operator is not supported: b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(tmp_path, name):
    model, expected = WRONG[name]
    assert refusal(saved(tmp_path, model)) == expected


def test_no_tflite_file_and_a_part_of_one(tmp_path):
    model = two_convolutions()
    assert refusal(saved(tmp_path, model[:4] + b"ABCD" + model[8:])) == ["is not a TFLite file (no TFL3 mark)"]
    assert refusal(saved(tmp_path, model[: len(model) // 2]))[0].startswith("is a damaged TFLite file: ")


def test_sizes_are_the_file_s(tmp_path):
    path = saved(tmp_path, two_convolutions())
    assert load_onnx(path, input_shapes={"x": [1, 8, 6, 3]}).shape("x") == (1, 8, 6, 3)
    assert refusal(path, input_shapes={"x": [1, 8, 8, 3]}) == [
        (
            "network.input_node_name.x.shape: a TFLite network keeps its sizes, [1, 8, 6, 3] (got [1, 8, 8, 3]); "
            "convert the model again for these sizes"
        )
    ]


def test_an_open_batch_is_a_batch(tmp_path):
    graph = load_onnx(saved(tmp_path, relu(real("x", signature=(-1, 4)), real("y", signature=(-1, 4)))))
    assert graph.shape("x") == (1, 4)
    assert graph.batchable


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(8, 10_000), st.integers(0, 255)), min_size=1, max_size=4), cut=st.floats(0, 1)
)
def test_damaged_files_end_in_a_message_or_a_network(tmp_path, places, cut):
    data = bytearray(two_convolutions())
    for place, value in places:
        data[8 + place % (len(data) - 8)] = value
    path = saved(tmp_path, bytes(data[: max(8, int(len(data) * cut))] if cut < 0.2 else data))
    try:
        assert load_onnx(path).nodes
    except InputError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told
