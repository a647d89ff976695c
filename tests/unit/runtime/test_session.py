from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError, SlimaiError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.runtime.session import FloatSession

F32 = np.float32
rng = np.random.default_rng(31)
WEIGHT = rng.normal(size=(8, 3, 3, 3)).astype(F32)


def model():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), helper.make_node("Relu", ["c"], ["y"], name="r")]
    shape = [("x", ["N", 3, 9, 9]), ("y", None), ("c", None)]
    x, y, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shape)
    graph = helper.make_graph(nodes, "g", [x], [y, c], [numpy_helper.from_array(WEIGHT, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def wanted(x):
    out = np.zeros((len(x), 8, 7, 7))
    for row in range(3):
        for column in range(3):
            patch = x[:, :, row : row + 7, column : column + 7].astype(np.float64)
            out += np.einsum("nchw,oc->nohw", patch, WEIGHT[:, :, row, column].astype(np.float64))
    return out


@pytest.mark.parametrize("threads", [1, 2])
def test_results_for_any_layout_and_type(threads):
    session = FloatSession(model(), threads=threads)
    assert (session.inputs, session.outputs) == (("x",), ("y", "c"))
    x = rng.normal(size=(2, 9, 9, 3)).astype(F32).transpose(0, 3, 1, 2)  # channels last in memory
    found = session.run({"x": x})
    np.testing.assert_allclose(found["c"], wanted(x), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["y"], np.maximum(found["c"], 0))
    np.testing.assert_array_equal(session.run({"x": x.astype(np.float64)})["c"], found["c"])


def test_threads_and_batches_give_the_same_bits():
    x = rng.normal(size=(4, 3, 9, 9)).astype(F32)
    one, two = (FloatSession(model(), threads=threads).run({"x": x})["c"] for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    single = FloatSession(model())
    np.testing.assert_array_equal(np.concatenate([single.run({"x": row[None]})["c"] for row in x]), one)


def test_chosen_outputs_and_inner_tensors():
    assert list(FloatSession(model(), outputs=["c"]).run({"x": np.zeros((1, 3, 9, 9), F32)})) == ["c"]
    tensors = {name: TensorInfo(name, (1, 4)) for name in ("x", "a", "y")}
    nodes = (Node("e", "Exp", ("x",), ("a",)), Node("n", "Neg", ("a",), ("y",)))
    graph = Graph("g", nodes, ("x",), ("y",), tensors, {})
    found = FloatSession(graph, outputs=["a", "x"]).run({"x": np.zeros((2, 4), F32)})
    assert list(found) == ["a", "x"]
    np.testing.assert_array_equal(found["a"], np.ones((2, 4), F32))
    with pytest.raises(InputError, match="network 'g' has no tensor 'q'"):
        FloatSession(graph, outputs=["q"])


def test_messages():
    with pytest.raises(InputError, match=r"the model has no output 'q' \(outputs: y, c\)"):
        FloatSession(model(), outputs=["q"])
    session = FloatSession(model())
    with pytest.raises(InputError, match=r"the model's inputs are x \(got none\)"):
        session.run({})
    with pytest.raises(InputError, match=r"the model's inputs are x \(got x, z\)"):
        session.run({"x": np.zeros(1), "z": np.zeros(1)})
    with pytest.raises(InputError, match=r"ONNX Runtime failed: .*invalid dimensions"):
        session.run({"x": np.zeros((1, 3, 9, 8), F32)})
    with pytest.raises(InputError, match="ONNX Runtime cannot run this model"):
        FloatSession(b"nonsense")


def test_failure_inside_is_a_failed_job():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"], name="r")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    shape = numpy_helper.from_array(np.array([2, 3]), "s")
    graph = helper.make_graph(nodes, "g", [x], [y], [shape])
    data = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(SlimaiError, match="ONNX Runtime failed: ") as caught:
        FloatSession(data.SerializeToString()).run({"x": np.zeros((5, 3), F32)})
    assert caught.value.exit_code == 1


def test_reused_arrays_hold_the_results_of_the_last_run():
    plain, reusing = FloatSession(model()), FloatSession(model(), reuse=True)
    first = reusing.run({"x": rng.normal(size=(2, 3, 9, 9)).astype(F32)})
    for size in (2, 1, 1, 2):  # another batch size in between gets arrays of its own
        x = rng.normal(size=(size, 3, 9, 9)).astype(F32)
        expected, found = plain.run({"x": x}), reusing.run({"x": x})
        assert list(found) == list(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
        if first["y"].shape == found["y"].shape:
            assert first["y"] is found["y"]
            first = {"y": np.zeros(0)}


def test_a_run_into_reused_arrays_still_names_what_is_wrong():
    session = FloatSession(model(), reuse=True)
    session.run({"x": np.zeros((1, 3, 9, 9), F32)})
    with pytest.raises(InputError, match="ONNX Runtime failed"):
        session.run({"x": np.zeros((1, 3, 9), F32)})


@pytest.mark.parametrize("reuse", [False, True])
def test_a_session_does_not_hold_the_model_that_it_was_opened_with(reuse):
    data = model()
    assert isinstance(data, bytes)
    before = sys.getrefcount(data)
    session = FloatSession(data, reuse=reuse)
    assert sys.getrefcount(data) == before
    assert session.run({"x": np.zeros((1, 3, 9, 9), F32)})["y"].size > 0


def test_no_outputs_asked_for_is_no_outputs():
    session = FloatSession(model(), outputs=())
    assert session.run({"x": rng.normal(size=(1, 3, 9, 9)).astype(F32)}) == {}
