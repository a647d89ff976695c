"""A sample and a scalar model of every integer operator: what `tests/contract/test_operators.py` runs.

A model takes a `Case` and returns the integers of each output as flat lists, in Python integers, written from
docs/arithmetic.md. One dictionary, `SAMPLES`, holds all of them: an operator that is not in it has no oracle.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import scalar_models as scalar
from operator_case import SHAPE, SQUARE, WINDOW, Case, Model, Sample, flat, gathered, places
from plans import params, random_integers
from recurrent_samples import RECURRENT, grid_of, matrices
from reduction_samples import REDUCTIONS

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.ops import TRAITS
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import Layer, QuantPlan, QWeight

MASK = np.arange(36).reshape(1, 1, 6, 6) % 5 < 2


def conv(case):
    a, w = case.attrs, case.weight
    x, weights, scale = case.x[0][0].tolist(), w.values.tolist(), w.scale.tolist()
    shape = (a["strides"], a["pads"], a["dilations"], a["group"])
    return [flat(scalar.conv(case.rule, x, case.ins[0], weights, scale, case.bias, case.outs[0], *shape))]


def conv_transpose(case):
    w = case.weight
    x, weights, scale, stride = case.x[0][0].tolist(), w.values.tolist(), w.scale.tolist(), case.attrs["strides"][0]
    return [flat(scalar.conv_transpose(case.rule, x, case.ins[0], weights, scale, case.bias, case.outs[0], stride))]


def gemm(case):
    rows = case.weight.values.tolist()
    return [[y for x in case.x[0].tolist() for y in scalar.dense(
        case.rule, x, case.ins[0], rows, case.weight.scale.tolist(), case.bias, case.outs[0])]]  # fmt: skip


def matmul(case):
    a, b = case.x[0].tolist(), case.weight.values.T.tolist()
    zeros, scale = [0] * len(b), case.weight.scale.tolist()
    return [[y for matrix in a for x in matrix for y in scalar.dense(
        case.rule, x, case.ins[0], b, scale, zeros, case.outs[0])]]  # fmt: skip


def product_of_activations(case):
    (a,), (b,), za, zb = case.x[0].tolist(), case.x[1].tolist(), case.ins[0].zero, case.ins[1].zero
    tail = case.outs[0].tail(case.rule, case.ins[0].scale * case.ins[1].scale / case.outs[0].scale)
    columns = list(zip(*b, strict=True))
    return [[tail(sum((u - za) * (v - zb) for u, v in zip(row, column, strict=True)))
             for row in a for column in columns]]  # fmt: skip


def two_operands(function, **sign) -> Model:
    def model(case):
        a, b = (flat(item) for item in np.broadcast_arrays(*case.x))
        return [function(case.rule, a, case.ins[0], b, case.ins[1], case.outs[0], **sign)]

    return model


def larger(rule, a, a_q, b, b_q, y_q):
    return scalar.chosen(lambda u, v, _at: max(u, v), rule, a, a_q, b, b_q, y_q)


def smaller(rule, a, a_q, b, b_q, y_q):
    return scalar.chosen(lambda u, v, _at: min(u, v), rule, a, a_q, b, b_q, y_q)


def selected(rule, a, a_q, b, b_q, y_q):
    mask = flat(np.broadcast_to(MASK, SHAPE))
    return scalar.chosen(lambda u, v, at: u if mask[at] else v, rule, a, a_q, b, b_q, y_q)


def clamp(case):
    low, high = case.attrs.get("lo", 0.0), case.attrs.get("hi", math.inf)
    y = case.outs[0]
    low = max(y.low, y.zero + scalar.rhe(low / y.scale))
    high = min(y.high, y.zero + scalar.rhe(high / y.scale)) if math.isfinite(high) else y.high
    return [[scalar.clamp(value, low, high) for value in case.moved(flat(case.x[0]))]]


def requantize(case):
    """Of Requantize, and of Reshape, which leaves the order of elements."""
    return [case.moved(flat(case.x[0]))]


def prelu(case):
    slope = flat(np.broadcast_to(case.weight.values, case.x[0].shape))
    scale = float(case.weight.scale[0])
    return [scalar.prelu(case.rule, flat(case.x[0]), case.ins[0], slope, scale, case.outs[0])]


def pointwise(function) -> Model:
    return lambda case: [scalar.pointwise(function, flat(case.x[0]), case.ins[0], case.outs[0])]


def rescaled(change) -> Model:
    """Change(v, x_q, attributes) of v = x - z_x."""

    def model(case):
        x, y, attrs = case.ins[0], case.outs[0], case.attrs
        return [scalar.rescaled(lambda v: change(v, x, attrs), case.rule, flat(case.x[0]), x, y)]

    return model


def gelu_by_tanh(v: float) -> float:
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def steep(function, exponent: float | None = None) -> Model:
    """A power, or (no exponent) the logarithm: a table of 8-bit inputs, the normalised recipe of 16-bit ones."""

    def model(case):
        x, x_q, y_q = flat(case.x[0]), case.ins[0], case.outs[0]
        if x_q.bits == 8:
            return [scalar.pointwise(function, x, x_q, y_q)]
        return [scalar.logarithm(x, x_q, y_q) if exponent is None else scalar.power(exponent, x, x_q, y_q)]

    return model


def positive(function, limit: float):
    """Return the function with its limit where v is not positive."""
    return lambda v: function(v) if v > 0 else limit


def softmax(case):
    return [[y for row in case.x[0].tolist() for y in scalar.softmax(row, case.ins[0], case.outs[0])]]


def windows(case):
    """Return the pixels under each window of a pool without padding."""
    (rows, columns), (down, right) = case.attrs["kernel_shape"], case.attrs["strides"]
    _, _, height, width = case.out_shapes[0]
    return [[plane[y * down + i][x * right + j] for i in range(rows) for j in range(columns)]
            for plane in case.x[0][0].tolist() for y in range(height) for x in range(width)]  # fmt: skip


def average_pool(case):
    return [scalar.average(case.rule, windows(case), case.ins[0], case.outs[0])]


def mean_of_planes(case):
    return [scalar.average(case.rule, [flat(plane) for plane in case.x[0][0]], case.ins[0], case.outs[0])]


def concat(case):
    parts = [case.moved(flat(x), 0, number) for number, x in enumerate(case.x)]
    assert case.attrs["axis"] == 1
    assert case.out_shapes[0][0] == 1
    return [list(itertools.chain(*parts))]


def split(case):
    found, first = [], 0
    for number, size in enumerate(case.attrs["split"]):
        found.append(case.moved(flat(case.x[0][0][first : first + size]), number))
        first += size
    return found


def pad(case):
    top, left = case.attrs["pads"][2:4]
    nested, (_, _, height, width) = case.x[0].tolist(), case.x[0].shape
    values = []
    for n, c, y, x in places(case.out_shapes[0]):
        inside = 0 <= y - top < height and 0 <= x - left < width
        values.append(nested[n][c][y - top][x - left] if inside else case.ins[0].zero)
    return [case.moved(values)]


def depth_to_space(case, at):
    n, c, y, x = at
    block, share = case.attrs["blocksize"], case.out_shapes[0][1]
    return n, ((y % block) * block + x % block) * share + c, y // block, x // block


def space_to_depth(case, at):
    n, c, y, x = at
    block, channels = case.attrs["blocksize"], case.x[0].shape[1]
    part, channel = divmod(c, channels) if case.attrs["mode"] == "DCR" else divmod(c, block * block)[::-1]
    return n, channel, y * block + part // block, x * block + part % block


def resize_linear(case):
    x_q, y_q, planes = case.ins[0], case.outs[0], case.x[0][0].tolist()
    tail = y_q.tail(case.rule, x_q.scale / (y_q.scale * 2.0**22))

    def taps(place: int, size: int):
        position = min(max((place + 0.5) / 2 - 0.5, 0.0), size - 1.0)
        first = math.floor(position)
        weight = scalar.rhe((position - first) * 2048)
        return ((first, 2048 - weight), (min(first + 1, size - 1), weight))

    _, _, height, width = case.out_shapes[0]
    return [[
        tail(sum((plane[i][j] - x_q.zero) * a * b
                 for i, a in taps(y, len(plane)) for j, b in taps(x, len(plane[0]))))
        for plane in planes for y in range(height) for x in range(width)
    ]]  # fmt: skip


def arg_max(case):
    return [[row.index(max(row)) for row in case.x[0].tolist()]]


def _resize(mode: str, place: str) -> dict[str, Any]:
    return {"mode": mode, "sizes": (1, 4, 12, 12), "scales": (1.0, 1.0, 2.0, 2.0),
            "coordinate_transformation_mode": place, "nearest_mode": "floor"}  # fmt: skip


HALF, DOUBLE, ROWS = (1, 4, 3, 3), (1, 4, 12, 12), (1, 8)
SLICE = {"starts": (1, 5), "ends": (3, -1), "axes": (1, 3), "steps": (1, -2)}

SAMPLES: dict[str, tuple[Sample, ...]] = {
    **REDUCTIONS,
    **RECURRENT,
    "Conv": (Sample(conv, attrs=SQUARE, constants={1: (4, 4, 3, 3), 2: (4,)}),),
    "ConvTranspose": (
        Sample(conv_transpose, outputs=(DOUBLE,), constants={1: (4, 4, 2, 2), 2: (4,)},
               attrs={**SQUARE, "strides": (2, 2), "pads": (0,) * 4, "output_padding": (0, 0)}),
    ),
    "Gemm": (Sample(gemm, (ROWS,), ((1, 5),), {"transB": 1}, {1: (5, 8), 2: (5,)}),),
    "MatMul": (
        Sample(matmul, ((1, 3, 8),), ((1, 3, 5),), constants={1: (8, 5)}),
        Sample(product_of_activations, ((1, 3, 8), (1, 8, 5)), ((1, 3, 5),)),
    ),
    **{
        op: (Sample(two_operands(function, **sign), (SHAPE, SHAPE)),
             Sample(two_operands(function, **sign), constants={1: (4, 1, 1)}))
        for op, function, sign in (
            ("Add", scalar.add, {}), ("Sub", scalar.add, {"sign": -1}), ("Mul", scalar.mul, {}), ("Max", larger, {}),
            ("Min", smaller, {}),
        )
    },
    "Div": (
        Sample(two_operands(scalar.quotient), (SHAPE, SHAPE), above=0.5),
        Sample(two_operands(scalar.quotient), constants={0: (4, 1, 1)}, above=0.5),
    ),
    "SquaredDifference": (
        Sample(two_operands(scalar.squared_difference), (SHAPE, SHAPE), spelled_out=True),
        Sample(two_operands(scalar.squared_difference), constants={1: (4, 1, 1)}, spelled_out=True),
    ),
    "Where": (
        Sample(two_operands(selected), (SHAPE, SHAPE), masks={0: MASK}),
        Sample(two_operands(selected), constants={2: (4, 1, 1)}, masks={0: MASK}),
    ),
    "Relu": (Sample(clamp),),
    "Clip": (Sample(clamp, attrs={"lo": -0.25, "hi": 0.75}),),
    "Requantize": (Sample(requantize),),
    "PRelu": (Sample(prelu, constants={1: (4, 1, 1)}),),
    **{op: (Sample(pointwise(function), attrs=attrs),) for op, (function, attrs) in scalar.FUNCTIONS.items()},
    "Gelu": (
        Sample(pointwise(scalar.FUNCTIONS["Gelu"][0]), attrs={"approximate": "none"}, spelled_out=True),
        Sample(pointwise(gelu_by_tanh), attrs={"approximate": "tanh"}, spelled_out=True),
    ),
    "Sqrt": (Sample(steep(positive(math.sqrt, 0.0), 0.5), above=0.5),),
    "Rsqrt": (Sample(steep(positive(lambda v: v**-0.5, 1e9), -0.5), above=0.5),),
    "Reciprocal": (Sample(steep(lambda v: 1 / v if v else 1e9, -1.0), above=0.5),),
    "Log": (Sample(steep(positive(math.log, -1e9)), above=0.5),),
    "Pow": tuple(
        Sample(steep(function, exponent), attrs={"exponent": exponent}, above=0.5)
        for exponent, function in (
            (2.0, lambda v: v**2), (3.0, lambda v: v**3), (-2.0, lambda v: v**-2 if v else 1e9),
            (1.5, positive(lambda v: v**1.5, 0.0)), (0.25, positive(lambda v: v**0.25, 0.0)),
        )
    ),
    "Abs": (Sample(rescaled(lambda v, _x, _attrs: abs(v))),),
    "Neg": (Sample(rescaled(lambda v, _x, _attrs: -v)),),
    "ThresholdedRelu": (
        Sample(rescaled(lambda v, x, a: v if v > math.floor(a["alpha"] / x.scale) else 0), attrs={"alpha": 0.4}),
    ),
    "Softmax": (Sample(softmax, (ROWS,), (ROWS,), {"axis": 1}),),
    "MaxPool": (Sample(lambda case: [case.moved(list(map(max, windows(case))))], outputs=(HALF,), attrs=WINDOW),),
    "AveragePool": (Sample(average_pool, outputs=(HALF,), attrs={**WINDOW, "count_include_pad": 0}),),
    "GlobalAveragePool": (Sample(mean_of_planes, outputs=((1, 4, 1, 1),)),),
    "ReduceMean": (Sample(mean_of_planes, outputs=((1, 4),), attrs={"axes": (2, 3), "keepdims": 0}),),
    "Concat": (Sample(concat, (SHAPE, SHAPE), ((1, 8, 6, 6),), {"axis": 1}),),
    "Split": (Sample(split, outputs=((1, 1, 6, 6), (1, 3, 6, 6)), attrs={"axis": 1, "split": (1, 3)}),),
    "Slice": (
        Sample(gathered(lambda _case, at: (at[0], at[1] + 1, at[2], 5 - 2 * at[3])), outputs=((1, 2, 6, 3),),
               attrs=SLICE),
    ),
    "Pad": (
        Sample(pad, outputs=((1, 4, 9, 8),),
               attrs={"pads": (0, 0, 1, 2, 0, 0, 2, 0), "mode": "constant", "value": 0.0}),
    ),
    "Reshape": (Sample(requantize, outputs=((1, 144),), attrs={"shape": (1, 144)}),),
    "Transpose": (
        Sample(gathered(lambda _case, at: (at[0], at[3], at[1], at[2])), outputs=((1, 6, 6, 4),),
               attrs={"perm": (0, 2, 3, 1)}),
    ),
    "DepthToSpace": (
        Sample(gathered(depth_to_space), outputs=((1, 1, 12, 12),), attrs={"blocksize": 2, "mode": "DCR"}),
    ),
    "SpaceToDepth": tuple(
        Sample(gathered(space_to_depth), outputs=((1, 16, 3, 3),), attrs={"blocksize": 2, "mode": mode},
               spelled_out=mode == "CRD")
        for mode in ("DCR", "CRD")
    ),
    "Resize": (
        Sample(gathered(lambda _case, at: (at[0], at[1], at[2] // 2, at[3] // 2)), outputs=(DOUBLE,),
               attrs=_resize("nearest", "asymmetric")),
        Sample(resize_linear, outputs=(DOUBLE,), attrs=_resize("linear", "half_pixel")),
    ),
    "ArgMax": (Sample(arg_max, (ROWS,), ((1,),), {"axis": 1, "keepdims": 0, "select_last_index": 0}),),
}  # fmt: skip


def float_graph(op: str, sample: Sample, rng: np.random.Generator, *, hosted: bool = False) -> Graph:
    """Return the float network of the sample; hosted: behind a Conv and Relu and before a Conv, where its rank fits."""
    return _Builder(op, sample, rng).graph(hosted=hosted)


class _Builder:
    def __init__(self, op: str, sample: Sample, rng: np.random.Generator) -> None:
        self.op, self.sample, self.rng = op, sample, rng
        self.infos: dict[str, TensorInfo] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node] = []

    def graph(self, *, hosted: bool) -> Graph:
        names, shapes = [], list(self.sample.inputs)
        for position in range(len(shapes) + len(self.sample.constants) + len(self.sample.masks)):
            if position in self.sample.masks:
                self.constants[f"c{position}"] = self.sample.masks[position]
                shape = self.sample.masks[position].shape
                names.append(self.tensor(f"c{position}", shape, "bool"))
            elif position in self.sample.constants:
                names.append(self.constant(f"c{position}", self.sample.constants[position]))
            else:
                shape = shapes.pop(0)
                names.append(self.tensor(f"x{position}", shape))
        inputs = tuple(name for name in names if name not in self.constants)
        behind = [self.layer(name, relu=True) if hosted and self.fits(name) else name for name in names]
        outputs = tuple(
            self.tensor(f"y{number}", shape, "int64" if self.op == "ArgMax" else "float32")
            for number, shape in enumerate(self.sample.outputs)
        )
        self.nodes.append(Node("node", self.op, tuple(behind), outputs, self.sample.attrs))
        given = outputs[: len(outputs) - self.sample.inner]
        ends = tuple(self.layer(name) if hosted and self.fits(name) else name for name in given)
        return Graph("net", tuple(self.nodes), inputs, ends, self.infos, self.constants, batchable=False)

    def fits(self, name: str) -> bool:
        recurrent = TRAITS[self.op].family == "recurrent"
        return not recurrent and name not in self.constants and len(self.infos[name].shape) == 4

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> str:
        self.infos[name] = TensorInfo(name, shape, dtype)
        return name

    def constant(self, name: str, shape: tuple[int, ...]) -> str:
        self.constants[name] = self.rng.normal(0, 0.5, shape).astype(np.float32)
        return self.tensor(name, shape)

    def layer(self, name: str, *, relu: bool = False) -> str:
        _, channels, height, width = self.infos[name].shape
        weight, bias = self.constant(f"{name}_w", (channels, channels, 1, 1)), self.constant(f"{name}_b", (channels,))
        made = self.tensor(f"{name}_conv", (1, channels, height, width))
        self.nodes.append(Node(made, "Conv", (name, weight, bias), (made,), {**SQUARE, "pads": (0,) * 4}))
        if not relu:
            return made
        clamped = self.tensor(f"{name}_relu", (1, channels, height, width))
        lo, op = self.sample.above, "Clip" if self.sample.above else "Relu"
        self.nodes.append(Node(clamped, op, (made,), (clamped,), {"lo": lo, "hi": 3.0} if lo else {}))
        return clamped


def integer_case(op: str, sample: Sample, rule: str, dtype: str, rng: np.random.Generator, *, tied: bool = False):
    """Return (plan, feeds, case): one layer of random integers, and what its scalar model gets."""
    graph = float_graph(op, sample, rng)
    (node,), traits = graph.nodes, TRAITS[op]
    steps, zero = {"s8": 127, "u8": 255, "s16": 32767}[dtype], {"s8": 0, "u8": 99, "s16": 0}[dtype]
    grids = {name: params(dtype, float(np.exp(rng.uniform(0.0, 0.5))) * 2 / steps, zero) for name in graph.inputs}
    wide = INT_TYPES["s16" if dtype == "s16" else "s8"]
    integers = {name: random_integers(rng, grid, graph.shape(name)) for name, grid in grids.items()}
    weight, bias, operands = None, None, {}
    recurrent = matrices(node, sample, dtype, rng) if traits.family == "recurrent" else {}
    for position in sample.constants:
        shape = sample.constants[position]
        if position in recurrent:
            continue
        if position == traits.weight:
            values = rng.integers(-wide.high, wide.high + 1, shape).astype(wide.numpy)
            weight = QWeight(values, wide, np.array([float(np.float32(1.0 / wide.high))]))
        elif position == traits.bias:
            bias = rng.integers(-3000, 3000, shape)
        else:
            grid = params("s16", 1.5 / 32767) if traits.operands == "wide" else params(dtype, 1.5 / steps, zero)
            operands[position] = (random_integers(rng, grid, shape), grid)
    spread = 2.0 if traits.family != "matrix" else 8.0
    outs = {} if traits.scale == "index" else {name: _out_grid(op, dtype, spread, steps, rng) for name in node.outputs}
    if recurrent:
        outs = {name: grid_of(place, dtype, steps, zero, rng) for place, name in enumerate(node.outputs)}
        outs[node.outputs[1]] = outs[node.outputs[0]]
        if len(node.outputs) > 2:
            outs[node.outputs[2]] = outs[node.outputs[3]]
        if len(node.inputs) > 5:
            grids[node.inputs[5]] = outs[node.outputs[3]]
            integers[node.inputs[5]] = random_integers(rng, grids[node.inputs[5]], graph.shape(node.inputs[5]))
    if tied:
        outs = dict.fromkeys(outs, next(iter(grids.values())))
    tensors = {**grids, **outs}
    layer = Layer(f"{op}_node__0", op, node, graph.inputs, node.outputs, weight=weight, bias=bias, operands=operands,
                  matrices=recurrent)  # fmt: skip
    plan = QuantPlan(graph, (layer,), tensors, 1, {})
    sources = [operands[p] if p in operands else (integers[name], grids[name]) for p, name in enumerate(node.inputs)
               if p in operands or name in integers]  # fmt: skip
    biases = [] if bias is None else flat(bias)
    case = Case(
        rule, dict(sample.attrs), [np.asarray(value).astype(int) for value, _ in sources],
        [scalar.Quantity(grid) for _, grid in sources], [scalar.Quantity(grid) for grid in outs.values()],
        weight, biases, sample.outputs[: len(sample.outputs) - sample.inner], recurrent,
    )  # fmt: skip
    return plan, integers, case


def _out_grid(op: str, dtype: str, spread: float, steps: int, rng: np.random.Generator):
    if TRAITS[op].scale == "fixed":
        return params(dtype, {"s8": 2.0**-7, "u8": 2.0**-7, "s16": 2.0**-15}[dtype])
    zero = {"s8": 3, "u8": 120, "s16": 0}[dtype]
    return params(dtype, spread * float(np.exp(rng.uniform(-0.3, 0.3))) / steps, zero)
