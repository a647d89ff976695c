"""`gemmlowp` and `tflite_s64` against LiteRT's reference kernels: every output integer is the same (tolerance 0).

s8 and u8 models run under `gemmlowp` (uint8 kernels are TFLite's own for u8), s16 models under `tflite_s64`.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from plans import Op, one_op, params, program, random_integers
from tflite_builder import Tensor, build, run

from slimai.graph.ir import Node
from slimai.quantizer.params import S8
from slimai.quantizer.plan import QWeight

TYPES = ("s8", "u8", "s16")
_FUSED = {None: 0, "relu": 1, "relu6": 3}
_NUMPY = {"s8": "int8", "u8": "uint8", "s16": "int16"}
_LOWEST = {"s8": -128, "u8": 0, "s16": 0}


def seeded(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def zero_point(rng, dtype):
    return 0 if dtype == "s16" else int(rng.integers(-60, 61)) + (128 if dtype == "u8" else 0)


def random_params(rng, dtype):
    scale = float(np.exp(rng.uniform(-6, -2)))
    return params(dtype, scale / 200 if dtype == "s16" else scale, zero_point(rng, dtype))


def scaled(rng, dtype, spread):
    """Return output parameters for values whose standard deviation is about `spread`."""
    return params(dtype, spread * 2.0 / (32000 if dtype == "s16" else 120), zero_point(rng, dtype))


def described(name, shape, like, data=None):
    return Tensor(name, tuple(shape), _NUMPY[like.dtype.name], like.scale, like.zero_point, data=data)


def folded(fused):
    if fused is None:
        return None
    op, attrs = ("Relu", {}) if fused == "relu" else ("Clip", {"lo": 0.0, "hi": 6.0})
    return Node("act", op, (), (), attrs)


def arithmetic(dtype):
    return "tflite_s64" if dtype == "s16" else "gemmlowp"


def nhwc(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def same(found, expected, least=3):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.count_nonzero(found != expected) == 0
    assert np.unique(expected).size >= least, "the case says nothing: nearly all outputs are equal"


def stored_weight(name, values, scale, dtype, axis):
    """Return the weight tensor: s8, or uint8 with zero point 128 in a uint8 model."""
    if dtype != "u8":
        return Tensor(name, values.shape, "int8", scale, 0, axis, values)
    return Tensor(name, values.shape, "uint8", scale, 128, axis, (values.astype(int) + 128).astype(np.uint8))


def weight_and_bias(rng, dtype, shape, outputs, per_channel):
    values = rng.integers(-127, 128, shape).astype(np.int8)
    scale = np.exp(rng.uniform(-7, -5, outputs if per_channel else 1)).astype(np.float32)
    bias = rng.integers(-3000, 3000, outputs) * (50 if dtype == "s16" else 1)
    return values, scale, bias


def bias_tensor(x, scale, bias, dtype):
    kind = "int64" if dtype == "s16" else "int32"
    return Tensor("b", bias.shape, kind, x.scale * scale, 0, 0, bias.astype(kind))


def paddings(size, kernel, stride, dilation, same_padding):
    """Return (output size, pad before, pad after) along one axis by TFLite's rule."""
    span = (kernel - 1) * dilation + 1
    if not same_padding:
        return (size - span) // stride + 1, 0, 0
    out = -(-size // stride)
    total = max((out - 1) * stride + span - size, 0)
    return out, total // 2, total - total // 2


CONVS = [
    # depthwise, stride, dilation, kernel, SAME padding, fused
    (False, 1, 1, 1, False, None),
    (False, 2, 1, 3, True, "relu"),
    (False, 1, 2, 3, False, "relu6"),
    (False, 2, 1, 5, True, None),
    (True, 1, 1, 3, True, "relu6"),
    (True, 2, 1, 5, True, None),
    (True, 1, 2, 3, False, "relu"),
]


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("case", CONVS, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_conv(dtype, case, per_channel):
    depthwise, stride, dilation, kernel, same_padding, fused = case
    if dtype == "u8" and per_channel:
        pytest.skip("TFLite has no per-channel uint8 weights")
    rng = seeded(dtype, case, per_channel)
    inputs, outputs, size = 6, 6 if depthwise else 8, (11, 13)
    x_params = random_params(rng, dtype)
    shape = (outputs, 1 if depthwise else inputs, kernel, kernel)
    values, scale, bias = weight_and_bias(rng, dtype, shape, outputs, per_channel)
    spread = x_params.scale * float(scale.mean()) * 74 * np.sqrt(values[0].size) * (18000 if dtype == "s16" else 74)
    y_params = params(dtype, 6 / (30000 if dtype == "s16" else 220), zero_point(rng, dtype)) if fused == "relu6" else (
        scaled(rng, dtype, spread)
    )  # fmt: skip
    rows, columns = (paddings(n, kernel, stride, dilation, same_padding) for n in size)
    x = random_integers(rng, x_params, (2, inputs, *size))
    layout = values.transpose(1, 2, 3, 0) if depthwise else values.transpose(0, 2, 3, 1)
    options = {
        "Padding": 0 if same_padding else 1, "StrideH": stride, "StrideW": stride, "DilationHFactor": dilation,
        "DilationWFactor": dilation, "FusedActivationFunction": _FUSED[fused],
    }  # fmt: skip
    if depthwise:
        options["DepthMultiplier"] = 1
    model = build(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        [
            described("x", (2, *size, inputs), x_params),
            stored_weight("w", np.ascontiguousarray(layout), scale, dtype, 3 if depthwise else 0),
            bias_tensor(x_params, scale, bias, dtype),
        ],
        [described("y", (2, rows[0], columns[0], outputs), y_params)],
        "DepthwiseConv2D" if depthwise else "Conv2D",
        **options,
    )
    (expected,) = run(model, [nhwc(x)])
    attrs = {
        "strides": (stride,) * 2, "dilations": (dilation,) * 2, "pads": (rows[1], columns[1], rows[2], columns[2]),
        "group": inputs if depthwise else 1,
    }  # fmt: skip
    op = Op("Conv", ("x",), "y", attrs, QWeight(values, S8, scale.astype(float)), bias, activation=folded(fused))
    plan = one_op(op, {"x": (1, inputs, *size)}, (1, outputs, rows[0], columns[0]), {"x": x_params}, y_params)
    same(nhwc(program(plan, arithmetic(dtype)).run({"x": x})["y"]), expected)


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("dtype", TYPES)
def test_fully_connected(dtype, seed, per_channel):
    if dtype == "u8" and per_channel:
        pytest.skip("TFLite has no per-channel uint8 weights")
    rng = seeded(dtype, seed, per_channel)
    depth, outputs = 40, 12
    x_params = random_params(rng, dtype)
    values, scale, bias = weight_and_bias(rng, dtype, (outputs, depth), outputs, per_channel)
    spread = x_params.scale * float(scale.mean()) * 74 * np.sqrt(depth) * (18000 if dtype == "s16" else 74)
    y_params = scaled(rng, dtype, spread)
    x = random_integers(rng, x_params, (25, depth))
    model = build(
        "FULLY_CONNECTED",
        [
            described("x", x.shape, x_params),
            stored_weight("w", values, scale, dtype, 0),
            bias_tensor(x_params, scale, bias, dtype),
        ],
        [described("y", (25, outputs), y_params)],
        "FullyConnected",
        FusedActivationFunction=0,
    )
    (expected,) = run(model, [x])
    op = Op("Gemm", ("x",), "y", {"transB": 1}, QWeight(values, S8, scale.astype(float)), bias)
    plan = one_op(op, {"x": (1, depth)}, (1, outputs), {"x": x_params}, y_params)
    same(program(plan, arithmetic(dtype)).run({"x": x})["y"], expected)


@pytest.mark.parametrize("geometry", [(3, 2), (2, 2), (4, 3), (3, 1)], ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_transpose_conv(dtype, geometry):
    kernel, stride = geometry
    rng = seeded(dtype, geometry)
    inputs, outputs, size = 4, 5, (5, 6)
    x_params = random_params(rng, dtype)
    values, scale, bias = weight_and_bias(rng, dtype, (inputs, outputs, kernel, kernel), outputs, dtype != "u8")
    y_params = scaled(rng, dtype, x_params.scale * float(scale.mean()) * 148 * (18000 if dtype == "s16" else 74))
    out = tuple((n - 1) * stride + kernel for n in size)
    x = random_integers(rng, x_params, (2, inputs, *size))
    model = build(
        "TRANSPOSE_CONV",
        [
            Tensor("shape", (4,), "int32", data=np.array([2, *out, outputs], np.int32)),
            stored_weight("w", np.ascontiguousarray(values.transpose(1, 2, 3, 0)), scale, dtype, 0),
            described("x", (2, *size, inputs), x_params),
            bias_tensor(x_params, scale, bias, dtype),
        ],
        [described("y", (2, *out, outputs), y_params)],
        "TransposeConv",
        Padding=1,
        StrideH=stride,
        StrideW=stride,
    )
    (expected,) = run(model, [nhwc(x)])
    attrs = {"strides": (stride,) * 2, "pads": (0,) * 4, "dilations": (1, 1), "group": 1, "output_padding": (0, 0)}
    op = Op("ConvTranspose", ("x",), "y", attrs, QWeight(values, S8, scale.astype(float), 1), bias)
    plan = one_op(op, {"x": (1, inputs, *size)}, (1, outputs, *out), {"x": x_params}, y_params)
    same(nhwc(program(plan, arithmetic(dtype)).run({"x": x})["y"]), expected)


@pytest.mark.parametrize("shape", [(2, 5, 6, 7), (1, 1, 1, 7)], ids=str)
@pytest.mark.parametrize("fused", [None, "relu", "relu6"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("dtype", TYPES)
def test_two_operands(dtype, op, fused, shape):
    rng = seeded(dtype, op, fused, shape)
    a_params, b_params = random_params(rng, dtype), random_params(rng, dtype)
    unit = 18000 if dtype == "s16" else 74
    spread = a_params.scale * b_params.scale * unit**2 if op == "Mul" else (a_params.scale + b_params.scale) * unit
    y_params = scaled(rng, dtype, spread)
    a, b = random_integers(rng, a_params, (2, 5, 6, 7)), random_integers(rng, b_params, shape)
    options = {"FusedActivationFunction": _FUSED[fused]}
    if op != "Mul":
        options["PotScaleInt16"] = False
    ins = [described("a", a.shape, a_params), described("b", b.shape, b_params)]
    (expected,) = run(build(op.upper(), ins, [described("y", a.shape, y_params)], op, **options), [a, b])
    layer = Op(op, ("a", "b"), "y", activation=folded(fused))
    plan = one_op(layer, {"a": a.shape, "b": b.shape}, a.shape, {"a": a_params, "b": b_params}, y_params)
    (step,) = program(plan, arithmetic(dtype)).steps
    same(step.compiled.kernel([a, b], None)[0], expected)


@pytest.mark.parametrize("fused", [None, "relu6"])
@pytest.mark.parametrize("same_padding", [False, True], ids=["valid", "same"])
@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("dtype", TYPES)
def test_pools(dtype, op, same_padding, fused):
    rng = seeded(dtype, op, same_padding, fused)
    like = random_params(rng, dtype)
    x = random_integers(rng, like, (2, 6, 9, 8))
    kernel, stride = (3, 2), (2, 2)
    rows, columns = (
        paddings(n, k, s, 1, same_padding) for n, k, s in zip((9, 8), kernel, stride, strict=True)
    )  # fmt: skip
    model = build(
        "AVERAGE_POOL_2D" if op == "AveragePool" else "MAX_POOL_2D",
        [described("x", (2, 9, 8, 6), like)],
        [described("y", (2, rows[0], columns[0], 6), like)],
        "Pool2D",
        Padding=0 if same_padding else 1, StrideH=2, StrideW=2, FilterHeight=3, FilterWidth=2,
        FusedActivationFunction=_FUSED[fused],
    )  # fmt: skip
    (expected,) = run(model, [nhwc(x)])
    attrs = {
        "kernel_shape": kernel, "strides": stride, "dilations": (1, 1),
        "pads": (rows[1], columns[1], rows[2], columns[2]),
        "ceil_mode": 0, "count_include_pad": 0,
    }  # fmt: skip
    layer = Op(op, ("x",), "y", attrs, activation=folded(fused))
    plan = one_op(layer, {"x": (1, 6, 9, 8)}, (1, 6, rows[0], columns[0]), {"x": like}, like)
    same(nhwc(program(plan, arithmetic(dtype)).run({"x": x})["y"]), expected)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axes", [(1, 2), (3,), (2,)], ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_mean(dtype, axes, keepdims):
    rng = seeded(dtype, axes, keepdims)
    x_params = random_params(rng, dtype)
    middle = (-x_params.zero_point if dtype == "s8" else 255 - x_params.zero_point) if dtype != "s16" else 0
    y_params = params(dtype, x_params.scale * 0.9, middle)
    x = random_integers(rng, x_params, (2, 9, 8, 6))
    shape = x.mean(axis=axes, keepdims=keepdims).shape
    chosen = Tensor("axes", (len(axes),), "int32", data=np.array(axes, np.int32))
    ins, outs = [described("x", x.shape, x_params), chosen], [described("y", shape, y_params)]
    (expected,) = run(build("MEAN", ins, outs, "Reducer", KeepDims=keepdims), [x])
    layer = Op("ReduceMean", ("x",), "y", {"axes": axes, "keepdims": int(keepdims)})
    plan = one_op(layer, {"x": (1, *x.shape[1:])}, (1, *shape[1:]), {"x": x_params}, y_params)
    same(program(plan, arithmetic(dtype)).run({"x": x})["y"], expected)


def fixed_params(dtype, op):
    if dtype == "s16":
        return params(dtype, 1 / 32768)
    if op == "Tanh":
        return params(dtype, 1 / 128, 128 if dtype == "u8" else 0)
    return params(dtype, 1 / 256, _LOWEST[dtype])


UNARY = {
    "Sigmoid": ("LOGISTIC", "", {}, {}),
    "Tanh": ("TANH", "", {}, {}),
    "LeakyRelu": ("LEAKY_RELU", "LeakyRelu", {"Alpha": 0.1}, {"alpha": float(np.float32(0.1))}),
    "Relu": ("RELU", "", {}, {}),
    "Clip": ("RELU6", "", {}, {"lo": 0.0, "hi": 6.0}),
    "HardSwish": ("HARD_SWISH", "HardSwish", {}, {}),
    "Requantize": ("QUANTIZE", "Quantize", {}, {}),
}


@pytest.mark.parametrize("scale", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("op", UNARY)
@pytest.mark.parametrize("dtype", TYPES)
def test_unary_over_every_integer(dtype, op, scale):
    if dtype == "s16" and op == "HardSwish":
        pytest.skip("TFLite has no s16 HARD_SWISH")
    rng = seeded(dtype, op, scale)
    operator, options, fields, attrs = UNARY[op]
    x_params = params(dtype, scale / 200 if dtype == "s16" else scale, zero_point(rng, dtype))
    y_params = params(dtype, x_params.scale * 1.1, zero_point(rng, dtype))
    if op in {"Sigmoid", "Tanh"}:
        y_params = fixed_params(dtype, op)
    x = np.arange(x_params.dtype.low, x_params.dtype.high + 1).astype(x_params.dtype.numpy)[None]
    ins, outs = [described("x", x.shape, x_params)], [described("y", x.shape, y_params)]
    (expected,) = run(build(operator, ins, outs, options, **fields), [x])
    plan = one_op(Op(op, ("x",), "y", attrs), {"x": x.shape}, x.shape, {"x": x_params}, y_params)
    same(program(plan, arithmetic(dtype)).run({"x": x})["y"], expected)


@pytest.mark.parametrize("power", [-13, -12, -11, -10])
@pytest.mark.parametrize("op", ["Sigmoid", "Tanh"])
def test_wide_tables_at_powers_of_two(op, power):
    x_params, y_params = params("s16", 2.0**power), params("s16", 2.0**-15)
    x = np.arange(-32768, 32768).astype(np.int16)[None]
    ins, outs = [described("x", x.shape, x_params)], [described("y", x.shape, y_params)]
    (expected,) = run(build(UNARY[op][0], ins, outs), [x])
    plan = one_op(Op(op, ("x",), "y"), {"x": x.shape}, x.shape, {"x": x_params}, y_params)
    same(program(plan, "tflite_s64").run({"x": x})["y"], expected)


@pytest.mark.parametrize("types", [("s8", "u8"), ("s8", "s16"), ("u8", "s8"), ("s16", "s8")], ids="-".join)
def test_change_of_type(types):
    rng = seeded(types)
    x_params = random_params(rng, types[0])
    spread = x_params.scale * (18000 if types[0] == "s16" else 74)
    y_params = scaled(rng, types[1], spread)
    x = np.arange(x_params.dtype.low, x_params.dtype.high + 1).astype(x_params.dtype.numpy)[None]
    ins, outs = [described("x", x.shape, x_params)], [described("y", x.shape, y_params)]
    (expected,) = run(build("QUANTIZE", ins, outs, "Quantize"), [x])
    plan = one_op(Op("Requantize", ("x",), "y"), {"x": x.shape}, x.shape, {"x": x_params}, y_params)
    same(program(plan, arithmetic(types[0])).run({"x": x})["y"], expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_prelu(dtype):
    rng = seeded(dtype)
    x_params = random_params(rng, dtype)
    slope_params = params("u8", 0.01, 128) if dtype == "u8" else params("s8", 0.01)
    y_params = params(dtype, x_params.scale * 0.9, zero_point(rng, dtype))
    x, slope = random_integers(rng, x_params, (2, 6, 9, 8)), random_integers(rng, slope_params, (1, 1, 6))
    ins = [described("x", (2, 9, 8, 6), x_params), described("a", slope.shape, slope_params, slope)]
    (expected,) = run(build("PRELU", ins, [described("y", (2, 9, 8, 6), y_params)]), [nhwc(x)])
    layer = Op("PRelu", ("x",), "y", operands={1: (slope.transpose(2, 0, 1), slope_params)})
    plan = one_op(layer, {"x": (1, 6, 9, 8)}, (1, 6, 9, 8), {"x": x_params}, y_params)
    same(nhwc(program(plan, arithmetic(dtype)).run({"x": x})["y"]), expected)


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("depth", [2, 17, 300])
@pytest.mark.parametrize("dtype", TYPES)
def test_softmax(dtype, depth, scale):
    rng = seeded(dtype, depth, scale)
    x_params = params(dtype, scale / 200 if dtype == "s16" else scale, zero_point(rng, dtype))
    y_params = fixed_params(dtype, "Softmax")
    x = random_integers(rng, x_params, (30, depth))
    ins, outs = [described("x", x.shape, x_params)], [described("y", x.shape, y_params)]
    (expected,) = run(build("SOFTMAX", ins, outs, "Softmax", Beta=1.0), [x])
    attrs = {"axis": 1, "interpolated": 1}
    plan = one_op(Op("Softmax", ("x",), "y", attrs), {"x": (1, depth)}, (1, depth), {"x": x_params}, y_params)
    same(program(plan, arithmetic(dtype)).run({"x": x})["y"], expected)


@pytest.mark.parametrize("size", [(18, 16), (5, 13)], ids=str)
@pytest.mark.parametrize("place", ["asymmetric", "align_corners", "half_pixel"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("dtype", TYPES)
def test_resize(dtype, mode, place, size):
    rng = seeded(dtype, mode, place, size)
    like = random_params(rng, dtype)
    x = random_integers(rng, like, (2, 6, 9, 8))
    chosen = Tensor("size", (2,), "int32", data=np.array(size, np.int32))
    operator, options = (
        ("RESIZE_BILINEAR", "ResizeBilinear")
        if mode == "linear"
        else ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")
    )  # fmt: skip
    model = build(
        operator, [described("x", (2, 9, 8, 6), like), chosen], [described("y", (2, *size, 6), like)], options,
        AlignCorners=place == "align_corners", HalfPixelCenters=place == "half_pixel",
    )  # fmt: skip
    (expected,) = run(model, [nhwc(x)])
    attrs = {
        "mode": mode, "sizes": (1, 6, *size), "scales": (1.0, 1.0, size[0] / 9, size[1] / 8),
        "coordinate_transformation_mode": place,
        "nearest_mode": "floor" if place == "asymmetric" else "round_prefer_ceil",
        "integers_kept": 1,  # as the reader of TFLite files marks it: places are TFLite's, in 1/1024 pixel
    }  # fmt: skip
    plan = one_op(Op("Resize", ("x",), "y", attrs), {"x": (1, 6, 9, 8)}, (1, 6, *size), {"x": like}, like)
    same(nhwc(program(plan, arithmetic(dtype)).run({"x": x})["y"]), expected)
