"""One small float network an integer operator, as an ONNX file; batch 1, tokens and pictures."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slimai.calibration.collect import collect
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PICTURE, ROW, TOKENS = [1, 4, 6, 6], [1, 6], [1, 6, 6]
_REDUCED = ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2")
_UNARY = ("Elu", "Sigmoid", "Tanh", "HardSwish", "Mish", "Relu")


def _constants(rng):
    def normal(*shape):
        return rng.normal(0, 0.5, shape).astype(np.float32)

    return {
        "w": normal(5, 4, 3, 3), "d": normal(4, 1, 3, 3), "t": normal(4, 5, 2, 2), "b": normal(5),
        "m": normal(6, 6), "c": normal(6), "p": np.abs(normal(4, 1, 1)),
        "stack": normal(1, 6, 6), "k": normal(4, 1, 1), "lo": np.float32(-0.5), "hi": np.float32(0.75),
        "axes": np.array([2, 3]), "starts": np.array([1]), "ends": np.array([5]), "second": np.array([2]),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "shape": np.array([1, 9, 16]), "half": np.array([2, 2]),
        "gain": normal(6), "four": normal(4), "rows": normal(2, 6, 6), "twice": np.array([1, 2, 1, 1]),
        "places": np.array([[0, 3], [0, 1]]),
        "scales": np.array([1, 1, 2, 2], np.float32), "picture": normal(1, 4, 6, 6),
    }  # fmt: skip


# name: (shape of x, nodes as (operator, inputs, outputs, attributes)); the network's outputs are what nobody reads
NETWORKS = {
    "Conv": (PICTURE, [("Conv", "x w b", "y", {"pads": [1, 1, 1, 1]})]),
    "Conv_free": (PICTURE, [("Conv", "x w", "y", {})]),
    "Conv_depthwise": (PICTURE, [("Conv", "x d", "a", {"group": 4}), ("Relu", "a", "y", {})]),
    "ConvTranspose": (PICTURE, [("ConvTranspose", "x t b", "y", {"strides": [2, 2]})]),
    "ConvTranspose_free": (PICTURE, [("ConvTranspose", "x t", "y", {"strides": [2, 2]})]),
    "Gemm": (ROW, [("Gemm", "x m c", "y", {})]),
    "Gemm_free": (ROW, [("Gemm", "x m", "a", {"transB": 1}), ("Relu", "a", "b1", {}), ("Gemm", "b1 m", "y", {})]),
    "MatMul": (ROW, [("MatMul", "x m", "a", {}), ("Relu", "a", "b1", {}), ("MatMul", "b1 m", "y", {})]),
    "MatMul_tokens": (TOKENS, [("MatMul", "x m", "a", {}), ("Add", "a c", "y", {})]),
    "MatMul_stacked": (TOKENS, [("MatMul", "x stack", "y", {})]),
    "MatMul_pair": (TOKENS, [("Relu", "x", "a", {}), ("MatMul", "x a", "y", {})]),
    "Add": (PICTURE, [("Relu", "x", "a", {}), ("Add", "x a", "y", {})]),
    "Sub": (PICTURE, [("Sub", "x picture", "y", {})]),
    "Mul": (PICTURE, [("Mul", "x k", "y", {})]),
    "AveragePool": (PICTURE, [("AveragePool", "x", "y", {"kernel_shape": [2, 2]})]),
    "GlobalAveragePool": (PICTURE, [("GlobalAveragePool", "x", "y", {})]),
    "ReduceMean": (PICTURE, [("ReduceMean", "x", "y", {"axes": [2, 3], "keepdims": 0})]),
    **{op: (PICTURE, [(op, "x axes", "y", {"keepdims": 0})]) for op in _REDUCED},
    "LayerNormalization": (TOKENS, [("LayerNormalization", "x gain c", "y", {})]),
    "InstanceNormalization": (PICTURE, [("InstanceNormalization", "x four four", "y", {})]),
    "Gather": (PICTURE, [("Gather", "x starts", "y", {"axis": 2})]),
    "Tile": (PICTURE, [("Tile", "x twice", "y", {})]),
    "ScatterND": (PICTURE, [("ScatterND", "x places rows", "y", {})]),
    "MaxPool": (PICTURE, [("MaxPool", "x", "y", {"kernel_shape": [2, 2]})]),
    "Clip": (PICTURE, [("Clip", "x lo hi", "y", {})]),
    "LeakyRelu": (PICTURE, [("LeakyRelu", "x", "y", {"alpha": 0.1})]),
    "PRelu": (PICTURE, [("PRelu", "x p", "y", {})]),
    "HardSigmoid": (PICTURE, [("HardSigmoid", "x", "y", {})]),
    "SiLU": (PICTURE, [("Sigmoid", "x", "a", {}), ("Mul", "x a", "y", {})]),
    "Softmax": (ROW, [("Softmax", "x", "y", {"axis": 1})]),
    "Split": (PICTURE, [("Split", "x half", "y z", {"axis": 1})]),
    "Slice": (PICTURE, [("Slice", "x starts ends second", "y", {})]),
    "Pad": (PICTURE, [("Pad", "x pads", "y", {})]),
    "Reshape": (PICTURE, [("Reshape", "x shape", "y", {})]),
    "Transpose": (PICTURE, [("Transpose", "x", "y", {"perm": [0, 2, 3, 1]})]),
    "Resize": (PICTURE, [("Resize", "x  scales", "y", {"mode": "nearest"})]),
    "DepthToSpace": (PICTURE, [("DepthToSpace", "x", "y", {"blocksize": 2})]),
    "SpaceToDepth": (PICTURE, [("SpaceToDepth", "x", "y", {"blocksize": 2})]),
    "Concat": (PICTURE, [("Relu", "x", "a", {}), ("Concat", "x a", "y", {"axis": 1})]),
    "ArgMax": (PICTURE, [("Relu", "x", "a", {}), ("ArgMax", "a", "y", {"axis": 1})]),
    **{op: (PICTURE, [(op, "x", "y", {})]) for op in _UNARY},
}


def write_network(path, name, opset=18):
    """Write the network called `name` and return its path."""
    shape, nodes = NETWORKS[name]
    constants = _constants(np.random.default_rng(3))
    protos = [
        helper.make_node(op, reads.split(" "), writes.split(" "), name=f"{op}{place}", **_attrs(op, attrs, opset))
        for place, (op, reads, writes, attrs) in enumerate(nodes)
    ]
    if name == "ReduceMean":
        protos[0].input.append("axes")
    read = {item for proto in protos for item in proto.input}
    outputs = [item for proto in protos for item in proto.output if item not in read]
    graph = helper.make_graph(
        protos,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(item, _kind(name), None) for item in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items() if key in read],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def _attrs(op, attrs, opset):
    return {key: value for key, value in attrs.items() if not (op == "ReduceMean" and key == "axes" and opset >= 18)}


def _kind(name):
    return TensorProto.INT64 if name == "ArgMax" else TensorProto.FLOAT


def quantized_program(graph, feeds, level):
    """Return the program of a float network at a level, calibrated on `feeds`, with analytic bias correction."""
    stats = collect(graph, feeds, tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph))
    options = QuantOptions(level=level, bias_correction=level < 4)
    return compile_plan(build_plan(graph, stats, options, TargetSection()), TargetSection())
