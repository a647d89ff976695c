"""What ONNX Runtime runs and other tools write seldom: read right, or refused with the reason that it is."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError, UnsupportedError
from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps
from slimai.runtime.session import FloatSession

RNG = np.random.default_rng(8)
W, B = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32), RNG.normal(size=4).astype(np.float32)


def write(path, nodes, constants=(), shape=(1, 3, 8, 8), domains=(("", 17), ("com.microsoft", 1)), sparse=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    graph.sparse_initializer.extend(sparse)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*item) for item in domains], ir_version=8)
    onnx.save(model, path)
    return path


def agrees(path, graph, shape=(1, 3, 8, 8)):
    """Oracle: ONNX Runtime on the file; tolerance 1e-5 of the largest value."""
    feed = {"x": RNG.normal(size=shape).astype(np.float32)}
    truth, found = FloatSession(path.read_bytes(), optimize=False).run(feed)["y"], FloatSession(graph).run(feed)["y"]
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-5 * np.abs(truth).max())


@pytest.mark.parametrize(
    ("activation", "params"),
    [
        *(("", ()), ("Relu", ()), ("Tanh", ()), ("Sigmoid", ()), ("LeakyRelu", (0.2,))),
        *(("Clip", (-0.5, 1.0)), ("HardSigmoid", (0.3, 0.4))),
    ],
)
@pytest.mark.parametrize("added", [False, True])
def test_fused_conv_is_a_conv(tmp_path, activation, params, added):
    attrs = {"activation": activation} if activation else {}
    attrs |= {"activation_params": params} if params else {}
    inputs = ["x", "w", "b", "z"] if added else ["x", "w", "b"]
    node = helper.make_node("FusedConv", inputs, ["y"], domain="com.microsoft", pads=[1] * 4, **attrs)
    constants = [("w", W), ("b", B), *([("z", RNG.normal(size=(1, 4, 8, 8)).astype(np.float32))] if added else [])]
    path = write(tmp_path / "m.onnx", [node], constants)
    graph = load_onnx(path)
    agrees(path, graph)
    assert not any(step.host for step in layer_steps(graph))


def test_operators_of_other_domains_run_on_the_host_with_measured_shapes(tmp_path):
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft"),
        helper.make_node("Conv", ["g", "w"], ["c"]),
        helper.make_node("QuickGelu", ["c"], ["y"], domain="com.microsoft"),
    ]
    path = write(tmp_path / "m.onnx", nodes, [("w", W)])
    graph = load_onnx(path)
    agrees(path, graph)
    assert [step.node.op for step in layer_steps(graph) if step.host] == ["Gelu", "QuickGelu"]


@pytest.mark.parametrize("rows", [False, True])
def test_sparse_weights_are_weights(tmp_path, rows):
    """Indices count elements, or are one row an element."""
    places = np.array([0, 5, 26, 27, 60, 107], np.int64)
    values = numpy_helper.from_array(RNG.normal(size=6).astype(np.float32), "w")
    indices = np.stack(np.unravel_index(places, W.shape), axis=1).astype(np.int64) if rows else places
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "i"), W.shape)
    path = write(tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], sparse=[sparse])
    graph = load_onnx(path)
    dense = np.zeros(W.shape, np.float32)
    dense.reshape(-1)[places] = numpy_helper.to_array(values)
    twin = write(tmp_path / "twin.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [("w", dense)])
    agrees(twin, graph)


def test_default_domain_by_its_long_name(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")
    path = write(tmp_path / "m.onnx", [node], domains=[("ai.onnx", 17)])
    agrees(path, load_onnx(path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(tmp_path, value):
    wrong = W.copy()
    wrong[0, 0, 0, :2] = value
    path = write(tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [("w", wrong)])
    with pytest.raises(InputError) as caught:
        load_onnx(path)
    assert str(caught.value) == (
        f"{path}: w: 2 of 108 values of this constant of 'y' are no numbers (got {value}); "
        "train or export the model again"
    )


def test_masks_of_minus_infinity_are_taken(tmp_path):
    mask = np.where(np.eye(8, dtype=bool), 0, -np.inf).astype(np.float32)
    nodes = [helper.make_node("Add", ["x", "m"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [("m", mask)])
    agrees(path, load_onnx(path))


def test_pictures_of_a_fixed_batch_run_alone(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [("w", W), ("b", B)], shape=(4, 3, 8, 8))
    graph = load_onnx(path, pictures={"x"})
    assert graph.shape("x") == (1, 3, 8, 8)
    x = RNG.normal(size=(4, 3, 8, 8)).astype(np.float32)
    truth = FloatSession(path.read_bytes(), optimize=False).run({"x": x})["y"]
    np.testing.assert_allclose(FloatSession(graph).run({"x": x[2:3]})["y"], truth[2:3], rtol=0, atol=1e-5)
    assert load_onnx(path).shape("x") == (4, 3, 8, 8)


def test_a_fixed_batch_that_operators_depend_on_is_refused(tmp_path):
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [("s", np.array([4, -1]))], shape=(4, 3, 8, 8))
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(path, pictures={"x"})
    assert "x: this input's batch is fixed to 4, and one picture cannot be run alone: Reshape" in str(caught.value)
    assert "export the model with a batch of 1" in str(caught.value)


def test_a_first_axis_that_is_no_batch_keeps_its_given_size(tmp_path):
    path = write(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=(6, 3))
    assert load_onnx(path, input_shapes={"x": (6, 3)}, batch_of_one=True).shape("x") == (6, 3)
    path = write(tmp_path / "n.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=("N", 3))
    assert load_onnx(path, input_shapes={"x": (6, 3)}, batch_of_one=True).shape("x") == (1, 3)
    path = write(tmp_path / "v.onnx", [helper.make_node("Relu", ["x"], ["y"])], shape=("L",))
    assert load_onnx(path, input_shapes={"x": (6,)}, batch_of_one=True).shape("x") == (6,)
