"""Reach of sums against all corners of the inputs in Python integers; every witness overflows in the simulator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plans import Op, build_plan, one_op, params

from slimai.graph.ir import Node
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.program import compile_layer, integer_contexts
from slimai.simulator.proofs.bounds import layer_reach, reaches
from slimai.simulator.proofs.ranges import ValueRange

LAYERS = 640
KINDS = ("Conv", "grouped", "depthwise", "line", "ConvTranspose", "Gemm", "MatMul", "stack")


def weight_of(rng, shape, *, asymmetric=False):
    wide = rng.random() < 0.2
    values = rng.integers(-40, 41, shape) if not wide else rng.integers(-3000, 3001, shape)
    values[rng.random(shape) < 0.2] = 0
    if asymmetric:
        return QWeight(rng.integers(0, 256, shape).astype(np.uint8), INT_TYPES["u8"], np.array([0.01]), 0, 120)
    dtype = INT_TYPES["s16" if wide else "s8"]
    return QWeight(values.astype(dtype.numpy), dtype, np.array([0.01]))


def random_layer(rng, kind):
    """Return (plan of one operator, its ranges as (low, high) lists by input channel, or None for the whole type)."""
    dtype = str(rng.choice(["s8", "u8", "s16"]))
    zero = (
        0
        if dtype == "s16"
        else int(rng.integers(INT_TYPES[dtype].low, INT_TYPES[dtype].high + 1)) * int(rng.integers(2))
    )
    x, y = params(dtype, 0.05, zero), params("s8", 0.5, int(rng.integers(-3, 4)))
    outputs = int(rng.integers(1, 4))
    if kind in {"Gemm", "MatMul", "stack"}:
        depth = int(rng.integers(1, 6))
        lead = (1, 2) if kind == "MatMul" else (1,)
        attrs = {"transB": int(rng.integers(2))} if kind == "Gemm" else {}
        if kind == "stack":
            stack, rows = int(rng.integers(1, 4)), int(rng.integers(1, 3))
            weight = weight_of(rng, (stack, depth, outputs))
            shape, out = (int(rng.choice([1, stack])), rows, depth), (stack, rows, outputs)
        else:
            weight = weight_of(rng, (outputs, depth) if attrs.get("transB") else (depth, outputs))
            shape, out = (*lead, depth), (*lead, outputs)
        bias = rng.integers(-5000, 5001, outputs) if kind == "Gemm" else None
        op = Op("MatMul" if kind == "stack" else kind, ("x",), "y", attrs, weight, bias)
        return one_op(op, {"x": shape}, out, {"x": x}, y), depth
    group = {"grouped": 2, "depthwise": int(rng.integers(1, 4))}.get(
        kind, int(rng.integers(1, 3)) if kind == "ConvTranspose" else 1
    )
    depth = 1 if kind == "depthwise" else int(rng.integers(1, 3))
    space = 1 if kind == "line" else 2
    kernel = [int(rng.integers(1, 4)) for _ in range(space)]
    size = [int(rng.integers(1, 6)) for _ in range(space)]
    strides = [int(rng.integers(1, 4)) for _ in range(space)]
    dilations = [int(rng.integers(1, 3)) for _ in range(space)]
    begin, end = ([int(rng.integers(0, 3)) for _ in range(space)] for _ in range(2))
    attrs = {"strides": strides, "dilations": dilations, "pads": [*begin, *end], "group": group}
    last = bool(rng.integers(2)) and kind != "line"
    if kind == "ConvTranspose":
        extra = [int(rng.integers(0, 2)) for _ in range(space)]
        attrs["output_padding"] = extra
        out = [
            (n - 1) * s + (k - 1) * d + 1 - b - e + o
            for n, s, k, d, b, e, o in zip(size, strides, kernel, dilations, begin, end, extra, strict=True)
        ]
        weight = weight_of(rng, (group * depth, outputs, *kernel))
    else:
        out = [
            (n + b + e - (k - 1) * d - 1) // s + 1
            for n, s, k, d, b, e in zip(size, strides, kernel, dilations, begin, end, strict=True)
        ]
        weight = weight_of(rng, (group * outputs, depth, *kernel), asymmetric=rng.random() < 0.15)
    if min(out) < 1:
        return None
    if last:
        attrs["channels_last"] = 1
    bias = rng.integers(-5000, 5001, group * outputs) if rng.random() < 0.7 else None
    shapes = [(1, group * depth, *size), (1, group * outputs, *out)]
    if last:
        shapes = [(s[0], *s[2:], s[1]) for s in shapes]
    op = Op(
        "Conv" if kind != "ConvTranspose" else kind,
        ("x",),
        "y",
        attrs,
        weight,
        bias,
        kind="DepthwiseConv" if kind == "depthwise" and depth == 1 else "",
    )
    return one_op(op, {"x": shapes[0]}, shapes[1], {"x": x}, y), group * depth


def terms_by_output(plan):
    """Return, for each output element in Python integers, ({input index: weight}, bias): from ONNX's definitions."""
    layer = plan.layers[0]
    weight = layer.weight.values.astype(object) - layer.weight.zero_point
    if layer.node.op in {"Gemm", "MatMul"}:
        return matrix_terms(plan, weight.T if layer.node.attrs.get("transB") else weight)
    last, shapes = layer.node.attrs.get("channels_last", 0), [plan.graph.shape(name) for name in ("x", "y")]
    if last:
        shapes = [(shape[0], shape[-1], *shape[1:-1]) for shape in shapes]
    found = {place: ({}, 0 if layer.bias is None else int(layer.bias[place[1]])) for place in np.ndindex(shapes[1])}
    spread = conv_terms if layer.node.op == "Conv" else transposed_terms
    for place, source, factor in spread(layer.node.attrs, weight, shapes[0], shapes[1]):
        found[place][0][source] = factor
    if not last:
        return found

    def to(i):
        return (i[0], *i[2:], i[1])

    return {to(place): ({to(i): w for i, w in terms.items()}, bias) for place, (terms, bias) in found.items()}


def matrix_terms(plan, matrix):
    shape, bias, found = plan.graph.shape("x"), plan.layers[0].bias, {}
    for index in np.ndindex(plan.graph.shape("y")):
        stack = index[:-2] if matrix.ndim > 2 else ()
        lead = [0 if size == 1 else place for size, place in zip(shape[:-1], index[:-1], strict=True)]
        terms = {(*lead, k): int(w) for k, w in enumerate(matrix[stack][:, index[-1]])}
        found[index] = (terms, 0 if bias is None else int(bias[index[-1]]))
    return found


def conv_terms(attrs, weight, source, target):
    """Yield (output, input, weight) of a convolution."""
    numbers = list(zip(attrs["strides"], attrs["dilations"], attrs["pads"], source[2:], strict=False))
    share = target[1] // attrs["group"]
    for _, o, *p in np.ndindex(target):
        for d, *k in np.ndindex(weight.shape[1:]):
            at = [a * s + b * r - pad for a, b, (s, r, pad, _) in zip(p, k, numbers, strict=True)]
            if all(0 <= a < n for a, (*_, n) in zip(at, numbers, strict=True)):
                yield (0, o, *p), (0, o // share * weight.shape[1] + d, *at), int(weight[(o, d, *k)])


def transposed_terms(attrs, weight, source, target):
    """Yield (output, input, weight) of a transposed convolution: each input element adds its kernel."""
    numbers = list(zip(attrs["strides"], attrs["dilations"], attrs["pads"], target[2:], strict=False))
    share, depth = weight.shape[1], weight.shape[0] // attrs["group"]
    for c, o, *k in np.ndindex(weight.shape):
        for at in itertools.product(*map(range, source[2:])):
            p = [a * s + b * r - pad for a, b, (s, r, pad, _) in zip(at, k, numbers, strict=True)]
            if all(0 <= a < n for a, (*_, n) in zip(p, numbers, strict=True)):
                yield (0, c // depth * share + o, *p), (0, c, *at), int(weight[(c, o, *k)])


def brute_force(plan, ends):
    """Return (least, most) over every corner of the inputs of every output; `ends` of an input index."""
    zero = plan.tensors["x"].zero_point
    least, most = None, None
    for weights, bias in terms_by_output(plan).values():
        few = len(weights) <= 10
        products = [{(end - zero) * w for end in ends(index)} for index, w in weights.items()]
        if few:
            sums = [sum(corner) + bias for corner in itertools.product(*products)]
        else:  # the corners of a sum of free terms: each term at its own end
            sums = [sum(map(min, products)) + bias, sum(map(max, products)) + bias]
        least = min(sums) if least is None else min(least, *sums)
        most = max(sums) if most is None else max(most, *sums)
    return least, most


def ranges_for(rng, plan, channels):
    """Return a range of the input, and the ends of an input index."""
    kind, last = plan.tensors["x"].dtype, plan.layers[0].node.attrs.get("channels_last", 0)
    if rng.random() < 0.4:
        return ValueRange.whole(plan.tensors["x"]), lambda _: (kind.low, kind.high)
    low, high = sorted(int(v) for v in rng.integers(kind.low, kind.high + 1, 2))
    spatial = plan.layers[0].node.op.startswith("Conv") and not last
    if spatial and rng.random() < 0.5:
        limits = rng.integers(low, high + 1, channels)
        return ValueRange(low, int(limits.max()), limits), lambda index: (low, int(limits[index[1]]))
    return ValueRange(low, high), lambda _: (low, high)


def in_bits(least, most):
    bits = 1
    while not (-(1 << (bits - 1)) <= least and most <= (1 << (bits - 1)) - 1):
        bits += 1
    return bits


@pytest.mark.parametrize("kind", KINDS)
def test_reach_is_that_of_all_corners_and_witnesses_overflow(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    done = overflowed = 0
    while done < LAYERS // len(KINDS):
        made = random_layer(rng, kind)
        if made is None:
            continue
        plan, channels = made
        held, ends = ranges_for(rng, plan, channels)
        least, most = brute_force(plan, ends)
        needed = in_bits(least, most)
        bits = max(2, min(31, needed - done % 2))
        overflow = str(rng.choice(["wrap", "saturate"]))
        target = TargetSection().model_copy(update={"acc_bits": bits, "acc_overflow": overflow})
        (context,) = integer_contexts(plan, target, "single")
        found = layer_reach(context, held)
        assert (found.least, found.most, found.needed) == (least, most, needed), plan.layers[0]
        assert found.overflows == (needed > found.bits)
        assert (found.witness is not None) == found.overflows
        if found.witness is not None:
            overflowed += 1
            check_witness(plan, target, found, ends)
        done += 1
    assert 2 * overflowed >= done - 8


def check_witness(plan, target, found, ends):
    x = found.witness.whole()
    assert x.shape == plan.graph.shape("x")
    weights, bias = terms_by_output(plan)[found.witness.output]
    zero = plan.tensors["x"].zero_point
    assert found.witness.total == sum((int(x[i]) - zero) * w for i, w in weights.items()) + bias
    for index in np.ndindex(x.shape):
        assert ends(index)[0] <= int(x[index]) or not weights.get(index)
        assert int(x[index]) <= ends(index)[1] or not weights.get(index)
    tally = Tally()
    compile_layer(plan, plan.layers[0], target, "single", BufferPool()).compiled.kernel([x], tally)
    assert tally.overflows[found.layer] >= 1


def test_the_range_is_that_behind_the_clamp_of_the_producer():
    """Relu, then a maximum pool that keeps it: the second convolution sees 0..127 of s8."""
    one = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
    weight = QWeight(np.full((1, 1, 1, 1), -2, np.int8), INT_TYPES["s8"], np.array([0.1]))
    pool = {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "ceil_mode": 0}
    ops = [
        Op("Conv", ("x",), "a", one, weight, activation=Node("r", "Relu", (), (), {})),
        Op("MaxPool", ("a",), "b", pool),
        Op("Conv", ("b",), "y", one, weight, np.array([5])),
    ]
    shapes = {"x": (1, 1, 3, 3), "a": (1, 1, 3, 3), "a_pre": (1, 1, 3, 3), "b": (1, 1, 2, 2), "y": (1, 1, 2, 2)}
    grid = params("s8", 0.1)
    plan = build_plan(ops, shapes, dict.fromkeys(("x", "a", "b", "y"), grid), ("x",), ("y",))
    first, second = reaches(plan, integer_contexts(plan, TargetSection(), "xi_sym"))
    assert (first.least, first.most) == (-254, 256)
    assert (second.least, second.most, second.needed) == (-249, 5, 9)
    assert second.verdict == "cannot overflow 32 bits"
