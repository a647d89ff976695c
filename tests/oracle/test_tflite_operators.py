"""Single-operator 8-bit TFLite models, file to integers: 0 bits differ from LiteRT's reference kernels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from stored_networks import differences
from tflite_builder import Tensor, build

SAME, VALID = 0, 1
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
INPUTS = 3


def seeded(key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def grid(rng, dtype, low=-5.0, high=-2.0):
    """Return (scale, zero point): anything that a converter may write."""
    zero = int(rng.integers(-100, 100)) + (128 if dtype == "uint8" else 0)
    return float(np.float32(np.exp(rng.uniform(low, high)))), zero


def activation(name, shape, quant, dtype="int8"):
    return Tensor(name, tuple(shape), dtype, quant[0], quant[1])


def weights(rng, dtype, shape, axis, channels, per_channel=True):
    """Return the stored weights: int8 with one scale a channel, or uint8 with an arbitrary zero point."""
    if dtype == "uint8":
        zero = int(rng.integers(90, 170))
        return Tensor("w", shape, "uint8", 0.01, zero, 0, rng.integers(0, 256, shape).astype(np.uint8))
    scale = np.exp(rng.uniform(-7, -4, channels if per_channel else 1)).astype(np.float32)
    return Tensor("w", shape, "int8", scale, 0, axis, rng.integers(-127, 128, shape).astype(np.int8))


def bias(rng, x, w, channels):
    values = rng.integers(-3000, 3000, channels).astype(np.int32)
    return Tensor("b", (channels,), "int32", np.float32(x[0]) * np.float32(w.scale), 0, 0, values)


def ints(name, values):
    return Tensor(name, np.shape(values), "int32", data=np.array(values, np.int32))


def spread(x, w, terms, dtype):
    """Return the grid of an output whose values are sums of `terms` products."""
    scale = x[0] * float(np.mean(w.scale)) * 74 * 74 * np.sqrt(terms) / 50
    return float(np.float32(scale)), 10 if dtype == "int8" else 120


def window_sizes(size, kernel, stride, dilation, padding):
    span = (kernel - 1) * dilation + 1
    return (-(-size // stride)) if padding == SAME else (size - span) // stride + 1


@dataclass(frozen=True)
class Case:
    """One model: how it is built, by name."""

    name: str
    make: object
    options: dict = field(default_factory=dict)
    dtype: str = "int8"

    def __str__(self):
        return f"{self.name}-{self.dtype}"


def conv(rng, dtype, *, kernel=3, stride=1, dilation=1, padding=SAME, fused=NONE, per_channel=True, groups=1,
         bias_=True, depthwise=0, size=(9, 11)):  # fmt: skip
    channels = 6
    x = grid(rng, dtype)
    if depthwise:
        outputs, shape, axis = channels * depthwise, (1, kernel, kernel, channels * depthwise), 3
        terms = kernel * kernel
    else:
        outputs, shape, axis = 8, (8, kernel, kernel, channels // groups), 0
        terms = kernel * kernel * channels // groups
    if groups > 1:
        outputs, shape = 4 * groups, (4 * groups, kernel, kernel, channels // groups)
    w = weights(rng, dtype, shape, axis, outputs, per_channel)
    y = spread(x, w, terms, dtype)
    out = [window_sizes(n, kernel, stride, dilation, padding) for n in size]
    fields = {"Padding": padding, "StrideH": stride, "StrideW": stride, "DilationHFactor": dilation,
              "DilationWFactor": dilation, "FusedActivationFunction": fused}  # fmt: skip
    if depthwise:
        fields["DepthMultiplier"] = depthwise
    ins = [activation("x", (1, *size, channels), x, dtype), w]
    if bias_:
        ins.append(bias(rng, x, w, outputs))
    operator, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if depthwise else ("CONV_2D", "Conv2D")
    version = 3 if dtype == "int8" else 2
    return build(operator, ins, [activation("y", (1, *out, outputs), y, dtype)], kind, version, **fields)


def dense(rng, dtype, shape=(1, 40), keep=False, fused=NONE, per_channel=False, bias_=True, out=None):
    x = grid(rng, dtype)
    w = weights(rng, dtype, (12, 40), 0, 12, per_channel)
    y = spread(x, w, 40, dtype)
    rows = int(np.prod(shape)) // 40
    ins = [activation("x", shape, x, dtype), w, *([bias(rng, x, w, 12)] if bias_ else [])]
    result = out or ((*shape[:-1], 12) if keep else (rows, 12))
    fields = {"FusedActivationFunction": fused, "KeepNumDims": keep}
    return build("FULLY_CONNECTED", ins, [activation("y", result, y, dtype)], "FullyConnected", 5, **fields)


def transposed(rng, dtype, kernel=3, stride=2, padding=VALID, fused=NONE, bias_=True, out=None):
    size, channels, outputs = (5, 6), 4, 5
    x = grid(rng, dtype)
    w = weights(rng, dtype, (outputs, kernel, kernel, channels), 0, outputs)
    y = spread(x, w, 2 * kernel, dtype)
    out = out or [n * stride if padding == SAME else (n - 1) * stride + kernel for n in size]
    ins = [ints("size", (1, *out, outputs)), w, activation("x", (1, *size, channels), x, dtype)]
    ins += [bias(rng, x, w, outputs)] if bias_ else []
    fields = {"Padding": padding, "StrideH": stride, "StrideW": stride, "FusedActivationFunction": fused}
    result = [activation("y", (1, *out, outputs), y, dtype)]
    return build("TRANSPOSE_CONV", ins, result, "TransposeConv", 4 if fused else 3, **fields)


def pair(rng, dtype, operator="ADD", second=(1, 5, 6, 7), constant=False, fused=NONE, first=(1, 5, 6, 7)):
    a, b = grid(rng, dtype), grid(rng, dtype)
    info = np.iinfo(dtype)
    right = activation("b", second, b, dtype)
    if constant:
        right.data = rng.integers(info.min, info.max + 1, second).astype(dtype)
    scale = a[0] * b[0] * 74 * 60 / 50 if operator == "MUL" else (a[0] + b[0]) * 74 / 60
    if fused == RELU6:
        scale = 6 / 200
    y = (float(np.float32(scale)), -20 if dtype == "int8" else 100)
    shape = np.broadcast_shapes(first, second)
    kind, fields = operator.title(), {"FusedActivationFunction": fused}
    if operator != "MUL":
        fields["PotScaleInt16"] = False
    return build(
        operator, [activation("a", first, a, dtype), right], [activation("y", shape, y, dtype)], kind, **fields
    )


def squared_difference(rng, dtype, first=(1, 5, 6, 7), second=(1, 5, 6, 7), constant=False):
    a, b, info = grid(rng, dtype), grid(rng, dtype), np.iinfo(dtype)
    right = activation("b", second, b, dtype)
    if constant:
        right.data = rng.integers(info.min, info.max + 1, second).astype(dtype)
    y = (float(np.float32((128 * (a[0] + b[0])) ** 2 / 255)), -110)
    shape = np.broadcast_shapes(first, second)
    ins = [activation("a", first, a, dtype), right]
    return build("SQUARED_DIFFERENCE", ins, [activation("y", shape, y, dtype)], "SquaredDifference", 1)


def extreme(rng, dtype, operator, second=(1, 5, 6, 7), constant=False, same=True):
    """TFLite copies the integers whatever the grids say."""
    a = grid(rng, dtype)
    b, y = (a, a) if same else (grid(rng, dtype), grid(rng, dtype))
    info, right = np.iinfo(dtype), activation("b", second, b, dtype)
    if constant:
        right.data = rng.integers(info.min, info.max + 1, second).astype(dtype)
    first = (1, 5, 6, 7)
    ins = [activation("a", first, a, dtype), right]
    return build(operator, ins, [activation("y", first, y, dtype)], "MaximumMinimum")


def pool(rng, dtype, operator="AVERAGE_POOL_2D", kernel=(3, 2), stride=2, padding=SAME, fused=NONE):
    x = grid(rng, dtype, -4, -3)
    out = [window_sizes(n, k, stride, 1, padding) for n, k in zip((9, 8), kernel, strict=True)]
    ins, outs = [activation("x", (1, 9, 8, 6), x, dtype)], [activation("y", (1, *out, 6), x, dtype)]
    fields = {"Padding": padding, "StrideH": stride, "StrideW": stride, "FilterHeight": kernel[0],
              "FilterWidth": kernel[1], "FusedActivationFunction": fused}  # fmt: skip
    return build(operator, ins, outs, "Pool2D", **fields)


def mean(rng, dtype, axes=(1, 2), keep=True, ratio=0.7):
    x = grid(rng, dtype)
    y = (float(np.float32(x[0] * ratio)), x[1] // 2 + 5)
    shape = np.zeros((1, 9, 8, 6)).mean(axis=tuple(axes), keepdims=keep).shape
    ins = [activation("x", (1, 9, 8, 6), x, dtype), ints("axes", axes)]
    return build("MEAN", ins, [activation("y", shape, y, dtype)], "Reducer", KeepDims=keep)


def resize(rng, dtype, operator="RESIZE_BILINEAR", size=(18, 16), align=False, half=False):
    x = grid(rng, dtype)
    kind = "ResizeBilinear" if operator == "RESIZE_BILINEAR" else "ResizeNearestNeighbor"
    ins = [activation("x", (1, 9, 8, 6), x, dtype), ints("size", size)]
    outs = [activation("y", (1, *size, 6), x, dtype)]
    return build(operator, ins, outs, kind, 3, AlignCorners=align, HalfPixelCenters=half)


def unary(rng, dtype, operator, kind="", y=None, shape=(1, 256), **fields):
    x = grid(rng, dtype, -4, -2)
    out = y or (float(np.float32(x[0] * 1.1)), x[1] - 7)
    return build(operator, [activation("x", shape, x, dtype)], [activation("y", shape, out, dtype)], kind, **fields)


def fixed(rng, dtype, operator, kind="", **fields):
    zeros = {"TANH": {"int8": 0, "uint8": 128}}.get(operator, {"int8": -128, "uint8": 0})
    return unary(rng, dtype, operator, kind, (1 / 128 if operator == "TANH" else 1 / 256, zeros[dtype]), **fields)


def domain_of_positives(rng, dtype, operator):
    """TFLite's kernels refuse what is negative: the zero point is the lowest integer."""
    scale = grid(rng, dtype)[0]
    y = {"LOG": (8 / 255, 40), "SQRT": (float(np.float32((256 * scale) ** 0.5 / 250)), -128)}
    y = y.get(operator, (float(np.float32((8 * scale) ** -0.5 / 250)), -128))
    ins = [activation("x", (1, 256), (scale, -128), dtype)]
    return build(operator, ins, [activation("y", (1, 256), y, dtype)])


def prelu(rng, dtype, slope=(1, 1, 6)):
    x = grid(rng, dtype)
    values = rng.integers(-128, 128, slope).astype(np.int8)
    stored = Tensor("slope", slope, "int8", 0.01, 0, 0, values)
    if dtype == "uint8":
        stored = Tensor("slope", slope, "uint8", 0.01, 128, 0, (values.astype(int) + 128).astype(np.uint8))
    y = (float(np.float32(x[0] * 0.9)), x[1])
    return build("PRELU", [activation("x", (1, 4, 5, 6), x, dtype), stored], [activation("y", (1, 4, 5, 6), y, dtype)])


def moved(
    rng, dtype, operator, shape, result, constants=(), kind="", other_grid=False, version=0, order=None, **fields
):
    """One operator that copies integers; other_grid: the file claims another grid for the output."""
    x = grid(rng, dtype)
    y = (x[0] * 2, x[1] // 2) if other_grid else x
    ins = [activation("x", shape, x, dtype), *(ints(f"c{i}", values) for i, values in enumerate(constants))]
    ins = [ins[place] for place in order] if order else ins
    results = result if isinstance(result, list) else [result]
    outs = [activation(f"y{i}", item, y, dtype) for i, item in enumerate(results)]
    return build(operator, ins, outs, kind, version, **fields)


def concat(rng, dtype, axis=3, grids="same", constant=False):
    """grids: one for all, or (uint8 only) one each."""
    x = grid(rng, dtype)
    shapes = [(1, 4, 5, 3), (1, 4, 5, 3), (1, 4, 5, 3)]
    parts = [activation(f"x{i}", s, x if grids == "same" else grid(rng, dtype), dtype) for i, s in enumerate(shapes)]
    if constant:
        parts[1].data = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shapes[1]).astype(dtype)
    result = list(shapes[0])
    result[axis] *= 3
    y = x if grids == "same" else grid(rng, dtype)
    return build("CONCATENATION", parts, [activation("y", result, y, dtype)], "Concatenation", Axis=axis,
                 FusedActivationFunction=NONE)  # fmt: skip


def padv2(rng, dtype):
    x = grid(rng, dtype)
    value = Tensor("v", (1,), dtype, x[0], x[1], data=np.array([17], dtype))
    ins = [activation("x", (1, 4, 5, 3), x, dtype), ints("p", [[0, 0], [1, 2], [3, 0], [0, 1]]), value]
    return build("PADV2", ins, [activation("y", (1, 7, 8, 4), x, dtype)], "PadV2")


def quantize(rng, dtype, to):
    x, y = grid(rng, dtype), grid(rng, to)
    return build("QUANTIZE", [activation("x", (1, 300), x, dtype)], [activation("y", (1, 300), y, to)], "Quantize")


def arg_max(rng, dtype, axis=-1, out="int64"):
    x = grid(rng, dtype)
    shape = tuple(np.delete((1, 6, 5, 9), axis))
    kind = {"int64": 4, "int32": 2}[out]
    ins = [activation("x", (1, 6, 5, 9), x, dtype), ints("axis", axis)]
    return build("ARG_MAX", ins, [Tensor("y", shape, out)], "ArgMax", OutputType=kind)


def batched(rng, dtype, first=(1, 3, 5, 8), second=(1, 3, 8, 4), adjoint=(False, False)):
    a, b = grid(rng, dtype), grid(rng, dtype)
    turned = [shape[:-2] + shape[:-3:-1] if turn else shape
              for shape, turn in zip((first, second), adjoint, strict=True)]  # fmt: skip
    result = np.matmul(np.zeros(turned[0]), np.zeros(turned[1])).shape
    y = (float(np.float32(a[0] * b[0] * 74 * 74 * np.sqrt(first[-1]) / 30)), 10 if dtype == "int8" else 120)
    ins = [activation("a", first, a, dtype), activation("b", second, b, dtype)]
    return build("BATCH_MATMUL", ins, [activation("y", result, y, dtype)], "BatchMatMul", 2, AdjX=adjoint[0],
                 AdjY=adjoint[1], AsymmetricQuantizeInputs=False)  # fmt: skip


SLICED = {"BeginMask": 0, "EndMask": 0, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 0}
S = (1, 6, 8, 12)
CASES = [
    Case("conv", conv),
    Case("conv-1x1", conv, {"kernel": 1}),
    Case("conv-stride-valid", conv, {"stride": 2, "padding": VALID}),
    Case("conv-stride-same-even", conv, {"stride": 2, "size": (10, 12)}),
    Case("conv-dilated", conv, {"dilation": 2}),
    Case("conv-5x5-relu6", conv, {"kernel": 5, "fused": RELU6}),
    Case("conv-relu", conv, {"fused": RELU}),
    Case("conv-relu-n1", conv, {"fused": RELU_N1}),
    Case("conv-per-tensor", conv, {"per_channel": False}),
    Case("conv-grouped", conv, {"groups": 3}),
    Case("depthwise", conv, {"depthwise": 1}),
    Case("depthwise-multiplier", conv, {"depthwise": 2, "stride": 2}),
    Case("depthwise-dilated-relu6", conv, {"depthwise": 1, "dilation": 2, "fused": RELU6}),
    Case("depthwise-5x5-valid", conv, {"depthwise": 1, "kernel": 5, "padding": VALID}),
    Case("depthwise-per-tensor", conv, {"depthwise": 1, "per_channel": False}),
    Case("dense", dense),
    Case("dense-relu", dense, {"fused": RELU}),
    Case("dense-per-channel", dense, {"per_channel": True}),
    Case("dense-no-bias", dense, {"bias_": False}),
    Case("dense-rows", dense, {"shape": (1, 7, 40)}),
    Case("dense-keep-dims", dense, {"shape": (1, 7, 40), "keep": True, "fused": RELU}),
    Case("dense-flattened", dense, {"shape": (1, 2, 5, 8)}),
    Case("dense-folds", dense, {"shape": (1, 120)}),
    Case("transposed", transposed),
    Case("transposed-same", transposed, {"padding": SAME}),
    Case("transposed-stride-1", transposed, {"stride": 1}),
    Case("transposed-kernel-2", transposed, {"kernel": 2}),
    Case("transposed-gaps", transposed, {"kernel": 2, "stride": 3}),
    Case("transposed-same-odd", transposed, {"padding": SAME, "kernel": 4, "out": [9, 11]}),
    Case("transposed-relu", transposed, {"fused": RELU}),
    Case("transposed-no-bias", transposed, {"bias_": False}),
    Case("add", pair),
    Case("add-relu", pair, {"fused": RELU}),
    Case("add-relu6", pair, {"fused": RELU6}),
    Case("add-channels", pair, {"second": (7,), "constant": True}),
    Case("add-broadcast", pair, {"second": (1, 1, 1, 7)}),
    Case("sub", pair, {"operator": "SUB"}),
    Case("sub-constant", pair, {"operator": "SUB", "second": (1, 5, 6, 7), "constant": True}),
    Case("mul", pair, {"operator": "MUL"}),
    Case("mul-gate", pair, {"operator": "MUL", "second": (1, 1, 1, 7)}),
    Case("mul-constant-relu", pair, {"operator": "MUL", "second": (1,), "constant": True, "fused": RELU}),
    *(
        Case(f"{operator.lower()}-{name}", extreme, {"operator": operator, **options})
        for operator in ("MAXIMUM", "MINIMUM")
        for name, options in (
            ("same", {}), ("constant", {"second": (7,), "constant": True}),
            ("grids", {"same": False}), ("gate", {"second": (1, 1, 1, 7)}), ("rows", {"second": (1, 5, 1, 1)}),
        )
    ),
    Case("squared-difference-int8", squared_difference),
    Case("squared-difference-mean-int8", squared_difference, {"second": (1, 1, 1, 7)}),
    Case("squared-difference-rows-int8", squared_difference, {"first": (1, 1, 6, 1)}),
    Case("squared-difference-constant-int8", squared_difference, {"second": (7,), "constant": True}),
    Case("average-pool", pool),
    Case("average-pool-valid-relu", pool, {"padding": VALID, "fused": RELU}),
    Case("average-pool-global", pool, {"kernel": (9, 8), "stride": 1, "padding": VALID}),
    Case("max-pool", pool, {"operator": "MAX_POOL_2D"}),
    Case("max-pool-valid-relu6", pool, {"operator": "MAX_POOL_2D", "padding": VALID, "fused": RELU6}),
    Case("mean", mean),
    Case("mean-drop", mean, {"keep": False}),
    Case("mean-channels", mean, {"axes": (-1,), "keep": False}),
    Case("mean-one-axis", mean, {"axes": (2,), "ratio": 1.0}),
    Case("bilinear", resize),
    Case("bilinear-align", resize, {"align": True, "size": (17, 15)}),
    Case("bilinear-half", resize, {"half": True, "size": (5, 13)}),
    *(
        Case(f"nearest-{'x'.join(map(str, size))}-{place}", resize,
             {"operator": "RESIZE_NEAREST_NEIGHBOR", "size": size, **({place: True} if place != "plain" else {})})
        for size in ((18, 16), (5, 13), (27, 24), (7, 3))
        for place in ("plain", "align", "half")
    ),
    Case("relu", unary, {"operator": "RELU"}),
    Case("relu6", unary, {"operator": "RELU6"}),
    Case("relu-n1", unary, {"operator": "RELU_N1_TO_1"}),
    Case("leaky-relu", unary, {"operator": "LEAKY_RELU", "kind": "LeakyRelu", "Alpha": 0.2}),
    Case("leaky-relu-above-one", unary, {"operator": "LEAKY_RELU", "kind": "LeakyRelu", "Alpha": 1.5}),
    Case("hard-swish", unary, {"operator": "HARD_SWISH", "kind": "HardSwish"}),
    Case("gelu", unary, {"operator": "GELU", "kind": "Gelu", "Approximate": False}),
    Case("gelu-tanh", unary, {"operator": "GELU", "kind": "Gelu", "Approximate": True}),
    Case("exp", unary, {"operator": "EXP"}),
    Case("abs", unary, {"operator": "ABS"}),
    *(Case(name, domain_of_positives, {"operator": name.upper()}) for name in ("log", "sqrt", "rsqrt")),
    Case("prelu", prelu),
    Case("prelu-shared", prelu, {"slope": (1, 1, 1)}),
    Case("logistic", fixed, {"operator": "LOGISTIC"}),
    Case("tanh", fixed, {"operator": "TANH"}),
    Case("softmax", fixed, {"operator": "SOFTMAX", "kind": "Softmax", "shape": (1, 12), "Beta": 1.0}),
    Case("softmax-4d", fixed, {"operator": "SOFTMAX", "kind": "Softmax", "shape": (1, 3, 4, 9), "Beta": 1.0}),
    Case("quantize-int8", quantize, {"to": "int8"}),
    Case("quantize-uint8", quantize, {"to": "uint8"}),
    Case("concat", concat),
    Case("concat-rows", concat, {"axis": 1}),
    Case("concat-constant", concat, {"constant": True}),
    Case("reshape", moved, {"operator": "RESHAPE", "shape": S, "result": (1, 576), "constants": [(1, 576)],
                            "kind": "Reshape"}),
    Case("reshape-other-grid", moved, {"operator": "RESHAPE", "shape": S, "result": (1, 576), "constants": [(1, 576)],
                                       "kind": "Reshape", "other_grid": True}),
    Case("squeeze", moved, {"operator": "SQUEEZE", "shape": (1, 1, 1, 12), "result": (1, 12), "kind": "Squeeze",
                            "SqueezeDims": [1, 2]}),
    Case("expand-dims", moved, {"operator": "EXPAND_DIMS", "shape": (1, 12), "result": (1, 1, 12), "constants": [[1]],
                                "kind": "ExpandDims", "version": 1}),
    Case("transpose", moved, {"operator": "TRANSPOSE", "shape": S, "result": (1, 12, 6, 8), "kind": "Transpose",
                              "constants": [(0, 3, 1, 2)]}),
    Case("slice", moved, {"operator": "SLICE", "shape": S, "result": (1, 3, 8, 5), "kind": "Slice",
                          "constants": [(0, 2, 0, 7), (1, 3, -1, 5)]}),
    Case("strided-slice", moved, {"operator": "STRIDED_SLICE", "shape": S, "result": (1, 3, 4, 12),
                                  "kind": "StridedSlice", "constants": [(0, 1, 7, 0), (1, 6, -9, 12), (1, 2, -2, 1)],
                                  **SLICED}),
    Case("strided-slice-masks", moved, {"operator": "STRIDED_SLICE", "shape": S, "result": (1, 6, 12),
                                        "kind": "StridedSlice", **SLICED, "BeginMask": 2, "EndMask": 2,
                                        "ShrinkAxisMask": 4, "constants": [(0, 5, -2, 0), (1, 5, 99, 12), (1,) * 4]}),
    Case("split", moved, {"operator": "SPLIT", "shape": S, "result": [(1, 6, 8, 4)] * 3, "kind": "Split",
                          "constants": [3], "order": (1, 0), "NumSplits": 3}),
    Case("split-v", moved, {"operator": "SPLIT_V", "shape": S, "result": [(1, 2, 8, 12), (1, 4, 8, 12)],
                            "kind": "SplitV", "constants": [[2, 4], 1], "NumSplits": 2}),
    Case("pad", moved, {"operator": "PAD", "shape": (1, 4, 5, 3), "result": (1, 7, 6, 3), "kind": "Pad",
                        "constants": [[[0, 0], [2, 1], [0, 1], [0, 0]]]}),
    Case("padv2", padv2),
    Case("mirror-pad", moved, {"operator": "MIRROR_PAD", "shape": (1, 4, 5, 3), "result": (1, 7, 6, 3), "Mode": 0,
                               "kind": "MirrorPad", "constants": [[[0, 0], [2, 1], [0, 1], [0, 0]]]}),
    Case("depth-to-space", moved, {"operator": "DEPTH_TO_SPACE", "shape": S, "result": (1, 12, 16, 3),
                                   "kind": "DepthToSpace", "BlockSize": 2}),
    Case("space-to-depth", moved, {"operator": "SPACE_TO_DEPTH", "shape": S, "result": (1, 3, 4, 48),
                                   "kind": "SpaceToDepth", "BlockSize": 2}),
    Case("arg-max", arg_max),
    *(
        Case(f"{name.lower()}-{keep}", moved, {"operator": name, "shape": S, "result": result, "kind": "Reducer",
                                               "constants": [axes], "KeepDims": keep})
        for name in ("REDUCE_MAX", "REDUCE_MIN")
        for keep, axes, result in ((True, (-1,), (1, 6, 8, 1)), (False, (1, 2), (1, 12)))
    ),
    Case("tile", moved, {"operator": "TILE", "shape": (1, 4, 5, 3), "result": (1, 8, 5, 9), "kind": "Tile",
                         "constants": [(1, 2, 1, 3)]}),
    Case("broadcast-to", moved, {"operator": "BROADCAST_TO", "shape": (1, 1, 5, 3), "result": (1, 4, 5, 3),
                                 "kind": "BroadcastTo", "constants": [(1, 4, 5, 3)]}),
    Case("gather", moved, {"operator": "GATHER", "shape": S, "result": (1, 6, 3, 12), "kind": "Gather",
                           "constants": [(7, 0, 0)], "Axis": -2, "BatchDims": 0}),
    Case("batch-matmul-int8", batched),
    Case("batch-matmul-broadcast-int8", batched, {"second": (1, 1, 8, 4)}),
    Case("batch-matmul-adjoint-int8", batched, {"second": (1, 3, 4, 8), "adjoint": (False, True)}),
    Case("arg-max-rows-int32", arg_max, {"axis": 1, "out": "int32"}),
]  # fmt: skip
_NOT_UINT8 = ("exp", "abs", "log", "sqrt", "rsqrt")  # TFLite has no such kernels
_PER_CHANNEL = ("per-tensor", "per-channel", "grouped", "-int8")  # LiteRT has the others in int8 only
UINT8 = [
    Case(case.name, case.make, case.options, "uint8")
    for case in CASES
    if not case.name.endswith(_PER_CHANNEL) and case.name not in _NOT_UINT8
] + [Case("concat-grids", concat, {"grids": "each"}, "uint8")]  # fmt: skip


def test_there_are_enough_int8_models():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [*CASES, *UINT8], ids=str)
def test_no_bit_differs(case):
    model = case.make(seeded(str(case)), case.dtype, **case.options)
    found = differences(model, INPUTS)
    assert found
    assert not any(found.values()), found
