"""Small layers over three axes of space, with the integers that ONNX Runtime's exact sums give them."""

from __future__ import annotations

import numpy as np
from plans import Op, one_op, params, random_integers
from preset_formulas import raw
from volume_oracle import run

from slimai.graph.ir import Node
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight

OPERATORS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


def geometry(rng, size):
    kernel = rng.integers(1, 4, 3)
    pads = np.concatenate([rng.integers(0, kernel) for _ in range(2)])
    whole = np.array(size) + pads[:3] + pads[3:]
    dilations = [int(d) if (k - 1) * d < n else 1 for k, d, n in zip(kernel, rng.integers(1, 3, 3), whole, strict=True)]
    attrs = {"strides": rng.integers(1, 3, 3), "dilations": dilations, "pads": pads}
    return tuple(kernel.tolist()), {key: tuple(int(item) for item in value) for key, value in attrs.items()}


def products(rng, op, dtype, preset):
    """Return (plan, x, the integers that y must hold or None at 16 bits) of a convolution."""
    group, share = [(1, 3), (2, 2), (4, 1), (1, 70)][int(rng.integers(0, 4))]
    channels, outputs, size = group * share, group * int(rng.integers(1, 6)), (3, 4, 4)
    kernel, attrs = geometry(rng, size)
    attrs["group"] = group
    shape = (outputs, share, *kernel)
    if op == "ConvTranspose":
        attrs["output_padding"] = tuple(int(rng.integers(0, s)) for s in attrs["strides"])
        shape = (channels, outputs // group, *kernel)
    kind = INT_TYPES["s16" if dtype == "s16" else "s4" if rng.integers(0, 4) == 0 else "s8"]
    values, scale = random_integers(rng, kind, shape), rng.uniform(0.2, 1.0, outputs) / kind.high
    bias = rng.integers(-2000, 2000, outputs) if rng.integers(0, 2) else None
    x_q = params(dtype, 0.02, 0 if dtype == "s16" else int(rng.integers(-20, 21)) + 60 * (dtype == "u8"))
    x = random_integers(rng, x_q, (1, channels, *size))
    acc = run(op, x.astype(int) - x_q.zero_point, {"w": values, "b": bias}, {**attrs, "kernel_shape": kernel})
    y_q = params(dtype, float(np.abs(acc).max() * 0.02 * scale.max() / INT_TYPES[dtype].high + 1e-6), x_q.zero_point)
    relu = Node("relu", "Relu", (), (), {}) if rng.integers(0, 2) else None
    weight = QWeight(values, kind, scale.astype(np.float64))
    item = Op(op, ("x",), "y", attrs, weight, bias, activation=relu)
    plan = one_op(item, {"x": x.shape}, acc.shape, {"x": x_q}, y_q)
    if relu is not None:
        plan.graph.tensors["y_pre"] = plan.graph.tensors["y"]
    if dtype == "s16":
        return plan, x, None
    low = y_q.zero_point if relu is not None else y_q.dtype.low
    planes = [
        finished(preset, plane.ravel(), x_q.scale * float(one) / y_q.scale, y_q, low)
        for one, plane in zip(scale, acc[0], strict=True)
    ]
    return plan, x, np.array(planes).T.ravel()


def finished(preset, sums, real, y_q, low):
    found = raw(preset, np.rint(sums).astype(np.int64), real, y_q) + y_q.zero_point
    return np.clip(found, low, y_q.dtype.high)


def largest(rng, dtype):
    kernel, attrs = geometry(rng, (4, 5, 3))
    x_q = params(dtype, 0.1, 0 if dtype == "s16" else 5)
    x = random_integers(rng, x_q, (1, 3, 4, 5, 3))
    attrs["kernel_shape"] = kernel
    wanted = run("MaxPool", x, {}, attrs)
    plan = one_op(Op("MaxPool", ("x",), "y", {**attrs, "ceil_mode": 0}), {"x": x.shape}, wanted.shape, {"x": x_q}, x_q)
    return plan, x, np.moveaxis(wanted, 1, -1).ravel().astype(int)


def mean(rng, dtype, preset):
    """Return (plan, x, integers) of an average pooling: the sums by ONNX Runtime, their counts by a pool of ones."""
    kernel, attrs = geometry(rng, (4, 5, 3))
    x_q = params(dtype, 0.1, 0 if dtype == "s16" else 5)
    y_q = x_q if rng.integers(0, 2) else params(dtype, 0.11, x_q.zero_point)
    x = random_integers(rng, x_q, (1, 3, 4, 5, 3))
    attrs = {**attrs, "dilations": (1, 1, 1), "kernel_shape": kernel}
    whole = {**attrs, "count_include_pad": 1}
    sums = np.rint(run("AveragePool", x.astype(int) - x_q.zero_point, {}, whole).astype(float) * np.prod(kernel))
    counted = int(rng.integers(0, 2))
    inside = np.rint(run("AveragePool", np.ones_like(x), {}, whole) * np.prod(kernel))
    counts = np.full_like(inside, np.prod(kernel)) if counted else inside
    attrs |= {"count_include_pad": counted, "ceil_mode": 0}
    plan = one_op(Op("AveragePool", ("x",), "y", attrs), {"x": x.shape}, sums.shape, {"x": x_q}, y_q)
    if dtype == "s16":  # not exact in float32
        return plan, x, None
    wanted = averaged(preset, sums.astype(np.int64), counts.astype(np.int64), (x_q, y_q), counted)
    return plan, x, np.moveaxis(wanted, 1, -1).ravel()


def averaged(preset, sums, counts, grids, counted):
    x_q, y_q = grids
    kind = y_q.dtype
    if preset in {"gemmlowp", "tflite_s64"}:
        preset = "gemmlowp"
        if x_q == y_q and not counted:  # half away from zero
            plain = sums + counts * y_q.zero_point
            return np.clip(np.sign(plain) * ((np.abs(plain) + counts // 2) // counts), kind.low, kind.high)
    found = np.empty_like(sums)
    for count in np.unique(counts):
        real = x_q.scale / (y_q.scale * float(count))
        found[counts == count] = finished(preset, sums[counts == count], real, y_q, kind.low)
    return found


def volume_case(op, rng, dtype, preset):
    """Return (plan, x, the integers that y must hold in memory order, or None at 16 bits) of a layer."""
    if op == "MaxPool":
        return largest(rng, dtype)
    return mean(rng, dtype, preset) if op == "AveragePool" else products(rng, op, dtype, preset)
