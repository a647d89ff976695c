"""ONNX and TFLite networks, as bytes and in their structure."""

from __future__ import annotations

import random
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.tflite.file import read_file
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.quantizer.quantized_file import load_quantized
from tests.property.test_onnx_bytes_property import WHOLE

ROOT = Path(__file__).resolve().parents[2]


@cache
def qdq_model() -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"], "weights", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["e"], "bias"),
        helper.make_node("Conv", ["d", "v", "e"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("QuantizeLinear", ["r", "xs", "xz"], ["s"], "last"),
        helper.make_node("DequantizeLinear", ["s", "xs", "xz"], ["y"], "out"),
    ]
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    constants = {
        "xs": np.array(0.1, np.float32),
        "xz": np.array(0, np.int8),
        "ws": scale,
        "wz": np.zeros(3, np.int8),
        "w": np.ones((3, 2, 3, 3), np.int8),
        "b": np.ones(3, np.int32),
        "bs": np.array(0.01, np.float32),
    }
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 2, 6, 6]), ("y", [1, 3, 6, 6]))
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "qdq", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


ATTRIBUTES = [
    "axis",
    "group",
    "strides",
    "pads",
    "kernel_shape",
    "mode",
    "dilations",
    "axes",
    "to",
    "perm",
    "transB",
    "block_size",
]
OPS = [
    "Conv",
    "Relu",
    "Clip",
    "Add",
    "Mul",
    "Gemm",
    "MatMul",
    "Reshape",
    "Transpose",
    "Softmax",
    "Concat",
    "Identity",
    "Cast",
    "ConvTranspose",
    "MaxPool",
    "Resize",
    "Slice",
    "Pad",
    "Split",
    "LSTM",
    "If",
    "Nope",
    "DequantizeLinear",
]


def changed_model(rng: random.Random, data: bytes) -> bytes:  # noqa: C901 - one case a kind of change
    """Return the model with one to three changes of nodes, attributes, constants, shapes, types or operator sets."""
    model = onnx.load_model_from_string(data)
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(model.graph.node)
        tensor = rng.choice(model.graph.initializer)
        match rng.randrange(9):
            case 0:
                name, value = rng.choice(ATTRIBUTES), rng.choice([-9, -1, 0, 1, 2, 7, 2**31])
                kept = [item for item in node.attribute if item.name != name]
                del node.attribute[:]
                node.attribute.extend(
                    [*kept, helper.make_attribute(name, rng.choice([value, [value] * rng.randint(1, 4)]))]
                )
            case 1:
                node.op_type = rng.choice(OPS)
            case 2 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(
                    ["", "x", "w", "none", tensor.name, node.output[0]]
                )
            case 3:
                shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randint(0, 5))]
                kind = rng.choice([np.float32, np.int8, np.int64, np.float64, np.uint8])
                tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, kind), tensor.name))
            case 4:
                value = numpy_helper.to_array(tensor).copy()
                if value.size and value.dtype.kind == "f":
                    value.flat[0] = rng.choice([0.0, np.nan, np.inf, -1.0, 1e30])
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
            case 5:
                dims = model.graph.input[0].type.tensor_type.shape.dim
                if dims:
                    dims[rng.randrange(len(dims))].dim_value = rng.choice([0, 1, 3, 2**31, -1])
            case 6:
                model.opset_import[0].version = rng.choice([1, 7, 9, 11, 13, 21, 25])
            case 7:
                model.graph.node.insert(rng.randrange(len(model.graph.node)), node)
            case 8:
                model.graph.input[0].type.tensor_type.elem_type = rng.choice([1, 3, 7, 10, 11])
    return model.SerializeToString()


def make_onnx_bytes(rng: random.Random) -> bytes:
    data = bytearray(rng.choice([WHOLE, qdq_model()]))
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data) if rng.random() < 0.8 else bytes(data[: rng.randrange(len(data))])


def parse_onnx(path: Path) -> Any:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError, RuntimeError, TypeError):
        load_onnx(path)  # which has to refuse it
        raise InputError("refused") from None
    if not model.graph.node:
        load_onnx(path)
    return model


def use_onnx(path: Path, _: Any) -> None:
    load_onnx(path)


def use_quantized(path: Path, _: Any) -> None:
    load_quantized(path)


@cache
def tflite_parts() -> tuple[Any, bytes]:
    sys.path.append(str(ROOT / "tests" / "oracle"))
    import tflite_builder
    from small_network import small_network

    return tflite_builder, small_network()


def make_tflite_bytes(rng: random.Random) -> bytes:
    _, whole = tflite_parts()
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(8, len(data))
        if rng.random() < 0.7:
            data[place] ^= 1 << rng.randrange(8)
        else:
            place -= place % 4
            data[place : place + 4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**16, rng.randrange(2**32)]).to_bytes(
                4, "little"
            )
    return bytes(data)


def make_tflite_structure(rng: random.Random) -> bytes:
    builder, _ = tflite_parts()
    scale = rng.choice([0.01, 0.0, np.nan, np.inf, -1.0, 1e30, np.array([0.01, 0.02, 0.03, 0.04], np.float32)])
    outs = rng.choice([4, 4, 4, 3])
    tensors = [
        builder.Tensor(
            "x",
            (1, 4, 4, 4),
            rng.choice(["int8", "int8", "uint8", "float32", "int32"]),
            0.1,
            rng.choice([0, 0, 5, 300]),
        ),
        builder.Tensor(
            "w",
            (4, 1, 1, 4),
            "int8",
            scale,
            rng.choice([0, 0, 0, 3]),
            rng.choice([0, 0, 3, 7, -1]),
            np.ones((4, 1, 1, 4), np.int8),
        ),
        builder.Tensor(
            "b",
            (outs,),
            "int32",
            rng.choice([0.001, 0.0, np.nan, 1.0]),
            rng.choice([0, 0, 5]),
            0,
            np.ones(outs, np.int32),
        ),
        builder.Tensor("c", (1, 4, 4, 4), rng.choice(["int8", "int8", "uint8"]), rng.choice([0.2, 0.0, np.nan]), 0),
        builder.Tensor("s", (2,), "int32", data=np.array([rng.choice([1, -1, 0, 64]), 64], np.int32)),
        builder.Tensor("y", rng.choice([(1, 64), (64,), (1, 0), (2, 2)]), "int8", 0.2, 0),
    ]
    fields = {
        "Padding": rng.choice([0, 1, 2]),
        "StrideH": rng.choice([1, 1, 0, 2, -1]),
        "StrideW": 1,
        "DilationHFactor": rng.choice([1, 1, 0, 9]),
        "DilationWFactor": 1,
        "FusedActivationFunction": rng.choice([0, 1, 3, 5, 9]),
    }
    steps = [
        builder.Step(
            rng.choice(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"]),
            [0, 1, 2],
            [3],
            "Conv2D",
            fields,
            3,
        ),
        builder.Step(
            rng.choice(["RESHAPE", "RESHAPE", "SOFTMAX", "DEQUANTIZE", "LOGISTIC", "MEAN", "CONCATENATION"]),
            rng.choice([[3, 4], [3], [3, 4, 4], [0, 4], [4, 3]]),
            [5],
            "Reshape",
            {"NewShape": [1, 64]},
        ),
    ]
    return builder.build_network(
        tensors, steps, rng.choice([[0], [0], [0, 4], [3]]), rng.choice([[5], [5], [3, 5], [4]])
    )


def parse_tflite(path: Path) -> Any:
    return read_file(path)


def use_tflite(path: Path, _: Any) -> None:
    stored_plan(load_tflite(path), 3)
    load_quantized(path)
