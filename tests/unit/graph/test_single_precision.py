"""Networks of half and of double precision, and of byte pictures, against ONNX Runtime on a float32 twin."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import UnsupportedError
from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx

KINDS = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
}


def constant(values, kind, name):
    if kind == TensorProto.BFLOAT16:  # the upper half of a float32
        upper = (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return helper.make_tensor(name, kind, values.shape, upper.tobytes(), raw=True)
    return numpy_helper.from_array(values.astype(KINDS[kind]), name)


def network(kind, seed, *, shaped, through):
    """Return a network of one float type: convolution, constants in nodes, a Cast there and back, a shape by value."""
    rng = np.random.default_rng(seed)
    # whole numbers over 16: exact in every one of the types
    weights = rng.integers(-8, 9, (4, 3, 3, 3)).astype(np.float64) / 16
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Constant", [], ["k"], value=constant(np.array(0.5), kind, "")),
        helper.make_node("Mul", ["c", "k"], ["m"]),
        helper.make_node("Cast", ["m"], ["t"], to=TensorProto.FLOAT if through else kind),
        helper.make_node("Relu", ["t"], ["r"]),
        helper.make_node("Cast", ["r"], ["b"], to=kind),
        helper.make_node("ConstantOfShape", ["s"], ["z"], value=constant(np.array([0.25]), kind, "")),
        helper.make_node("Add", ["b", "z"], ["y"]),
    ]
    shape = [1, 3, 6, 5] if shaped else ["N", 3, 6, 5]
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [constant(weights, kind, "w"), numpy_helper.from_array(np.array([1, 4, 1, 1]), "s")],
        value_info=[helper.make_tensor_value_info("c", kind, [shape[0], 4, 6, 5])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def outputs(model, x):
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@given(
    kind=st.sampled_from([TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE]),
    seed=st.integers(0, 2**32 - 1),
    shaped=st.booleans(),
    through=st.booleans(),
)
def test_it_is_the_network_of_float32(tmp_path_factory, kind, seed, shaped, through):
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    onnx.save(network(kind, seed, shaped=shaped, through=through), path)
    graph = load_onnx(path, input_shapes={} if shaped else {"x": (1, 3, 6, 5)}, batch_of_one=True)
    assert {graph.tensors[name].dtype for name in (*graph.inputs, *graph.outputs)} == {"float32"}
    told = TensorProto.DataType.Name(kind).lower()
    assert f"input 'x' taken as float32, not {told}" in graph.history
    x = np.random.default_rng(seed).normal(size=(1, 3, 6, 5)).astype(np.float32)
    wanted = outputs(network(TensorProto.FLOAT, seed, shaped=shaped, through=through), x)
    np.testing.assert_allclose(outputs(to_onnx(graph), x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def pictures(kind, target, *, also=False):
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=target), helper.make_node("Sqrt", ["f"], ["y"])]
    nodes += [helper.make_node("Cast", ["x"], ["z"], to=TensorProto.INT32)] if also else []
    names = [("y", target)] + ([("z", TensorProto.INT32)] if also else [])
    graph = helper.make_graph(
        nodes,
        "bytes",
        [helper.make_tensor_value_info("x", kind, [1, 3, 4, 4])],
        [helper.make_tensor_value_info(name, type_, None) for name, type_ in names],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT16])
def test_bytes_that_only_a_cast_reads_are_float32(tmp_path, kind):
    path = tmp_path / "bytes.onnx"
    model = pictures(kind, TensorProto.FLOAT)
    onnx.save(model, path)
    graph = load_onnx(path)
    x = np.arange(48).reshape(1, 3, 4, 4)
    wanted = outputs(model, x.astype(helper.tensor_dtype_to_np_dtype(kind)))
    assert [node.op for node in graph.nodes] == ["Sqrt"]
    np.testing.assert_array_equal(outputs(to_onnx(graph), x.astype(np.float32)), wanted)


def test_integers_that_are_computed_with_are_refused(tmp_path):
    path = tmp_path / "bytes.onnx"
    onnx.save(pictures(TensorProto.UINT8, TensorProto.FLOAT, also=True), path)
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(path)
    text = str(caught.value).replace(str(path), "FILE")
    assert text == "FILE: x: inputs must be float32, int32 or int64 (got 'uint8'); export the model in float32"


def test_float64_beyond_float32_is_its_largest_value(tmp_path):
    path = tmp_path / "wide.onnx"
    graph = helper.make_graph(
        [helper.make_node("Max", ["x", "low"], ["y"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [1, 4])],
        [numpy_helper.from_array(np.array(-1e300), "low")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    x = np.array([[-3e38, -1, 0, 2]], np.float32)
    np.testing.assert_array_equal(outputs(to_onnx(load_onnx(path)), x), x)
