"""`slimai inspect` and `slimai simulate`: what they print, write and refuse."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.app.commands import inspect, simulate
from slimai.errors import InputError


def save(path, nodes, constants):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def quantized(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], name="first"),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "ys", "yz"], ["y"]),
    ]
    constants = {
        "xs": np.float32(0.5), "xz": np.uint8(10),
        "w": np.array([[1, 2], [-3, 4], [5, -6]], np.int8).reshape(3, 2, 1, 1),
        "ws": np.float32(0.25), "wz": np.int8(0), "ys": np.float32(0.5), "yz": np.uint8(100),
    }  # fmt: skip
    return save(tmp_path / "quantized.onnx", nodes, constants)


@pytest.fixture
def floating(tmp_path):
    weight = np.ones((3, 2, 1, 1), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="a"), helper.make_node("Atan", ["c"], ["y"], name="b")]
    return save(tmp_path / "float.onnx", nodes, {"w": weight})


def test_simulate_writes_outputs_as_declared_and_their_integers(tmp_path, quantized, capsys):
    x = np.arange(-8, 8, dtype=np.float32).reshape(1, 1, 4, 4).repeat(2, axis=1) / 2
    np.savez(tmp_path / "x.npz", x=x)
    words = [str(quantized), "--inputs", str(tmp_path / "x.npz"), "--outputs", str(tmp_path / "y.npz")]
    assert simulate.main([*words, "--arithmetic", "single", "--integers"]) == 0
    found = np.load(tmp_path / "y.npz")["y__int"]
    # 0.5 * 0.25 / 0.5 = 1/4 of the sum; rows of weights add up to 3, 1, -1; half up.
    expected = [np.floor(np.arange(-8, 8) * total / 4 + 0.5) + 100 for total in (3, 1, -1)]
    assert found.dtype == np.uint8
    assert np.array_equal(found[0].reshape(3, 16), expected)
    real = np.load(tmp_path / "y.npz")["y"]
    assert real.dtype == np.float32  # the model ends with DequantizeLinear: its output is float
    assert np.array_equal(real, (found.astype(np.float32) - 100) / 2)
    out = capsys.readouterr().out
    assert "y: float32 [1, 3, 4, 4]" in out
    assert "y__int: uint8 [1, 3, 4, 4]" in out
    assert "1 integer layers (single)" in out


def test_inspect_shows_kernels_and_host_nodes(floating, capsys):
    assert inspect.main([str(floating)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "kind", "output", "params", "MACs", "runs"]
    assert lines[1].split() == ["Conv_a__1", "Conv", "1x3x4x4", "6", "96", "integer"]
    assert lines[2].endswith("host: Atan has no integer kernel")
    assert lines[4] == "1 on the host: Atan_b__1"
    assert "XIConvolution = Conv" in lines[5]


@pytest.fixture
def padded(tmp_path):
    """A Pad with ones, which is no padding of a Conv."""
    nodes = [
        helper.make_node("Pad", ["x", "pads", "one"], ["p"], name="pad"),
        helper.make_node("Conv", ["p", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "one": np.float32(1), "w": np.ones((3, 2, 3, 3), np.float32),
    }  # fmt: skip
    return save(tmp_path / "padded.onnx", nodes, constants)


def test_inspect_tells_what_a_pass_refused(padded, capsys):
    refused = "fuse_pad: conv: the padding value is 1.0, not 0"
    assert inspect.main([str(padded)]) == 0
    assert f"refused: {refused}" in capsys.readouterr().out.splitlines()
    assert inspect.main([str(padded), "--changes", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["refusals"] == [refused]


def test_inspect_tells_what_a_pass_changed(tmp_path, capsys):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Sigmoid", ["c"], ["s"], name="sig"),
        helper.make_node("Mul", ["c", "s"], ["y"], name="mul"),
    ]
    model = str(save(tmp_path / "silu.onnx", nodes, {"w": np.ones((3, 2, 1, 1), np.float32)}))
    assert inspect.main([model, "--changes"]) == 0
    assert capsys.readouterr().out == "fuse_activation: mul: SiLU spelled with Sigmoid\n"
    assert inspect.main([model]) == 0
    assert "rewrites while loading: 1 (--changes shows them)" in capsys.readouterr().out
    plain = str(save(tmp_path / "plain.onnx", [nodes[0], helper.make_node("Relu", ["c"], ["y"])],
                     {"w": np.ones((3, 2, 1, 1), np.float32)}))  # fmt: skip
    assert inspect.main([plain, "--changes"]) == 0
    assert capsys.readouterr().out == "the network runs as it stands in the file\n"


def test_inspect_reads_quantized_models_as_stored(quantized, capsys):
    assert inspect.main([str(quantized), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    expected = {
        "name": "Conv_first__1", "kind": "Conv", "shape": [1, 3, 4, 4], "parameters": 6, "macs": 96, "runs": "integer",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert row["acc_bits"] == 32  # proofs and memory: tests/cli/test_inspect_run.py


def run_wrong(words):
    with pytest.raises(InputError) as caught:
        simulate.main(words)
    return str(caught.value)


def test_wrong_inputs_are_named(tmp_path, quantized, floating):
    files = {name: str(tmp_path / name) for name in ("x.npz", "y.npz", "text.npz", "none.npz", "net.pb")}
    np.savez(files["x.npz"], x=np.zeros((1, 2, 4, 5), np.float32))
    (tmp_path / "text.npz").write_text("hello")
    end = ["--outputs", files["y.npz"]]
    message = run_wrong([str(quantized), "--inputs", files["x.npz"], *end])
    assert message == "input x: shape is not [N, 2, 4, 4] (got (1, 2, 4, 5))"
    message = run_wrong([str(quantized), "--inputs", files["text.npz"], *end])
    assert (
        message
        == f"{files['text.npz']}: is no .npz file of plain arrays (File is not a zip file); write it with numpy.savez"
    )
    message = run_wrong([str(quantized), "--inputs", files["none.npz"], *end])
    assert message == f"{files['none.npz']}: cannot be read (No such file or directory)"
    message = run_wrong([str(floating), "--inputs", files["x.npz"], *end])
    assert message == f"{floating}: the model is not quantized; quantize it first, or give a QDQ model"
    message = run_wrong([files["net.pb"], "--inputs", files["x.npz"], *end])
    assert message == f"{files['net.pb']}: not a model that can be simulated (got '.pb'); give .onnx or .tflite"
    assert not (tmp_path / "y.npz").exists()


def test_outputs_that_cannot_be_written_are_named(tmp_path, quantized):
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 2, 4, 4), np.float32))
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "y.npz"
    message = run_wrong([str(quantized), "--inputs", str(tmp_path / "x.npz"), "--outputs", str(target)])
    assert message == f"{target}: cannot be written (File exists)"
