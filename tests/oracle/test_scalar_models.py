"""`xi_sym` and `single` against scalar models in Python integers: every integer is the same (tolerance 0)."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import scalar_models as scalar
from plans import Op, build_plan, one_op, params, program, random_integers

from slimai.graph.ir import Node
from slimai.quantizer.params import INT_TYPES, S8, S16
from slimai.quantizer.plan import QWeight

RULES = ("xi_sym", "single")
TYPES = ("s8", "u8", "s16")


def seeded(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def random_params(rng, dtype, spread=1.0):
    steps = {"s8": 127, "u8": 255, "s16": 32767}[dtype]
    return params(dtype, spread * float(np.exp(rng.uniform(-0.5, 0.5))) / steps)


def same(found, expected, least=3):
    assert np.array_equal(found.astype(np.int64), np.array(expected).reshape(found.shape))
    assert np.unique(found).size >= least


def flat(array):
    return array.ravel().tolist()


def six_operators(rng, dtype, weights):
    """Conv with ReLU6 -> depthwise -> Add -> ConvTranspose -> AveragePool -> Gemm, and its scalar model."""
    kind = INT_TYPES[weights]
    names = ("x", "c", "d", "a", "t", "p", "g")
    spreads = (2.0, 6.0, 20.0, 20.0, 60.0, 12.0, 12.0)
    tensors = {name: random_params(rng, dtype, spread) for name, spread in zip(names, spreads, strict=True)}

    def weight(shape, channels, axis=0):
        values = rng.integers(-kind.high, kind.high + 1, shape).astype(kind.numpy)
        return QWeight(
            values, kind, np.exp(rng.uniform(-1, 0, channels)).astype(np.float32).astype(float) / kind.high, axis
        )

    def bias(count):
        return rng.integers(-3000, 3000, count)

    relu6 = Node("relu6", "Clip", (), (), {"lo": 0.0, "hi": 6.0})
    square = {"strides": (1, 1), "dilations": (1, 1), "group": 1}
    first = {**square, "strides": (2, 1), "pads": (1, 0, 1, 1)}
    up = {**square, "strides": (2, 2), "pads": (0,) * 4, "output_padding": (0, 0)}
    ops = [
        Op("Conv", ("x",), "c", first, weight((6, 3, 3, 3), 6), bias(6), activation=relu6),
        Op("Conv", ("c",), "d", {**square, "pads": (1, 1, 1, 1), "group": 6}, weight((6, 1, 3, 3), 6), bias(6)),
        Op("Add", ("c", "d"), "a"),
        Op("ConvTranspose", ("a",), "t", up, weight((6, 4, 2, 2), 1, 1), bias(4)),
        Op("GlobalAveragePool", ("t",), "p"),
        Op("Conv", ("p",), "g", {**square, "pads": (0,) * 4}, weight((5, 4, 1, 1), 5), bias(5)),
    ]
    inner = dict.fromkeys(("c", "d", "a"), (1, 6, 4, 5))
    shapes = {"x": (1, 3, 7, 6), **inner, "t": (1, 4, 8, 10), "p": (1, 4, 1, 1), "g": (1, 5, 1, 1)}
    return build_plan(ops, shapes, tensors, ("x",), ("g",)), ops, tensors


def scalar_network(rule, x, ops, tensors):
    """Return every tensor of one sample as nested lists."""
    q = {name: scalar.Quantity(value, 6.0 if name == "c" else None) for name, value in tensors.items()}

    def conv(op, value, source, target):
        a = op.attrs
        return scalar.conv(
            rule, value, q[source], op.weight.values.tolist(), op.weight.scale.tolist(), op.bias.tolist(), q[target],
            a["strides"], a["pads"], a["dilations"], a["group"],
        )  # fmt: skip

    values = {"x": x.tolist()}
    values["c"] = conv(ops[0], values["x"], "x", "c")
    values["d"] = conv(ops[1], values["c"], "c", "d")
    c, d = np.array(values["c"]), np.array(values["d"])
    values["a"] = np.array(scalar.add(rule, flat(c), q["c"], flat(d), q["d"], q["a"])).reshape(c.shape).tolist()
    up = ops[3]
    values["t"] = scalar.conv_transpose(
        rule, values["a"], q["a"], up.weight.values.tolist(), up.weight.scale.tolist(), up.bias.tolist(), q["t"], 2
    )
    pooled = scalar.average(rule, [flat(np.array(plane)) for plane in values["t"]], q["t"], q["p"])
    values["p"] = [[[value]] for value in pooled]
    values["g"] = conv(ops[5], values["p"], "p", "g")
    return values


@pytest.mark.parametrize(("dtype", "weights"), [("s8", "s8"), ("u8", "s8"), ("s16", "s16"), ("s16", "s8")])
@pytest.mark.parametrize("rule", RULES)
def test_six_operator_network_for_any_batch_and_threads(rule, dtype, weights):
    rng = seeded(rule, dtype, weights)
    plan, ops, tensors = six_operators(rng, dtype, weights)
    x = random_integers(rng, tensors["x"], (8, 3, 7, 6))
    expected = [scalar_network(rule, sample, ops, tensors) for sample in x]
    inner = ("c", "d", "a", "t", "p")
    for threads in (1, 2):
        runner = program(plan, rule, threads)
        for size in (1, 3, 8):
            found = runner.run({"x": x[:size]}, capture=inner)
            for name in (*inner, "g"):
                same(
                    found[name],
                    [sample[name] for sample in expected[:size]],
                    least=3 if size == 8 and name != "p" else 1,
                )


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_conv(rule, dilation, group):
    rng = seeded(rule, dilation, group)
    x_q, y_q = params("u8", 0.02, 7), params("s8", 0.4, -3)
    values, scale = rng.integers(-127, 128, (4, 4 // group, 3, 2)).astype(np.int8), rng.uniform(0.01, 0.02, 4)
    bias, x = rng.integers(-900, 900, 4), random_integers(rng, x_q, (1, 4, 8, 7))
    attrs = {"strides": (1, 2), "dilations": (dilation, 1), "pads": (2, 0, 1, 1), "group": group}
    expected = scalar.conv(
        rule, x[0].tolist(), scalar.Quantity(x_q), values.tolist(), scale.tolist(), bias.tolist(), scalar.Quantity(y_q),
        attrs["strides"], attrs["pads"], attrs["dilations"], group,
    )  # fmt: skip
    shape = (1, *np.array(expected).shape)
    plan = one_op(
        Op("Conv", ("x",), "y", attrs, QWeight(values, S8, scale), bias), {"x": x.shape}, shape, {"x": x_q}, y_q
    )
    same(program(plan, rule).run({"x": x})["y"], expected)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("types", [("s8", "s8", "s8"), ("u8", "s8", "u8"), ("s16", "s16", "s16"), ("s16", "s8", "s8")])
@pytest.mark.parametrize("rule", RULES)
def test_two_operands(rule, types, op):
    rng = seeded(rule, types, op)
    a_q, b_q = random_params(rng, types[0]), random_params(rng, types[1], 0.3)
    y_q = random_params(rng, types[2], 0.4 if op == "Mul" else 1.2)
    a, b = random_integers(rng, a_q, (2, 3, 9, 5)), random_integers(rng, b_q, (2, 3, 9, 5))
    quantities = [scalar.Quantity(value) for value in (a_q, b_q, y_q)]
    if op == "Mul":
        expected = scalar.mul(rule, flat(a), quantities[0], flat(b), quantities[1], quantities[2])
    else:
        sign = 1 if op == "Add" else -1
        expected = scalar.add(rule, flat(a), quantities[0], flat(b), quantities[1], quantities[2], sign)
    shapes = {"a": (1, 3, 9, 5), "b": (1, 3, 9, 5)}
    plan = one_op(Op(op, ("a", "b"), "y"), shapes, (1, 3, 9, 5), {"a": a_q, "b": b_q}, y_q)
    same(program(plan, rule).run({"a": a, "b": b})["y"], expected)


@pytest.mark.parametrize("types", [("s8", "s8"), ("s8", "s16"), ("u8", "s8"), ("s16", "u8"), ("s16", "s16")])
@pytest.mark.parametrize("rule", RULES)
def test_requantize_over_every_integer(rule, types):
    rng = seeded(rule, types)
    x_q, y_q = random_params(rng, types[0]), random_params(rng, types[1], 0.8)
    x = np.arange(x_q.dtype.low, x_q.dtype.high + 1).astype(x_q.dtype.numpy)[None]
    expected = scalar.requantize(rule, flat(x), scalar.Quantity(x_q), scalar.Quantity(y_q))
    plan = one_op(Op("Requantize", ("x",), "y"), {"x": x.shape}, x.shape, {"x": x_q}, y_q)
    same(program(plan, rule).run({"x": x})["y"], expected)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", RULES)
def test_average_pool(rule, dtype, include):
    rng = seeded(rule, dtype, include)
    x_q, y_q = random_params(rng, dtype), random_params(rng, dtype, 0.5)
    x = random_integers(rng, x_q, (1, 2, 6, 5))
    attrs = {
        "kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 0, 1, 1), "dilations": (1, 1), "ceil_mode": 0,
        "count_include_pad": include,
    }  # fmt: skip
    padded = np.pad(x[0].astype(int), ((0, 0), (1, 1), (0, 1)), constant_values=x_q.zero_point if include else 10**9)
    windows = [
        [v for v in flat(padded[c, y : y + 3, z : z + 2]) if v != 10**9]
        for c in range(2) for y in range(0, 6, 2) for z in range(5)
    ]  # fmt: skip
    expected = scalar.average(rule, windows, scalar.Quantity(x_q), scalar.Quantity(y_q))
    plan = one_op(Op("AveragePool", ("x",), "y", attrs), {"x": x.shape}, (1, 2, 3, 5), {"x": x_q}, y_q)
    same(program(plan, rule).run({"x": x})["y"], expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", RULES)
def test_prelu(rule, dtype):
    rng = seeded(rule, dtype)
    x_q, y_q, kind = random_params(rng, dtype), random_params(rng, dtype), S16 if dtype == "s16" else S8
    x = random_integers(rng, x_q, (1, 4, 6, 5))
    slope = rng.integers(-kind.high, kind.high + 1, (4, 1, 1)).astype(kind.numpy)
    spread = flat(np.broadcast_to(slope, (4, 6, 5)))
    scale = 0.5 / kind.high
    expected = scalar.prelu(rule, flat(x), scalar.Quantity(x_q), spread, scale, scalar.Quantity(y_q))
    layer = Op("PRelu", ("x",), "y", weight=QWeight(slope, kind, np.array([scale])))
    plan = one_op(layer, {"x": x.shape}, x.shape, {"x": x_q}, y_q)
    same(program(plan, rule).run({"x": x})["y"], expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("op", scalar.FUNCTIONS)
def test_tables_over_every_integer(op, dtype):
    """The functions are the same mathematics through another library; no value here lies within 1e-9 of a tie."""
    rng = seeded(op, dtype)
    function, attrs = scalar.FUNCTIONS[op]
    x_q, y_q = random_params(rng, dtype, 7.0), random_params(rng, dtype, 500.0 if op == "Exp" else 1.1)
    x = np.arange(x_q.dtype.low, x_q.dtype.high + 1).astype(x_q.dtype.numpy)[None]
    expected = scalar.pointwise(function, flat(x), scalar.Quantity(x_q), scalar.Quantity(y_q))
    plan = one_op(Op(op, ("x",), "y", attrs), {"x": x.shape}, x.shape, {"x": x_q}, y_q)
    same(program(plan, "xi_sym").run({"x": x})["y"], expected)


@pytest.mark.parametrize("depth", [2, 7, 300])
@pytest.mark.parametrize("dtype", TYPES)
def test_softmax(dtype, depth):
    rng = seeded(dtype, depth)
    x_q, y_q = random_params(rng, dtype, 6.0), params(dtype, 2.0**-15 if dtype == "s16" else 1 / 256)
    x = random_integers(rng, x_q, (12, depth))
    expected = [scalar.softmax(flat(row), scalar.Quantity(x_q), scalar.Quantity(y_q)) for row in x]
    plan = one_op(Op("Softmax", ("x",), "y", {"axis": 1}), {"x": (1, depth)}, (1, depth), {"x": x_q}, y_q)
    same(program(plan, "single").run({"x": x})["y"], expected)
