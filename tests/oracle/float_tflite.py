"""Float TFLite networks from a list of operator names and a seed; their shapes are those that LiteRT finds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from tflite_builder import Step, Tensor, build_network, reference_interpreter

FUSED = (0, 0, 1, 2, 3)


@dataclass
class Net:
    """A network under construction. Every operator reads the last tensor, and sometimes an earlier one."""

    rng: np.random.Generator
    tensors: list[Tensor] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    made: list[int] = field(default_factory=list)  # activations, in order

    def constant(self, values, dtype=np.float32) -> int:
        values = np.asarray(values, dtype)
        self.tensors.append(Tensor(f"c{len(self.tensors)}", values.shape, values.dtype.name, data=values))
        return len(self.tensors) - 1

    def weights(self, *shape) -> int:
        return self.constant(self.rng.normal(0, 1 / np.sqrt(max(np.prod(shape[1:]), 1)), shape))

    def shape(self, number=-1):
        return self.tensors[self.made[-1] if number < 0 else number].shape

    @property
    def last(self) -> int:
        return self.made[-1]

    def pick(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def add(self, operator, inputs, kind="", count=1, dtype="float32", version=0, **fields) -> list[int]:
        """Append an operator; the shapes of what it writes are asked of LiteRT."""
        outputs = list(range(len(self.tensors), len(self.tensors) + count))
        self.tensors += [Tensor(f"t{number}", (), dtype) for number in outputs]
        self.steps.append(Step(operator, list(inputs), outputs, kind, fields, version))
        reads = [number for number in inputs if self.tensors[number].data is None]
        interpreter = reference_interpreter(
            build_network(self.tensors, [self.steps[-1]], list(dict.fromkeys(reads)), outputs)
        )
        for number in outputs:
            shape = tuple(int(size) for size in interpreter.get_tensor(number).shape)
            self.tensors[number] = replace(self.tensors[number], shape=shape)
        self.made += outputs
        return outputs

    def model(self, outputs=None) -> bytes:
        return build_network(self.tensors, self.steps, [0], outputs or [self.last])


def unary(operator, kind="", **fields):
    return lambda net: net.add(operator, [net.last], kind, **fields)


def positive(operator):
    """An operator of positive numbers: |x| + 0.5 goes in."""

    def step(net):
        net.add("ABS", [net.last], "Abs")
        net.add("ADD", [net.last, net.constant(0.5)], "Add", FusedActivationFunction=0)
        net.add(operator, [net.last])

    return step


def small(operator):
    def step(net):
        net.add("TANH", [net.last])
        net.add(operator, [net.last])

    return step


def pair(operator, kind="", fused=True):
    """Two tensors: an earlier one of the same shape, or a constant that broadcasts, on either side."""

    def step(net):
        shape = net.shape()
        others = [number for number in net.made[:-1] if net.tensors[number].shape == shape
                  and net.tensors[number].dtype == "float32"]  # fmt: skip
        forms = [shape, shape[-1:], (1,) * len(shape), (), (*shape[:-1], 1), (1,) * (len(shape) - 1) + shape[-1:]]
        if others and net.rng.integers(2):
            other = net.pick(*others)
        else:
            values = net.rng.uniform(0.5, 2, net.pick(*forms))
            other = net.constant(values if operator in {"DIV", "POW"} else values * net.pick(-1, 1))
        names = [net.last, other]
        if operator not in {"DIV", "POW"} and net.rng.integers(2):
            names.reverse()
        if operator == "DIV" and net.tensors[other].data is None:
            net.add("ABS", [other], "Abs")
            net.add("ADD", [net.last, net.constant(0.5)], "Add", FusedActivationFunction=0)
            names = [names[0], net.last]
        if operator == "POW":
            net.add("ABS", [names[0]], "Abs")
            net.add("ADD", [net.last, net.constant(0.5)], "Add", FusedActivationFunction=0)
            names = [net.last, net.constant(net.pick(2.0, 0.5, 3.0))]
        net.add(operator, names, kind, **({"FusedActivationFunction": net.pick(*FUSED)} if fused else {}))

    return step


def picture(net):
    """Bring the last tensor to four axes, by a reshape."""
    shape = net.shape()
    if len(shape) == 4:
        return shape
    size = int(np.prod(shape))
    wanted = (1, 1, 1, size) if size % 4 else (1, 2, 2, size // 4)
    net.add("RESHAPE", [net.last, net.constant(wanted, np.int32)], "Reshape", NewShape=list(wanted))
    return wanted


def conv(net):
    _, height, width, channels = picture(net)
    kernel = net.pick(1, 2, 3)
    dilation, stride = net.pick((1, 1), (1, 2), (2, 1))
    span = (kernel - 1) * dilation + 1
    padding = 0 if min(height, width) < span else net.pick(0, 1)
    groups = net.pick(1, 2) if channels % 2 == 0 else 1
    outputs = net.pick(2, 4, 6)
    inputs = [net.last, net.weights(outputs, kernel, kernel, channels // groups), net.weights(outputs)]
    net.add("CONV_2D", inputs, "Conv2D", version=3, Padding=padding, StrideH=stride, StrideW=stride,
            DilationHFactor=dilation, DilationWFactor=dilation, FusedActivationFunction=net.pick(*FUSED))  # fmt: skip


def depthwise(net):
    _, height, width, channels = picture(net)
    kernel, times = net.pick(1, 2, 3), net.pick(1, 1, 2)
    padding = 0 if min(height, width) < kernel else net.pick(0, 1)
    inputs = [net.last, net.weights(1, kernel, kernel, channels * times), net.weights(channels * times)]
    net.add("DEPTHWISE_CONV_2D", inputs, "DepthwiseConv2D", Padding=padding, StrideH=1, StrideW=1,
            DepthMultiplier=times, DilationHFactor=1, DilationWFactor=1,
            FusedActivationFunction=net.pick(*FUSED))  # fmt: skip


def transposed(net):
    _, height, width, channels = picture(net)
    if max(height, width) > 12:
        return
    kernel, stride, outputs, padding = net.pick(2, 3), net.pick(1, 2), net.pick(2, 3), net.pick(0, 1)
    out = [n * stride if padding == 0 else (n - 1) * stride + kernel for n in (height, width)]
    inputs = [net.constant([1, *out, outputs], np.int32), net.weights(outputs, kernel, kernel, channels), net.last]
    inputs += [net.weights(outputs)] if net.rng.integers(2) else []
    net.add("TRANSPOSE_CONV", inputs, "TransposeConv", version=3, Padding=padding, StrideH=stride, StrideW=stride)


def dense(net):
    shape = net.shape()
    depth, keep = shape[-1], bool(net.rng.integers(2)) and len(shape) > 1
    if int(np.prod(shape)) < 200 and not keep and net.rng.integers(2):
        depth = int(np.prod(shape))  # all axes before the last are rows; the whole is one row
    outputs = net.pick(3, 5)
    inputs = [net.last, net.weights(outputs, depth)]
    inputs += [net.weights(outputs)] if net.rng.integers(2) else []
    net.add("FULLY_CONNECTED", inputs, "FullyConnected", version=5, KeepNumDims=keep,
            FusedActivationFunction=net.pick(*FUSED))  # fmt: skip


def pool(net):
    _, height, width, _ = picture(net)
    kernel = net.pick(1, 2, 3)
    padding = 0 if min(height, width) < kernel else net.pick(0, 1)
    net.add(net.pick("AVERAGE_POOL_2D", "MAX_POOL_2D"), [net.last], "Pool2D", Padding=padding, StrideH=net.pick(1, 2),
            StrideW=net.pick(1, 2), FilterHeight=kernel, FilterWidth=kernel,
            FusedActivationFunction=net.pick(*FUSED))  # fmt: skip


def some_axes(net, first=1):
    axes = [axis for axis in range(first, len(net.shape())) if net.rng.integers(2)]
    axes = axes or [len(net.shape()) - 1]
    return [axis - len(net.shape()) if net.rng.integers(2) else axis for axis in axes]


def reduced(net):
    if len(net.shape()) < 2:
        return
    keep = bool(net.rng.integers(2))
    axes = net.constant(some_axes(net), np.int32)
    net.add(net.pick("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), [net.last, axes], "Reducer", KeepDims=keep)


def resize(net):
    _, height, width, _ = picture(net)
    if max(height, width) > 12:
        return
    align, half = net.pick((False, False), (True, False), (False, True))
    size = net.constant([net.pick(height, 2 * height, height + 1), net.pick(width, 2 * width, 3)], np.int32)
    operator, kind = net.pick(
        ("RESIZE_BILINEAR", "ResizeBilinear"), ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")
    )
    net.add(operator, [net.last, size], kind, version=3, AlignCorners=align, HalfPixelCenters=half)


def blocks(net):
    _, height, width, channels = picture(net)
    if channels % 4 == 0:
        net.add("DEPTH_TO_SPACE", [net.last], "DepthToSpace", BlockSize=2)
    elif height % 2 == 0 and width % 2 == 0:
        net.add("SPACE_TO_DEPTH", [net.last], "SpaceToDepth", BlockSize=2)


def reshape(net):
    size = int(np.prod(net.shape()))
    forms = [(1, size), (1, -1, net.shape()[-1]), (1, size, 1)]
    form = list(net.pick(*forms))
    net.add("RESHAPE", [net.last, net.constant(form, np.int32)], "Reshape", NewShape=form)


def transpose(net):
    rank = len(net.shape())
    perm = [0, *(1 + net.rng.permutation(rank - 1))]
    net.add("TRANSPOSE", [net.last, net.constant(perm, np.int32)], "Transpose")


def concat(net):
    shape = net.shape()
    axis = int(net.rng.integers(1, len(shape))) if len(shape) > 1 else 0
    fitting = [
        number
        for number in net.made
        if len(net.tensors[number].shape) == len(shape)
        and net.tensors[number].dtype == "float32"
        and all(a == b for i, (a, b) in enumerate(zip(net.tensors[number].shape, shape, strict=True)) if i != axis)
    ]
    parts = [net.last, net.pick(*fitting)]
    if net.rng.integers(2):
        parts.append(net.constant(net.rng.normal(size=(*shape[:axis], 2, *shape[axis + 1 :]))))
    axis -= len(shape) if net.rng.integers(2) else 0
    net.add("CONCATENATION", parts, "Concatenation", Axis=axis, FusedActivationFunction=0)


def cut(net):
    shape = net.shape()
    begins = [int(net.rng.integers(0, n)) if i else 0 for i, n in enumerate(shape)]
    sizes = [net.pick(-1, int(net.rng.integers(1, n - b + 1))) for n, b in zip(shape, begins, strict=True)]
    sizes[0] = -1
    net.add("SLICE", [net.last, net.constant(begins, np.int32), net.constant(sizes, np.int32)], "Slice")


def strided(net):
    shape, rank = net.shape(), len(net.shape())
    begin = [0] + [int(net.rng.integers(-n, n)) for n in shape[1:]]
    steps = [1] + [net.pick(1, 1, 2, -1) for _ in shape[1:]]
    end = [1] + [(b % n + 1) if s > 0 else -n - 1 for b, n, s in zip(begin[1:], shape[1:], steps[1:], strict=True)]
    end_mask = sum(1 << i for i in range(1, rank) if steps[i] > 0 and net.rng.integers(2))
    shrink = 1 << int(net.rng.integers(1, rank)) if rank > 2 and net.rng.integers(2) else 0
    steps = [1 if shrink >> i & 1 else s for i, s in enumerate(steps)]
    masks = {"BeginMask": net.pick(0, 1), "EndMask": end_mask, "EllipsisMask": 0, "NewAxisMask": 0}
    if not shrink and net.rng.integers(3) == 0:  # leading axes by an ellipsis, or a new axis
        begin, end, steps = [0, *begin[-1:]], [0, *end[-1:]], [1, *steps[-1:]]
        masks |= {"BeginMask": 0, "EndMask": masks["EndMask"] >> (rank - 2) & 2, "EllipsisMask": 1}
    names = [net.last, *(net.constant(values, np.int32) for values in (begin, end, steps))]
    net.add("STRIDED_SLICE", names, "StridedSlice", ShrinkAxisMask=shrink, Offset=False, **masks)


def split(net):
    shape = net.shape()
    axes = [i for i in range(1, len(shape)) if shape[i] % 2 == 0]
    if axes:
        axis = net.pick(*axes)
        net.add("SPLIT", [net.constant(axis, np.int32), net.last], "Split", count=2, NumSplits=2)


def split_v(net):
    shape = net.shape()
    axes = [i for i in range(1, len(shape)) if shape[i] > 2]
    if axes:
        axis = net.pick(*axes)
        sizes = net.constant([1, -1], np.int32)
        net.add("SPLIT_V", [net.last, sizes, net.constant(axis, np.int32)], "SplitV", count=2, NumSplits=2)


def pack(net):
    same = [number for number in net.made if net.tensors[number].shape == net.shape()
            and net.tensors[number].dtype == "float32"]  # fmt: skip
    if len(net.shape()) < 4:
        axis = int(net.rng.integers(1, len(net.shape()) + 1))
        net.add("PACK", [net.last, net.pick(*same)], "Pack", Axis=axis, ValuesCount=2)


def unpack(net):
    shape = net.shape()
    axes = [i for i in range(1, len(shape)) if 1 < shape[i] < 5]
    if axes and len(shape) > 2:
        axis = net.pick(*axes)
        net.add("UNPACK", [net.last], "Unpack", count=shape[axis], Axis=axis, Num=shape[axis])


def pad(net):
    shape, operator = net.shape(), net.pick("PAD", "PADV2", "MIRROR_PAD")
    mode = net.pick(0, 1)
    widths = [[0, 0]] + [[int(net.rng.integers(0, min(3, n + mode))) for _ in "ab"] for n in shape[1:]]
    inputs, kind, fields = [net.last, net.constant(widths, np.int32)], "Pad", {}
    if operator == "MIRROR_PAD":
        kind, fields = "MirrorPad", {"Mode": mode}
    elif operator == "PADV2":
        inputs.append(net.constant(float(net.rng.normal())))
        kind = "PadV2"
    if len(shape) < 5:
        net.add(operator, inputs, kind, version=1, **fields)


def gather(net):
    axis = int(net.rng.integers(1, len(net.shape()))) if len(net.shape()) > 1 else 0
    indices = net.rng.integers(0, net.shape()[axis], net.pick((3,), (2, 2)) if len(net.shape()) < 4 else (3,))
    net.add("GATHER", [net.last, net.constant(indices, np.int32)], "Gather", Axis=axis, BatchDims=0)


def tile(net):
    repeats = [1, *(net.pick(1, 1, 2) for _ in net.shape()[1:])]
    if np.prod(repeats) * np.prod(net.shape()) < 3000:
        net.add("TILE", [net.last, net.constant(repeats, np.int32)], "Tile")


def broadcast(net):
    shape = net.shape()
    net.add("MEAN", [net.last, net.constant([len(shape) - 1], np.int32)], "Reducer", KeepDims=True)
    net.add("BROADCAST_TO", [net.last, net.constant(shape, np.int32)], "BroadcastTo")


def matmul(net):
    shape = net.shape()
    if len(shape) < 3:
        return
    if net.rng.integers(2):
        turned = bool(net.rng.integers(2))
        size = (4, shape[-1]) if turned else (shape[-1], 4)
        batch = shape[:-2] if net.rng.integers(2) else (1,) * (len(shape) - 2)
        net.add("BATCH_MATMUL", [net.last, net.weights(*batch, *size)], "BatchMatMul", AdjX=False, AdjY=turned)
    else:
        net.add("BATCH_MATMUL", [net.last, net.last], "BatchMatMul", AdjX=False, AdjY=True)
        net.add("TANH", [net.last])


def prelu(net):
    shape = net.shape()
    slopes = net.rng.uniform(-1, 1, net.pick((1,) * (len(shape) - 2) + shape[-1:], shape[1:], (1,) * (len(shape) - 1)))
    if len(shape) == 4:
        net.add("PRELU", [net.last, net.constant(slopes)])


def expand(net):
    if len(net.shape()) < 4:
        axis = int(net.rng.integers(1, len(net.shape()) + 1))
        net.add("EXPAND_DIMS", [net.last, net.constant(axis, np.int32)], "ExpandDims")


def squeeze(net):
    axes = [i for i, n in enumerate(net.shape()) if i and n == 1]
    if axes and len(net.shape()) > 2:
        net.add("SQUEEZE", [net.last], "Squeeze", SqueezeDims=axes[:1])


def reverse(net):
    axis = int(net.rng.integers(1, len(net.shape())))
    net.add("REVERSE_V2", [net.last, net.constant([axis], np.int32)])


def half_weights(net):
    """A constant stored in float16 behind a DEQUANTIZE."""
    values = net.rng.normal(size=net.shape()[-1:]).astype(np.float16)
    stored = net.constant(values, np.float16)
    before = net.last
    (real,) = net.add("DEQUANTIZE", [stored], "Dequantize", version=3)
    net.made.remove(real)
    net.add("ADD", [before, real], "Add", FusedActivationFunction=0)


def select(net):
    if not net.shape():
        return  # of a scalar LiteRT keeps the shape of the other branch
    (mask,) = net.add("GREATER", [net.last, net.constant(0.1)], dtype="bool")
    net.made.remove(mask)
    net.add("SELECT_V2", [mask, net.last, net.constant([-0.3])])


def add_n(net):
    same = [number for number in net.made if net.tensors[number].shape == net.shape()
            and net.tensors[number].dtype == "float32"]  # fmt: skip
    net.add("ADD_N", [net.last, net.pick(*same), net.pick(*same)])


STEPS = {
    "CONV_2D": conv, "DEPTHWISE_CONV_2D": depthwise, "TRANSPOSE_CONV": transposed, "FULLY_CONNECTED": dense,
    "POOL": pool, "REDUCED": reduced, "RESIZE": resize, "BLOCKS": blocks, "RESHAPE": reshape,
    "TRANSPOSE": transpose, "CONCATENATION": concat, "SLICE": cut, "STRIDED_SLICE": strided, "SPLIT": split,
    "SPLIT_V": split_v, "PACK": pack, "UNPACK": unpack, "PAD": pad, "GATHER": gather, "TILE": tile,
    "BROADCAST_TO": broadcast, "BATCH_MATMUL": matmul, "PRELU": prelu, "EXPAND_DIMS": expand, "SQUEEZE": squeeze,
    "REVERSE_V2": reverse, "DEQUANTIZE": half_weights, "SELECT_V2": select, "ADD_N": add_n,
    "ADD": pair("ADD", "Add"), "SUB": pair("SUB", "Sub"), "MUL": pair("MUL", "Mul"), "DIV": pair("DIV", "Div"),
    "MAXIMUM": pair("MAXIMUM", "MaximumMinimum", fused=False),
    "MINIMUM": pair("MINIMUM", "MaximumMinimum", fused=False),
    "POW": pair("POW", "Pow", fused=False),
    "SQUARED_DIFFERENCE": pair("SQUARED_DIFFERENCE", "SquaredDifference", fused=False),
    **{name: unary(name) for name in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH", "LOGISTIC", "TANH",
                                      "ABS", "NEG", "SIN", "COS")},
    "SQUARE": small("SQUARE"), "EXP": small("EXP"),
    **{name: positive(name) for name in ("LOG", "SQRT", "RSQRT")},
    "LEAKY_RELU": unary("LEAKY_RELU", "LeakyRelu", Alpha=0.2),
    "GELU": unary("GELU", "Gelu", Approximate=False), "GELU_TANH": unary("GELU", "Gelu", Approximate=True),
    "SOFTMAX": unary("SOFTMAX", "Softmax", Beta=1.0), "SOFTMAX_BETA": unary("SOFTMAX", "Softmax", Beta=0.5),
    "LOG_SOFTMAX": unary("LOG_SOFTMAX", "LogSoftmax"),
    "L2_NORMALIZATION": lambda net: net.shape() and net.add(
        "L2_NORMALIZATION", [net.last], "L2Norm", FusedActivationFunction=0),
}  # fmt: skip


def network(names, seed, shape=(1, 6, 5, 4)) -> Net:
    """Return the network of these steps on an input of this shape."""
    net = Net(np.random.default_rng(seed), [Tensor("x", shape, "float32")], [], [0])
    for name in names:
        STEPS[name](net)
    if not net.steps:
        net.add("NEG", [0])
    return net
