"""A reader of ``<name>_quant.npz`` that knows nothing but the file, docs/deploy.md and docs/arithmetic.md.

It imports NumPy and the standard library alone (as `recurrent_reader` does), and computes every tensor of a network in
64-bit integers, layer by layer, tap by tap: slow, short, and independent of the simulator. `dsp` and `tflite` recipes
of the common operators, NCHW and NHWC.
"""

import copy
import json
import math

import numpy as np
from reader_arithmetic import RULES, TYPES, away, limited, looked_up, t31, up
from reader_layers import normalized_channels, normalized_layer, quotient, resized
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
    x = np.pad(x, [(0, 0), (0, 0), *zip(near, far, strict=True)])
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
    left, multiplier, shift = (layer.table(n) for n in ("left_shift", "operand_multiplier", "operand_shift"))
    parts = [t31(value << left[0], multiplier[place], shift[place]) for place, value in enumerate((a, b))]
    return layer.requantized(parts[0] + sign * parts[1])


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


def line(knots, values, bits, reach):
    """Return the values on the lines between knots that are 2^bits integers apart, from -reach on."""
    inside = np.clip(values, -reach, reach - 1) + reach
    place, part = inside >> bits, inside & ((1 << bits) - 1)
    return knots[place] + up((knots[place + 1] - knots[place]) * part, bits)


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


def windows(layer, x, fill):
    """Return [taps, ...output]: what each place of the window sees, `fill` outside the picture."""
    a, rank = layer.attrs, x.ndim - 2
    dilations = a.get("dilations", [1] * rank)
    cuts = list(zip(a["kernel_shape"], dilations, a["strides"], layer.shape[2:], strict=True))
    pads = [
        (near, max(far, (n - 1) * s + (k - 1) * d + 1 - size - near, 0))
        for near, far, size, (k, d, s, n) in zip(a["pads"][:rank], a["pads"][rank:], x.shape[2:], cuts, strict=True)
    ]
    x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    taps = np.ndindex(*a["kernel_shape"])
    return np.stack(
        [
            x[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, (_, d, s, n) in zip(tap, cuts, strict=True)))]
            for tap in taps
        ]
    )


def largest(layer):
    values, grid = layer.operands[0]
    found = windows(layer, values, TYPES[grid["type"]][0]).max(axis=0)
    return looked_up(found, grid, layer.table("table_0"))


def averaged(layer):
    x, sizes = layer.centred(), layer.table("window")
    assert not layer.attrs["count_include_pad"], "left out of this reader"
    sums, counts = windows(layer, x, 0).sum(axis=0), windows(layer, np.ones_like(x), 0).sum(axis=0)
    if "multiplier" not in layer.tables:  # TFLite: the plain sum over n, half away from zero
        total = sums + counts * layer.operands[0][1]["zero_point"]
        return layer.finished(np.sign(total) * ((np.abs(total) + counts // 2) // counts))
    found = np.zeros_like(sums)
    for place, size in enumerate(sizes):
        found = np.where(counts == size, layer.requantized(sums, pick=slice(place, place + 1)), found)
    return found


def mean(layer):
    x = layer.centred()
    axes = tuple(layer.attrs.get("axes", range(2, x.ndim)))
    return layer.requantized(x.sum(axis=axes).reshape(layer.shape))


def softmax(layer):
    axis, powers = layer.attrs["axis"], layer.table("exponentials")
    rows = np.moveaxis(layer.operands[0][0], axis, -1)
    distance = rows.max(axis=-1, keepdims=True) - rows
    counted = distance < powers.size
    e = np.where(counted, powers[np.minimum(distance, powers.size - 1)], 0)
    if "fraction" in layer.tables:
        total = e.sum(axis=-1, keepdims=True)
        y = layer.grid["zero_point"] + (e * layer.table("fraction") + 128 * total) // (256 * total)
    else:
        y = layer.grid["zero_point"] + fixed_point_quotients(e, TYPES[layer.grid["type"]])
    return np.moveaxis(layer.finished(y), -1, axis)


def fixed_point_quotients(e, reach):
    """Return the shares of exponentials [..., D] (31 bits of fraction) in 1/256, as TFLite divides them."""
    out = np.zeros_like(e)
    for place in np.ndindex(*e.shape[:-1]):
        row = [int(value) for value in e[place]]
        total = sum(int(away(np.int64(value), 12)) for value in row)
        zeros = 32 - total.bit_length()
        half = (total << zeros) >> 1
        x = 1515870810 + high(half, -1010580540)
        for _ in range(3):
            x += max(min(high(x, 2**29 - high(half, x)) << 2, 2**31 - 1), -(2**31))
        inverse = max(min(x << 1, 2**31 - 1), -(2**31))
        out[place] = [int(away(np.int64(high(inverse, value)), 35 - zeros)) for value in row]
    return out


def high(a, b):
    return (a * b + 2**30) >> 31


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
    return np.pad(x, sides, constant_values=int(layer.table("fill")[0]))


def index_of_largest(layer):
    values = layer.operands[0][0]
    axis = layer.attrs["axis"]
    found = values.argmax(axis=axis)
    return found.reshape(layer.shape)


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


OPERATORS = {
    "Conv": pictures(convolution),
    "ConvTranspose": pictures(transposed_convolution),
    "Gemm": product,
    "MatMul": product,
    "Add": lambda layer: added(layer, 1),
    "Sub": lambda layer: added(layer, -1),
    "Mul": lambda layer: layer.requantized(layer.centred(0) * layer.centred(1)),
    **dict.fromkeys(("Relu", "Clip", "Requantize", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu"), function),
    "PRelu": sloped,
    "Div": quotient,
    "LayerNormalization": normalized_layer,
    "InstanceNormalization": normalized_channels,
    "MaxPool": pictures(largest),
    "AveragePool": pictures(averaged),
    "GlobalAveragePool": pictures(mean),
    "ReduceMean": mean,
    "Softmax": softmax,
    "Concat": concatenated,
    "Split": split,
    "Resize": resized,
    "Reshape": moved(lambda layer, x: x.reshape(layer.shape)),
    "Transpose": moved(lambda layer, x: x.transpose(layer.attrs["perm"])),
    "Slice": moved(sliced),
    "Pad": moved(padded),
    "ArgMax": index_of_largest,
    "LSTM": lstm,
    "GRU": gru,
}


def bytes_of(arrays):
    """Return the bytes of all tables."""
    return sum(math.prod(value.shape) * value.itemsize for value in arrays.values())
