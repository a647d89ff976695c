"""Models that contradict themselves in ways that the checker lets pass: wrong input with file and node, exit code 2."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.app.cli import main
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.quantizer.quantized_file import load_quantized


def save(path, nodes, constants, *, opset=17, shape=(1, 2, 6, 6), outputs=("y",)):
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values, outs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


CASES = {
    "weight without spatial dimensions": (
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")], {"w": ones(2, 2)}, {}, "conv"),
    "bias of another length": (
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm")], {"w": ones(4, 4), "b": ones(5)},
        {"shape": (1, 4)}, "gemm"),
    "bias of another length behind a convolution": (
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv")], {"w": ones(2, 2, 3, 3), "b": ones(5)}, {}, "conv"),
    "channels of a folded ConvTranspose": (
        [helper.make_node("ConvTranspose", ["c", "w"], ["t"], "up", strides=[2, 2]),
         helper.make_node("Add", ["x", "t"], ["y"], "add")],
        {"c": ones(1, 3, 3, 3), "w": ones(2, 2, 2, 2)}, {}, "up"),
    "types before the upgrade": (
        [helper.make_node("Clip", ["x"], ["a"], "clip", min=0.0, max=6.0),
         helper.make_node("Reshape", ["a", "s"], ["y"], "reshape")], {"s": ones(2)}, {"opset": 9}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "more", "node"), CASES.values(), ids=CASES)
def test_the_message_names_file_and_node(tmp_path, capsys, nodes, constants, more, node):
    path = save(tmp_path / "net.onnx", nodes, constants, **more)
    with pytest.raises(InputError) as caught:
        load_onnx(path)
    assert str(path) in str(caught.value)
    assert node in str(caught.value)
    assert main(["inspect", str(path)]) == 2
    assert "internal error" not in capsys.readouterr().err


def quantized(path, *, axis=None, x_scale=0.1, w_scale=(0.1,), zeros=(0,)):
    more = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"], "weights", **more),
        helper.make_node("Conv", ["d", "v"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "xs", "xz"], ["r"], "last"),
        helper.make_node("DequantizeLinear", ["r", "xs", "xz"], ["y"], "out"),
    ]
    scale = np.float32(w_scale[0]) if len(w_scale) == 1 else np.array(w_scale, np.float32)
    zero = np.int8(zeros[0]) if len(zeros) == 1 else np.array(zeros, np.int8)
    constants = {"xs": np.array(x_scale, np.float32), "xz": np.array(0, np.int8), "ws": np.asarray(scale)}
    return save(path, nodes, {**constants, "wz": np.asarray(zero), "w": ones(3, 2, 1, 1, dtype=np.int8)})


def test_the_sound_one_is_read(tmp_path):
    load_quantized(quantized(tmp_path / "net.onnx"))
    load_quantized(quantized(tmp_path / "net.onnx", axis=0, w_scale=(0.1, 0.2, 0.3), zeros=(0, 0, 0)))


THREE = {"w_scale": (0.1, 0.2, 0.3), "zeros": (0, 0, 0)}
WRONG = {
    "axis out of range": (
        {"axis": 7, **THREE},
        "weights",
        "the axis is not one",
    ),
    "negative axis": ({"axis": -9, **THREE}, "weights", "the axis is not one"),
    "scales for another axis": ({"axis": 1, **THREE}, "weights", "3 scales for"),
    "scale 0": ({"x_scale": 0.0}, "quantize", "finite and above 0"),
    "scale NaN": ({"x_scale": np.nan}, "quantize", "are no numbers (got nan)"),
    "weight scale 0": ({"w_scale": (0.0,)}, "weights", "finite and above 0"),
    "weight scale negative": ({"w_scale": (-0.1,)}, "weights", "finite and above 0"),
    "weight scale infinite": ({"w_scale": (np.inf,)}, "weights", "finite and above 0"),
    "more zero points": ({"zeros": (0, 0, 0)}, "weights", "as many zero points as scales"),
}


@pytest.mark.parametrize(("changes", "node", "message"), WRONG.values(), ids=WRONG)
def test_parameters_that_mean_nothing(tmp_path, changes, node, message):
    path = quantized(tmp_path / "net.onnx", **changes)
    with pytest.raises(InputError) as caught:
        load_quantized(path)
    assert f"'{node}" in str(caught.value) or node in str(caught.value)
    assert message in str(caught.value) or "contradicts itself" in str(caught.value)
