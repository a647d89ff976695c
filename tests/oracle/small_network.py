"""A small int8 classifier as a TFLite model: conv, depthwise conv, add, pooling, dense, softmax."""

from __future__ import annotations

import numpy as np
from tflite_builder import Step, Tensor, build_network

GRID = (0.05, -10)


def small_network(float_edges: bool = False, size: int = 8) -> bytes:
    """Return the model; float_edges: it begins with QUANTIZE of float and ends with DEQUANTIZE."""
    rng = np.random.default_rng(5)

    def weight(name, shape, axis):
        scale = rng.uniform(0.004, 0.01, shape[axis]).astype(np.float32)
        return Tensor(name, shape, "int8", scale, 0, axis, rng.integers(-127, 128, shape).astype(np.int8))

    def bias(name, x, w):
        values = rng.integers(-500, 500, w.scale.size).astype(np.int32)
        return Tensor(name, (w.scale.size,), "int32", np.float32(x) * w.scale, 0, 0, values)

    w0, w1 = weight("conv/w", (4, 3, 3, 3), 0), weight("dw/w", (1, 3, 3, 4), 3)
    w2 = Tensor("fc/w", (5, 4), "int8", 0.02, 0, 0, rng.integers(-127, 128, (5, 4)).astype(np.int8))
    b2 = Tensor("fc/b", (5,), "int32", 0.05 * 0.02, 0, 0, rng.integers(-500, 500, 5).astype(np.int32))
    half = size // 2
    tensors = [
        Tensor("image", (1, size, size, 3), "int8", 1 / 255, -128),
        w0, bias("conv/b", 1 / 255, w0),
        Tensor("conv", (1, half, half, 4), "int8", 6 / 255, -128),
        w1, bias("dw/b", 6 / 255, w1),
        Tensor("dw", (1, half, half, 4), "int8", *GRID),
        Tensor("sum", (1, half, half, 4), "int8", *GRID),
        Tensor("pool", (1, 1, 1, 4), "int8", *GRID),
        Tensor("shape", (2,), "int32", data=np.array([-1, 4], np.int32)),
        Tensor("flat", (1, 4), "int8", *GRID),
        w2, b2,
        Tensor("logits", (1, 5), "int8", 0.1, 3),
        Tensor("classes", (1, 5), "int8", 1 / 256, -128),
    ]  # fmt: skip
    conv = {"Padding": 0, "StrideH": 2, "StrideW": 2, "DilationHFactor": 1, "DilationWFactor": 1}
    depthwise = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    whole = {"Padding": 1, "StrideH": 1, "StrideW": 1, "FilterHeight": half, "FilterWidth": half}
    none = {"FusedActivationFunction": 0}
    steps = [
        Step("CONV_2D", [0, 1, 2], [3], "Conv2D", {**conv, "FusedActivationFunction": 3}, 3),
        Step("DEPTHWISE_CONV_2D", [3, 4, 5], [6], "DepthwiseConv2D", {**depthwise, "DepthMultiplier": 1, **none}, 3),
        Step("ADD", [3, 6], [7], "Add", none),
        Step("AVERAGE_POOL_2D", [7], [8], "Pool2D", {**whole, **none}),
        Step("RESHAPE", [8, 9], [10], "Reshape", {"NewShape": [-1, 4]}),
        Step("FULLY_CONNECTED", [10, 11, 12], [13], "FullyConnected", none, 4),
        Step("SOFTMAX", [13], [14], "Softmax", {"Beta": 1.0}),
    ]
    if not float_edges:
        return build_network(tensors, steps, [0], [14])
    tensors += [Tensor("picture", (1, size, size, 3), "float32"), Tensor("probability", (1, 5), "float32")]
    steps = [
        Step("QUANTIZE", [15], [0], "Quantize", {}, 1),
        *steps,
        Step("DEQUANTIZE", [14], [16], "Dequantize", {}, 2),
    ]
    return build_network(tensors, steps, [15], [16])
