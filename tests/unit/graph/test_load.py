"""What a model file may be, and the message for each thing that it may not be."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError, UnsupportedError
from slimai.graph.load import load_onnx

F32 = np.float32
RELU = [("Relu", "x", "y", {})]


def refused(path, **kwargs):
    with pytest.raises(InputError) as caught:
        load_onnx(path, **kwargs)
    return str(caught.value).replace(str(path), "FILE")


def test_dynamic_batch_is_one_and_batchable(build, compare):
    path = build(RELU, {"x": ["N", 3, 4]}, ["y"])
    graph = load_onnx(path)
    assert graph.name == "small"
    assert graph.shape("x") == graph.shape("y") == (1, 3, 4)
    assert graph.batchable
    compare(path, graph, 0.0)


def test_other_dynamic_axes_need_a_shape(build):
    path = build(RELU, {"x": ["N", 3, "H", None]}, ["y"])
    assert refused(path) == (
        "FILE: x: axis 2 of this input has no fixed size (got 'H'); "
        "give its shape: network.input_node_name: {x: {shape: [1, 3, SIZE, SIZE]}}\n"
        "FILE: x: axis 3 of this input has no fixed size (got '?'); "
        "give its shape: network.input_node_name: {x: {shape: [1, 3, SIZE, SIZE]}}"
    )
    graph = load_onnx(path, input_shapes={"x": (1, 3, 5, 7)}, name="net")
    assert (graph.shape("y"), graph.name) == ((1, 3, 5, 7), "net")


def test_wrong_overrides(build):
    path = build(RELU, {"x": ["N", 3]}, ["y"])
    assert refused(path, input_shapes={"z": (1, 3)}) == (
        "FILE: network.input_node_name.z.shape: the model has no such input; one of x"
    )
    assert refused(path, input_shapes={"x": (1, 3, 4)}) == (
        "network.input_node_name.x.shape: the model's input has 2 axes ['N', 3] (got [1, 3, 4])"
    )
    assert refused(path, input_shapes={"x": (1, 0)}) == (
        "network.input_node_name.x.shape: every size must be at least 1 (got [1, 0])"
    )


def test_missing_file_and_folder(tmp_path):
    assert refused(tmp_path / "none.onnx") == (
        f"FILE: the model file cannot be read: [Errno 2] No such file or directory: '{'FILE'}'"
    )
    assert refused(tmp_path) == "FILE: this is not a file; name an ONNX file"


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\x08\x07", b"\0" * 64, b"\x08\x08\x12\x04test"])
def test_other_bytes(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert refused(tmp_path / "m.onnx").startswith(("FILE: this is no valid ONNX model", "FILE: this is no ONNX model"))


def test_truncated_file(build):
    path = build([("Gemm", "xw", "y", {})], {"x": [1, 50]}, ["y"], {"w": np.ones((50, 9), F32)})
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        text = refused(path)
        assert text.startswith("FILE: this is no")
        assert "\n" not in text


def test_opset_too_old(build):
    path = build(RELU, {"x": [1, 3]}, ["y"], opset=6, ir=3)
    assert refused(path) == "FILE: opset: operator set 7 or later is needed (got 6); export the model again"


def test_unknown_operator(build):
    path = build([("Frobnicate", "x", "y", {})], {"x": [1, 3]}, ["y"])
    assert "No Op registered for Frobnicate" in refused(path)


def test_other_input_types(build):
    steps = [("Cast", "x", "i", {"to": TensorProto.INT32}), ("Cast", "i", "y", {"to": TensorProto.FLOAT})]
    path = build(steps, {"x": [1, 3]}, ["y"], dtypes={"x": TensorProto.UINT8})
    assert refused(path) == "FILE: x: inputs must be float32, int32 or int64 (got 'uint8'); export the model in float32"
    assert load_onnx(path, optimize=False).tensors["x"].dtype == "uint8"


def test_control_flow(tmp_path):
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "b", [], [value("t")])
    node = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)
    test = helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0)
    cast = helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL)
    graph = helper.make_graph([test, cast, node], "g", [value("x")], [value("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert refused(tmp_path / "m.onnx") == "FILE: choice: If (control flow) is not supported"


def value(name, shape=(1, 3)):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def test_data_dependent_shape_names_the_first_operator(build):
    nodes = [("NonZero", "x", "n", {}), ("Cast", "n", "f", {"to": 1}), ("Relu", "f", "y", {})]
    path = build(nodes, {"x": [1, 3]}, ["y"])
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(path)
    assert str(caught.value).replace(str(path), "FILE") == (
        "FILE: n: the shape of this output of NonZero 'nonzero0' is not fixed; "
        "cut the model before this operator, or give fixed input sizes"
    )


def test_huge_tensor_is_refused_before_it_is_computed(build):
    constants = {"n": np.array([1, 10**6, 10**6]), "k": F32(1)}
    path = build([("Expand", "kn", "e", {}), ("Add", "xe", "y", {})], {"x": [1, 1, 1]}, ["y"], constants)
    assert refused(path) == "FILE: e: a tensor of 2 GB or more is not supported (got [1, 1000000, 1000000])"


def test_numbers_that_overflow_native_code(build):
    scale = {"n": np.array([1, 1, 3e19, 2], dtype=F32)}
    path = build([("Resize", ["x", "", "n"], "y", {})], {"x": [1, 2, 3, 3]}, ["y"], scale)
    assert refused(path).startswith("FILE: resize0: constant 'n' is out of all proportion (got [1.0, 1.0, 3")
    path = build([("Reshape", "xn", "y", {})], {"x": [1, 4]}, ["y"], {"n": np.array([2**40, -1])}, name="b")
    assert refused(path) == (
        "FILE: reshape0: constant 'n' is out of all proportion (got [1099511627776, -1]); export the model again"
    )
    path = build([("MaxPool", "x", "y", {"kernel_shape": [2**40, 1]})], {"x": [1, 2, 3, 3]}, ["y"], name="c")
    assert "maxpool0: attribute 'kernel_shape' is out of all proportion" in refused(path)
    path = build(RELU, {"x": [1, 2**20, 2**20]}, ["y"], name="d")
    assert refused(path).startswith("FILE: x: the input's shape is out of all proportion (got [1, 1048576, 1048576])")
    ends = {"a": np.array([1]), "b": np.array([2**63 - 1])}
    assert load_onnx(build([("Slice", "xab", "y", {})], {"x": [1, 4]}, ["y"], {**ends, "a": np.array([0])}, name="e"))


def test_negative_size_names_the_operator(build):
    nodes = [("MaxPool", "x", "p", {"kernel_shape": [9, 2]}), ("Slice", "pab", "y", {})]
    constants = {"a": np.array([0, 0, 1]), "b": np.array([1, 2, 4])}
    path = build(nodes, {"x": ["N", 2, 6, 6]}, ["y"], constants)
    assert refused(path) == (
        "FILE: maxpool0: MaxPool gives a tensor of negative size (got [1, 2, -2, 5]); "
        "give a larger input shape, or export the model again"
    )


def external(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    weight = numpy_helper.from_array(np.eye(3, dtype=F32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [value("x")], [value("y")], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    proto = onnx.load(folder / "m.onnx", load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def test_external_data(tmp_path):
    graph = load_onnx(external(tmp_path, "w.bin"), optimize=False)
    np.testing.assert_array_equal(graph.constants["w"], np.eye(3))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "link/w.bin"])
def test_external_data_outside_the_folder(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(b"\0" * 64)
    path = external(tmp_path, location)
    (path.parent / "link").symlink_to(tmp_path)
    assert refused(path) == (
        f"FILE: w: external data outside the model's folder is refused (got '{location}'); move the file"
    )


def test_missing_external_data(tmp_path):
    assert refused(external(tmp_path, "none.bin")) == "FILE: w: the external data file is missing (got 'none.bin')"


def test_names_of_unnamed_and_equal_nodes(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Exp", ["a"], ["b"], name="n")]
    nodes.append(helper.make_node("Neg", ["b"], ["y"], name="n"))
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert [node.name for node in load_onnx(path).nodes] == ["a", "n", "n_2"]


def test_local_functions_are_inlined(tmp_path, compare):
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Neg", ["b"], ["c"])]
    function = helper.make_function("own", "Twist", ["a"], ["c"], body, [helper.make_opsetid("", 17)])
    graph = helper.make_graph([helper.make_node("Twist", ["x"], ["y"], domain="own")], "g", [value("x")], [value("y")])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    found = load_onnx(path)
    assert [node.op for node in found.nodes] == ["Relu", "Neg"]
    compare(path, found, 0.0)


def test_loading_twice_gives_the_same_graph(build):
    nodes = [("Conv", "xw", "c", {}), ("Relu", "c", "r", {}), ("Concat", "rr", "y", {"axis": 1})]
    path = build(nodes, {"x": [1, 2, 5, 5]}, ["y"], {"w": np.ones((3, 2, 3, 3), F32)})
    one, two = load_onnx(path), load_onnx(path)
    assert (one.nodes, one.tensors, one.history) == (two.nodes, two.tensors, two.history)
