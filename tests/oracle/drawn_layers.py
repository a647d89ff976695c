"""Layers of drawn geometry: windows, pads, groups, axes, ranks, and grids, each from a source of numbers and a type."""

from __future__ import annotations

import numpy as np
from plans import Op, around, build_plan, params, random_integers

from slimai.graph.ir import Node
from slimai.quantizer.params import S8, S16
from slimai.quantizer.plan import QWeight


def grid(rng, dtype, spread=1.0):
    steps, zero = {"s8": (127, -5), "u8": (255, 99), "s16": (32767, 0)}[dtype]
    return params(dtype, spread * float(rng.uniform(1.0, 3.0)) / steps, zero)


def one(op, shape, out_shape, attrs, x, y, *, weight=None, bias=None, activation=None):
    item = Op(op, ("x",), "y", attrs, weight, bias, activation=activation)
    tensors = {"x": x} if y is None else {"x": x, "y": y}
    return build_plan([item], {"x": shape, "y": out_shape, "y_pre": out_shape}, tensors, ("x",), ("y",))


def random_weight(rng, shape, dtype, channels, *, zero_point=0):
    kind = S16 if dtype == "s16" else S8
    values = random_integers(rng, kind, shape)
    scale = rng.uniform(0.2, 1.0, channels) / kind.high
    return QWeight(values, kind, np.float32(scale).astype(np.float64), zero_point=zero_point)


def window_output(size, kernel, stride, dilation, before, after):
    return (size + before + after - ((kernel - 1) * dilation + 1)) // stride + 1


def conv(rng, dtype):
    rank, last = int(rng.choice([3, 4])), bool(rng.integers(0, 2))
    group = int(rng.choice([1, 1, 2, 3]))
    depth, share = (
        (1, int(rng.integers(1, 3))) if rng.integers(0, 2) else (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    )
    group = group * 3 if depth == 1 else group
    axes = rank - 2
    sizes = [int(rng.integers(5, 10)) for _ in range(axes)]
    kernel, stride, dilation = ([int(rng.integers(1, n)) for _ in range(axes)] for n in (4, 3, 3))
    before, after = ([int(rng.integers(-1, 3)) for _ in range(axes)] for _ in range(2))
    out = [window_output(*item) for item in zip(sizes, kernel, stride, dilation, before, after, strict=True)]
    if min(out) < 1:
        return conv(rng, dtype)
    attrs = {"strides": tuple(stride), "dilations": tuple(dilation), "pads": (*before, *after), "group": group}
    channels, outputs = depth * group, share * group
    shape, out_shape = (1, channels, *sizes), (1, outputs, *out)
    if last:
        attrs["channels_last"] = 1
        shape, out_shape = (1, *sizes, channels), (1, *out, outputs)
    many = outputs if rng.integers(0, 2) else 1
    weight = random_weight(rng, (outputs, depth, *kernel), dtype, many)
    bias = rng.integers(-3000, 3000, outputs) if rng.integers(0, 2) else None
    clamp = Node("relu", "Relu", (), (), {}) if rng.integers(0, 2) else None
    return one("Conv", shape, out_shape, attrs, grid(rng, dtype), grid(rng, dtype, 4.0), weight=weight, bias=bias,
               activation=clamp)  # fmt: skip


def conv_transpose(rng, dtype):
    group, depth, share = int(rng.integers(1, 3)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    sizes, kernel, stride, dilation = ([int(rng.integers(1, n)) for _ in range(2)] for n in (6, 4, 4, 3))
    extra = [int(rng.integers(0, n)) for n in stride]
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(sizes, stride, kernel, dilation, strict=True)]
    pads = [int(rng.integers(0, max(1, (n - 1) // 2 + 1))) for n in full]
    out = [n - 2 * p + e for n, p, e in zip(full, pads, extra, strict=True)]
    attrs = {"strides": tuple(stride), "dilations": tuple(dilation), "pads": (*pads, *pads), "group": group,
             "output_padding": tuple(extra)}  # fmt: skip
    weight = random_weight(rng, (depth * group, share, *kernel), dtype, share * group)
    bias = rng.integers(-3000, 3000, share * group)
    return one("ConvTranspose", (1, depth * group, *sizes), (1, share * group, *out), attrs, grid(rng, dtype),
               grid(rng, dtype, 4.0), weight=weight, bias=bias)  # fmt: skip


def pool(rng, dtype):
    op = str(rng.choice(["MaxPool", "AveragePool"]))
    sizes = [int(rng.integers(4, 9)) for _ in range(2)]
    kernel, stride = ([int(rng.integers(1, 4)) for _ in range(2)] for _ in range(2))
    dilation = [int(rng.integers(1, 3)) for _ in range(2)]
    before, after = ([int(rng.integers(0, k)) for k in kernel] for _ in range(2))
    out = [window_output(*item) for item in zip(sizes, kernel, stride, dilation, before, after, strict=True)]
    attrs = {"kernel_shape": tuple(kernel), "strides": tuple(stride), "pads": (*before, *after),
             "dilations": tuple(dilation), "ceil_mode": 0}  # fmt: skip
    if op == "AveragePool":
        attrs["count_include_pad"] = int(rng.integers(0, 2))
    x = grid(rng, dtype)
    tied = rng.integers(0, 2)
    return one(op, (1, 3, *sizes), (1, 3, *out), attrs, x, x if tied else grid(rng, dtype))


def pad(rng, dtype):
    mode = str(rng.choice(["constant", "reflect", "edge", "wrap"]))
    pads = [0, *(int(rng.integers(0, 3)) for _ in range(3)), 0, *(int(rng.integers(0, 3)) for _ in range(3))]
    shape = (1, 3, 4, 5)
    out = tuple(n + pads[i] + pads[i + 4] for i, n in enumerate(shape))
    attrs = {"pads": tuple(pads), "mode": mode, "value": float(rng.choice([0.0, 0.5, -np.inf]))}
    x = grid(rng, dtype)
    return one("Pad", shape, out, attrs, x, x if rng.integers(0, 2) else grid(rng, dtype))


def resize(rng, dtype):
    mode = str(rng.choice(["nearest", "linear"]))
    shape = (1, 3, int(rng.integers(2, 6)), int(rng.integers(2, 6)))
    sizes = (1, 3, int(rng.integers(2, 11)), int(rng.integers(2, 11)))
    attrs = {
        "mode": mode, "sizes": sizes, "scales": tuple(o / i for o, i in zip(sizes, shape, strict=True)),
        "coordinate_transformation_mode": str(rng.choice(["half_pixel", "asymmetric", "align_corners"])),
        "nearest_mode": "floor",
    }  # fmt: skip
    x = grid(rng, dtype)
    return one("Resize", shape, sizes, attrs, x, x if rng.integers(0, 2) else grid(rng, dtype))


def mean(rng, dtype):
    axes = tuple(sorted(rng.choice([1, 2, 3], int(rng.integers(1, 4)), replace=False).tolist()))
    shape, keep = (1, 3, 4, 5), int(rng.integers(0, 2))
    out = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    return one("ReduceMean", shape, out, {"axes": axes, "keepdims": keep}, grid(rng, dtype), grid(rng, dtype))


def softmax(rng, dtype):
    unit = {"s8": params("s8", 2.0**-8, -128), "u8": params("u8", 2.0**-8, 0), "s16": params("s16", 2.0**-15, 0)}[dtype]
    attrs = {"axis": int(rng.integers(1, 4)), "interpolated": int(rng.integers(0, 2))}
    x = params(dtype, float(rng.uniform(1, 12)) / {"s8": 127, "u8": 255, "s16": 32767}[dtype], 0)
    return one("Softmax", (1, 3, 4, 5), (1, 3, 4, 5), attrs, x, unit)


def arg_max(rng, dtype):
    axis, keep = int(rng.integers(1, 4)), int(rng.integers(0, 2))
    shape = (1, 3, 4, 5)
    out = tuple(1 if i == axis else n for i, n in enumerate(shape) if keep or i != axis)
    attrs = {"axis": axis, "keepdims": keep, "select_last_index": int(rng.integers(0, 2))}
    return one("ArgMax", shape, out, attrs, grid(rng, dtype), None)


def taken(rng, dtype):
    """A Gather: indices of 0 to 2 axes, in rows or in no order."""
    axis, shape = int(rng.integers(1, 4)), (1, 3, 4, 5)
    inner = tuple(rng.integers(1, 5, int(rng.integers(0, 3))).tolist())
    indices = rng.integers(0, shape[axis], inner)
    attrs = {"axis": axis, "indices": tuple(np.ravel(indices).tolist()), "shape": inner}
    x = grid(rng, dtype)
    out = (*shape[:axis], *inner, *shape[axis + 1 :])
    return around(rng, "Gather", shape, out, attrs, x, x if rng.integers(0, 2) else grid(rng, dtype))


def tile(rng, dtype):
    repeats, shape = (1, *rng.integers(1, 4, 3).tolist()), (1, 3, 4, 5)
    out = tuple(n * r for n, r in zip(shape, repeats, strict=True))
    return around(rng, "Tile", shape, out, {"repeats": repeats}, grid(rng, dtype), grid(rng, dtype))


def normalization(rng, dtype):
    """A LayerNormalization from any axis on, or an InstanceNormalization; some lie channels-last."""
    op, shape = str(rng.choice(["LayerNormalization", "InstanceNormalization"])), (1, 3, 4, 5)
    axis = int(rng.integers(1, 4))
    rows = shape[axis:] if op == "LayerNormalization" else (3,)
    attrs = {"epsilon": float(rng.choice([1e-12, 1e-5, 1.0])), "axis": axis}
    operands = {place: (random_integers(rng, S16, rows), params("s16", 1.0 / 32767)) for place in (1, 2)}
    return around(rng, op, shape, shape, attrs, grid(rng, dtype), grid(rng, dtype), operands)


def reduction(rng, dtype):
    axes = tuple(sorted(rng.choice([1, 2, 3], int(rng.integers(1, 4)), replace=False).tolist()))
    shape, keep = (1, 3, 4, 5), int(rng.integers(0, 2))
    out = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    op = str(rng.choice(["ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"]))
    attrs = {"axes": axes, "keepdims": keep}
    return around(rng, op, shape, out, attrs, grid(rng, dtype), grid(rng, dtype, 3.0))


def root(rng, dtype):
    """TFLite's own Sqrt, Rsqrt and Log."""
    op = str(rng.choice(["Sqrt", "Rsqrt", "Log"]))
    dtype = "s16" if op != "Sqrt" and rng.integers(0, 2) else dtype
    return one(op, (1, 3, 4, 5), (1, 3, 4, 5), {"as_tflite": 1}, grid(rng, dtype), grid(rng, dtype, 2.0))


def threshold(rng, dtype):
    attrs = {"alpha": float(rng.choice([-0.7, 0.0, 0.4, 1e30]))}
    return one("ThresholdedRelu", (1, 3, 4, 5), (1, 3, 4, 5), attrs, grid(rng, dtype), grid(rng, dtype))


def scatter(rng, dtype):
    """A ScatterND of elements to whole planes, some of them twice; the updates on a grid of their own."""
    shape, depth, count = (1, 3, 4, 5), int(rng.integers(1, 5)), int(rng.integers(1, 6))
    indices = np.stack([rng.integers(0, n, count) for n in shape[:depth]], axis=-1)
    attrs = {"indices": tuple(indices.reshape(-1).tolist()), "shape": indices.shape}
    x, updates = grid(rng, dtype), (count, *shape[depth:])
    other = x if rng.integers(0, 2) else grid(rng, dtype)
    y = x if rng.integers(0, 2) else grid(rng, dtype)
    item = Op("ScatterND", ("x", "u"), "y", attrs)
    shapes = {"x": shape, "u": updates, "y": shape}
    return build_plan([item], shapes, {"x": x, "u": other, "y": y}, ("x", "u"), ("y",))


def two(rng, dtype):
    """Max, Min or Div with broadcasting on either side."""
    op = str(rng.choice(["Max", "Min", "Div"]))
    first, second = ((3, 4, 5), tuple(1 if rng.integers(0, 2) else n for n in (3, 4, 5)))
    first, second = (second, first) if rng.integers(0, 2) else (first, second)
    x, w = grid(rng, dtype), grid(rng, dtype)
    y = x if rng.integers(0, 2) else grid(rng, dtype)
    shapes = {"x": (1, *first), "w": (1, *second), "y": (1, 3, 4, 5)}
    return build_plan([Op(op, ("x", "w"), "y")], shapes, {"x": x, "w": w, "y": y}, ("x", "w"), ("y",))


MAKERS = (
    conv, conv_transpose, pool, pad, resize, mean, softmax, arg_max, taken, tile, normalization, reduction, root,
    threshold, scatter, two,
)  # fmt: skip
