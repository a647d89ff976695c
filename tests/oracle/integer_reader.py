"""A reader of ``<name>_quant.npz`` that knows nothing but the file, docs/deploy.md and docs/arithmetic.md.

It imports NumPy and the standard library alone (as `recurrent_reader` does), and computes every tensor of a network in
64-bit integers, layer by layer, tap by tap: slow, short, and independent of the simulator. `dsp` and `tflite` recipes
of the common operators, NCHW and NHWC.
"""

import copy
import json
import math

import numpy as np
from reader_arithmetic import RULES, TYPES, limited, line, looked_up, surrounded, up
from reader_functions import (
    SIGNS,
    STEEP,
    largest_of,
    quotient,
    rescaled,
    selected,
    smallest_of,
    squared_difference,
)
from reader_layers import normalized_channels, normalized_layer, resized
from reader_pools import averaged, extreme, largest, root_of_squares, total
from reader_softmax import softmax
from recurrent_reader import gru, lstm


def read(path):
    """Return (description of the network, arrays by name) of a file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("network").tobytes().decode("utf-8")), arrays


def run(path, feeds):
    """Return the integers of every tensor, by name; feeds: input name -> real values in the model's shape, batch 1."""
    network, arrays = read(path)
    values = {name: quantized(value, network["tensors"][name]) for name, value in feeds.items()}
    for layer in network["layers"]:
        made = OPERATORS[layer["operator"]](_Layer(layer, network, arrays, values))
        values.update(zip(layer["outputs"], made if isinstance(made, list) else [made], strict=True))
    return values


def quantized(real, grid):
    low, high = TYPES[grid["type"]]
    return np.clip(np.rint(real.astype(np.float64) / grid["scale"]) + grid["zero_point"], low, high).astype(np.int64)


class _Layer:
    """One layer: its description, its tables as 64-bit integers, the integers of its operands."""

    def __init__(self, layer, network, arrays, values):
        self.layer, self.network, self.attrs = layer, network, layer["attributes"]
        names = (*layer["tables"], *layer["added"])
        self.tables = {name: arrays[f"{layer['name']}/{name}"] for name in names}
        grids = [network["tensors"][name] for name in layer["inputs"]]
        self.operands = dict(
            zip(layer["places"], zip([values[n] for n in layer["inputs"]], grids, strict=True), strict=True)
        )
        for place, grid in layer.get("operands", {}).items():
            self.operands[int(place)] = (self.table(f"operand_{place}"), grid)
        self.grid = network["tensors"][layer["outputs"][0]]
        self.shape = self.grid["shape"]

    def table(self, name, default=None):
        found = self.tables.get(name, default)
        return found if found is None or found.dtype.kind == "f" else np.asarray(found).astype(np.int64)

    def centred(self, place=0):
        values, grid = self.operands[place]
        return values - grid["zero_point"]

    def ordered(self):
        return [self.operands[place] for place in sorted(self.operands)]

    def weight(self):
        return self.table("weight") - self.layer["weight"]["zero_point"]

    def requantized(self, acc, axis=None, prefix="", pick=None):
        """Return clamp(z_y + rounded M * acc); tables of a channel lie along `axis`."""
        tables = {}
        for name in ("multiplier", "shift", "pre_shift"):
            table = self.table(prefix + name)
            if table is not None and pick is not None:
                table = table[pick]
            if table is not None and axis is not None and table.size > 1:
                table = table.reshape([-1 if place == axis else 1 for place in range(acc.ndim)])
            tables[name] = table
        raw = RULES[self.layer["requantization"]](limited(acc, self.network), tables)
        return self.finished(raw + self.grid["zero_point"])

    def finished(self, y):
        low, high = self.layer["clamp"]
        y = np.clip(y, low, high)
        limits = self.table("clamp_high")
        return y if limits is None else np.minimum(y, limits.reshape(1, -1, *(1,) * (y.ndim - 2)))


def convolution(layer):
    x, w, a = layer.centred(), layer.weight(), layer.attrs
    rank, groups = x.ndim - 2, a["group"]
    near, far = a["pads"][:rank], a["pads"][rank:]
    x = surrounded(x, [(0, 0), (0, 0), *zip(near, far, strict=True)])
    ins, outs = w.shape[1], w.shape[0] // groups
    acc = np.zeros([1, w.shape[0], *layer.shape[2:]], np.int64)
    for tap in np.ndindex(*w.shape[2:]):
        cut = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, a["dilations"], a["strides"], layer.shape[2:], strict=True)
        ]
        part = x[(slice(None), slice(None), *cut)]
        for group in range(groups):
            rows = slice(group * outs, (group + 1) * outs)
            kernel = w[(rows, slice(None), *tap)]
            acc[0, rows] += np.tensordot(kernel, part[0, group * ins : (group + 1) * ins], 1)
    return layer.requantized(biased(layer, acc), 1)


def biased(layer, acc):
    bias = layer.table("bias")
    return acc if bias is None else acc + bias.reshape(1, -1, *(1,) * (acc.ndim - 2))


def transposed_convolution(layer):
    x, w, a = layer.centred(), layer.weight(), layer.attrs
    rank, groups = x.ndim - 2, a["group"]
    ins, outs = w.shape[0] // groups, w.shape[1]
    reach = [
        (n - 1) * s + (k - 1) * d + 1 + extra
        for n, s, k, d, extra in zip(
            x.shape[2:], a["strides"], w.shape[2:], a["dilations"], a["output_padding"], strict=True
        )
    ]
    acc = np.zeros([1, outs * groups, *reach], np.int64)
    for tap in np.ndindex(*w.shape[2:]):
        cut = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, a["dilations"], a["strides"], x.shape[2:], strict=True)
        ]
        for group in range(groups):
            kernel = w[(slice(group * ins, (group + 1) * ins), slice(None), *tap)]
            part = np.tensordot(kernel.T, x[0, group * ins : (group + 1) * ins], 1)
            acc[(0, slice(group * outs, (group + 1) * outs), *cut)] += part
    crop = [slice(near, near + size) for near, size in zip(a["pads"][:rank], layer.shape[2:], strict=True)]
    return layer.requantized(biased(layer, acc[(slice(None), slice(None), *crop)]), 1)


def product(layer):
    x = layer.centred()
    if "weight" in layer.layer:
        w = layer.weight()
        acc = x @ (w.T if layer.attrs.get("transB", 0) else w)
    else:
        acc = x @ layer.centred(1)
    bias = layer.table("bias")
    return layer.requantized(acc if bias is None else acc + bias, acc.ndim - 1)


def added(layer, sign):
    a, b = layer.centred(0), layer.centred(1)
    weights = layer.table("weights")
    if weights is not None:
        return layer.requantized(a * weights[0] + b * weights[1])
    first, second = rescaled(layer)
    return layer.requantized(first + sign * second)


def function(layer):
    values, grid = layer.operands[0]
    table, knots = layer.table("table"), layer.table("knots")
    if knots is None:
        return layer.finished(looked_up(values, grid, table))
    bits, below, above, shift = layer.tables.get("focus", (0, 0, 0, 1))
    u = line(knots, values, 7 - int(bits), 1 << (15 - int(bits)))
    if bits:
        reach, shift = 1 << (15 - int(bits)), int(shift)
        u = np.where(values >= reach, knots[-1] + up((values - reach) * int(above), shift), u)
        u = np.where(values < -reach, knots[0] + up((values + reach) * int(below), shift), u)
    wide = layer.grid["type"] == "s16"
    return layer.finished(u if wide else layer.grid["zero_point"] + ((u + 64) >> 7))


def signed(value):
    """Return an operator of one multiplier behind a sum; of 8-bit inputs it is a table."""
    return lambda layer: function(layer) if "table" in layer.tables else layer.requantized(value(layer))


def sloped(layer):
    x, slope = layer.centred(), layer.table("slope")
    return np.where(x >= 0, layer.requantized(x), layer.requantized(x * slope, prefix="negative_"))


def moved(move):
    """Return an operator of one input that moves integers and then brings them to the output's grid."""

    def operator(layer):
        values, grid = layer.operands[0]
        return looked_up(move(layer, values), grid, layer.table("table_0"))

    return operator


def concatenated(layer):
    parts = [
        looked_up(values, grid, layer.table(f"table_{place}")) for place, (values, grid) in enumerate(layer.ordered())
    ]
    return np.concatenate(parts, axis=layer.attrs["axis"])


def split(layer):
    values, grid = layer.operands[0]
    parts = np.split(values, np.cumsum(layer.attrs["split"])[:-1], axis=layer.attrs["axis"])
    return [looked_up(part, grid, layer.table(f"table_{place}")) for place, part in enumerate(parts)]


def sliced(layer, x):
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(
        *(layer.attrs[name] for name in ("axes", "starts", "ends", "steps")), strict=True
    ):
        index[axis] = slice(start, None if step < 0 and end < 0 else end, step)
    return x[tuple(index)]


def padded(layer, x):
    pads = layer.attrs["pads"]
    sides = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    if layer.attrs["mode"] != "constant":
        return np.pad(x, sides, mode=layer.attrs["mode"])
    return surrounded(x, sides, int(layer.table("fill")[0]))


def index_of_largest(layer):
    values = layer.operands[0][0]
    axis = layer.attrs["axis"]
    found = values.argmax(axis=axis)
    if layer.attrs.get("select_last_index", 0):
        found = values.shape[axis] - 1 - np.flip(values, axis).argmax(axis=axis)
    return found.reshape(layer.shape)


def gathered(layer, x):
    indices = np.array(layer.attrs["indices"], np.int64).reshape(layer.attrs["shape"])
    return x.take(indices, axis=layer.attrs["axis"])


def scattered(layer):
    """Return the first operand with slices of the second put in, one after the other."""
    (data, grid), (updates, other) = layer.ordered()
    found = looked_up(data, grid, layer.table("table_0")).copy()
    shape = layer.attrs["shape"]
    indices = np.array(layer.attrs["indices"], np.int64).reshape(-1, shape[-1])
    slices = looked_up(updates, other, layer.table("table_1")).reshape(len(indices), *found.shape[shape[-1] :])
    for place, part in zip(indices.tolist(), slices, strict=True):
        found[tuple(place)] = part
    return found


def blocks_to_space(layer, x):
    (n, c, *space), block = x.shape, layer.attrs["blocksize"]
    split = [block, block, c // block**2] if layer.attrs["mode"] == "DCR" else [c // block**2, block, block]
    order = [0, 3, 4, 1, 5, 2] if layer.attrs["mode"] == "DCR" else [0, 1, 4, 2, 5, 3]
    return x.reshape(n, *split, *space).transpose(order).reshape(layer.shape)


def space_to_blocks(layer, x):
    (n, c, h, w), block = x.shape, layer.attrs["blocksize"]
    order = [0, 3, 5, 1, 2, 4] if layer.attrs["mode"] == "DCR" else [0, 1, 3, 5, 2, 4]
    return x.reshape(n, c, h // block, block, w // block, block).transpose(order).reshape(layer.shape)


def pictures(operator):
    """Return an operator over pictures [N, C, ...] that takes those of NHWC networks too."""

    def either(layer):
        if not layer.attrs.get("channels_last", 0):
            return operator(layer)
        moved = copy.copy(layer)
        moved.operands = {place: (np.moveaxis(x, -1, 1), grid) for place, (x, grid) in layer.operands.items()}
        moved.shape = [layer.shape[0], layer.shape[-1], *layer.shape[1:-1]]
        return np.moveaxis(operator(moved), 1, -1)

    return either


FUNCTIONS = (
    "Relu", "Clip", "Requantize", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "HardSigmoid", "SiLU", "Mish",
    "Selu", "Celu", "Gelu", "Erf", "Exp", "Softplus", "Softsign",
)  # fmt: skip
OPERATORS = {
    "Conv": pictures(convolution),
    "ConvTranspose": pictures(transposed_convolution),
    "Gemm": product,
    "MatMul": product,
    "Add": lambda layer: added(layer, 1),
    "Sub": lambda layer: added(layer, -1),
    "Mul": lambda layer: layer.requantized(layer.centred(0) * layer.centred(1)),
    **dict.fromkeys(FUNCTIONS, function),
    **{op: lambda layer, steep=steep: steep(layer, function) for op, steep in STEEP.items()},
    **{op: signed(value) for op, value in SIGNS.items()},
    "PRelu": sloped,
    "Div": quotient,
    "LayerNormalization": normalized_layer,
    "InstanceNormalization": normalized_channels,
    "MaxPool": pictures(largest),
    "AveragePool": pictures(averaged),
    "GlobalAveragePool": pictures(total),
    **dict.fromkeys(("ReduceMean", "ReduceSum"), total),
    "ReduceMax": extreme(np.max),
    "ReduceMin": extreme(np.min),
    "ReduceL2": root_of_squares,
    "Max": largest_of,
    "Min": smallest_of,
    "Where": selected,
    "SquaredDifference": squared_difference,
    "Softmax": softmax,
    "Concat": concatenated,
    "Split": split,
    "Resize": resized,
    "Reshape": moved(lambda layer, x: x.reshape(layer.shape)),
    "Transpose": moved(lambda layer, x: x.transpose(layer.attrs["perm"])),
    "Slice": moved(sliced),
    "Pad": moved(padded),
    "Gather": moved(gathered),
    "Tile": moved(lambda layer, x: np.tile(x, layer.attrs["repeats"])),
    "ScatterND": scattered,
    "DepthToSpace": pictures(moved(blocks_to_space)),
    "SpaceToDepth": pictures(moved(space_to_blocks)),
    "ArgMax": index_of_largest,
    "LSTM": lstm,
    "GRU": gru,
}


def bytes_of(arrays):
    """Return the bytes of all tables."""
    return sum(math.prod(value.shape) * value.itemsize for value in arrays.values())
