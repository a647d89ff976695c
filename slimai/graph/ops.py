"""What the operators are: the canonical attributes, and a row of traits for each.

Canonical operators (activations first; constants are inputs only where noted; every attribute present):

=================  ==========================  ====================================================================
operator           inputs                      attributes
=================  ==========================  ====================================================================
Conv               x, w [, b]                  strides, dilations, pads (begin..., end...), group
ConvTranspose      x, w [, b]                  as Conv, and output_padding
Gemm               a, b [, c]                  transB (alpha = beta = 1 and transA = 0 are folded)
MatMul             a, b
Add Sub Mul Div    a, b                        NumPy broadcasting; either operand may be a constant
SquaredDifference  a, b                        (a - b)^2, of TFLite; as Sub
Max Min            a, b                        NumPy broadcasting; either operand may be a constant
Where              mask (constant bool), a, b  NumPy broadcasting; either operand may be a constant
Relu Sigmoid Tanh HardSwish SiLU Mish Softplus Softsign Exp Erf Abs Neg Log Sqrt Rsqrt Reciprocal  x
Gelu               x                           approximate (none | tanh)
Clip               x                           lo, hi (-inf / inf where open); with lo = 0, hi may be a tuple: one
                                               limit a channel of axis 1 (`channel_limits`)
LeakyRelu          x                           alpha
Pow                x                           exponent (one number, not 0)
Elu Celu ThresholdedRelu  x                    alpha
Selu               x                           alpha, gamma
PRelu              x, slope (constant)
HardSigmoid        x                           alpha, beta
Softmax            x                           axis
LayerNormalization x, gain [, bias] (constant) axis (the first of the normalized ones), epsilon
InstanceNormalization x, gain, bias (constant) epsilon
MaxPool            x                           kernel_shape, strides, pads, dilations, ceil_mode
AveragePool        x                           as MaxPool, and count_include_pad
GlobalAveragePool  x
ReduceMean         x                           axes (sorted), keepdims
ReduceMax          x                           as ReduceMean
ReduceMin          x                           as ReduceMean
ReduceSum          x                           as ReduceMean
ReduceL2           x                           as ReduceMean
Concat             x...                        axis
Split              x                           axis, split (size of each output)
Slice              x                           starts, ends, axes, steps; bounds clamped as Python's slice does,
                                               an end of -1 with a negative step means "through element 0"
Pad                x                           pads, mode (constant | reflect | edge | wrap), value
Reshape            x                           shape (at batch 1); Flatten, Squeeze, Unsqueeze and no-ops too
Transpose          x                           perm
Resize             x                           mode (nearest | linear), sizes, scales, coordinate_transformation_mode,
                                               nearest_mode; `scales` are those of the coordinate formula
DepthToSpace       x                           blocksize, mode
SpaceToDepth       x                           blocksize, mode
Gather             x                           axis, indices (from 0, in order), shape (of the constant indices)
Tile               x                           repeats, one an axis; Expand too
ScatterND          x, updates                  indices (from 0, in order), shape (of the indices); no reduction
ArgMax             x                           axis, keepdims, select_last_index
LSTM               x, w, r, b (constant)       direction (forward | reverse), hidden_size; x is [T, N, I], the rest as
                   [, h, c]                    ONNX's for one direction; outputs Y [T, 1, N, H], Y_h, Y_c and, which is
                                               not ONNX's, the cells of all steps [T, 1, N, H]; Y and cells are there
GRU                x, w, r, b (constant) [, h]  direction, hidden_size, linear_before_reset; outputs Y, Y_h as of LSTM
Requantize         x                           only in integer networks: the same values on another grid
=================  ==========================  ====================================================================

A network read from TFLite keeps its order of axes; there spatial operators carry ``channels_last`` = 1, and operators
that TFLite runs as copies of integers, whatever the scales on both sides say, ``integers_kept`` = 1. Its Softmax
carries ``interpolated`` = 1, its Sqrt, Rsqrt and Log ``as_tflite`` = 1: at 16 bits TFLite interpolates between knots,
which is too coarse for others (and its SQRT truncates). Its LSTM carries ``cell_clip``, the limit of its cells (0:
none), which ONNX's has not.

Axes are never negative. An operator of another name keeps its ONNX form and runs on the host. An operator of
a name above whose ONNX form has no canonical counterpart (a Clip with computed limits, a cubic Resize ...) is
renamed ``Onnx<Op>`` so that nobody takes its attributes for canonical ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from slimai.graph.ir import Graph, Node

Family = Literal[
    "matrix",
    "arithmetic",
    "clamp",
    "pointwise",
    "pool",
    "reduce",
    "move",
    "resize",
    "softmax",
    "normalization",
    "index",
    "recurrent",
]
ScaleRule = Literal["free", "same", "concat", "fixed", "index"]
Recipe = Literal["dsp", "tflite", "ort"]
Holds = Literal["never", "always", "formula"]

ONNX_FORM = "Onnx"
DEPTHWISE = "DepthwiseConv"
_DEPTHWISE_ALIASES = ("XIDepthwiseConvolution",)
_EVERY_RECIPE: frozenset[Recipe] = frozenset({"dsp", "tflite", "ort"})


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What an operator is: the row of it that all of slimai reads. A new operator is a new row (docs/architecture.md).

    Of its form:
        family: matrix (sums of products), arithmetic (two operands), clamp (piecewise linear, keeps the scale),
            pointwise (a function of one element), pool, reduce, move (output elements are input elements), resize,
            softmax, normalization (by the mean and variance of a row), index, recurrent (products step by step, with a
            state; its constants are `matrices` of a layer).
        weight, bias: input positions of constants of the layer, or None.
        two_activations: whether `weight` may also be an activation.
        onnx: float attributes with ONNX's defaults, where ONNX's operator of this name is the canonical one; None
            where it has a rule in `slimai.graph.canonical`, or ONNX has none.
        qlinear: ONNX Runtime's quantized form with (tensor, scale, zero point) an operand, or "".
        aliases: names of the vendor's tools for it.

    Of its mathematics:
        batch: why images of a batch stay apart: whatever its attributes are; by NumPy broadcasting of operands along
            other axes; or by a formula (`slimai.graph.batch`).
        sign: never_negative; kept: not negative where no input is; formula (`slimai.graph.sign`); any.
        factor: whether a positive factor a channel of all inputs is one of the output; formula: see
            `slimai.quantizer.rewrites.channels`, which also knows how limits of a Clip follow a factor.
        constant: whether a constant added to a channel is added to the output's; formula: see
            `slimai.quantizer.rewrites.absorption`.
        whole_windows: whether each output, without padding, sums over all weights of its row, so that a constant input
            channel adds the same everywhere.
        saturates: whether it is flat towards an infinity; `slimai.quantizer.tails` has the formulas.

    Of its integers:
        scale: how the output's parameters relate to the inputs': free; same: output integers are input integers;
            concat: all inputs come to the output's; fixed: by `fixed_range`; index: the output is not quantized. None:
            no integer kernel, it runs in float on the host.
        fixed_range: smallest and largest value of the function, on which its output's scale is made.
        clamp: takes: a following one becomes the clamp of its integers; is: it is one.
        ranks: numbers of axes that have an integer kernel; empty: all.
        operands: on whose grid a constant operand is quantized: its own, its own of 16 bits (wide), the output's; "":
            there is none.
        recipes: under which recipes of docs/arithmetic.md it has an integer kernel.
        view: no element moves, so that it costs nothing.
    """

    family: Family
    weight: int | None = None
    bias: int | None = None
    two_activations: bool = False
    onnx: Mapping[str, float] | None = None
    qlinear: str = ""
    aliases: tuple[str, ...] = ()
    batch: Literal["apart", "broadcast", "formula"] = "formula"
    sign: Literal["any", "never_negative", "kept", "formula"] = "any"
    factor: Holds = "never"
    constant: Holds = "never"
    whole_windows: bool = False
    saturates: bool = False
    scale: ScaleRule | None = None
    fixed_range: tuple[float, float] | None = None
    clamp: Literal["", "takes", "is"] = ""
    ranks: tuple[int, ...] = ()
    operands: Literal["", "own", "wide", "output"] = ""
    recipes: frozenset[Recipe] = field(default=_EVERY_RECIPE)
    view: bool = False

    @property
    def integer(self) -> bool:
        """Whether it has integer kernels."""
        return self.scale is not None

    @property
    def has_bias(self) -> bool:
        """Whether it is a layer with a constant weight and a place for a bias."""
        return self.bias is not None

    @property
    def alike_by_channel(self) -> bool:
        """Whether it is one function of one element for every channel (a Clip may have a limit a channel instead)."""
        return self.family in ("clamp", "pointwise") and self.weight is None and self.integer

    @property
    def operand_count(self) -> int:
        """Operands of a form that ONNX shares."""
        return 2 if self.family == "arithmetic" else 1


def _layer(**columns: Any) -> Traits:
    return Traits(family="matrix", weight=1, bias=2, scale="free", clamp="takes", **columns)


def _arithmetic(**columns: Any) -> Traits:
    return Traits(**{"family": "arithmetic", "onnx": {}, "batch": "broadcast", **columns})


def _clamp(**columns: Any) -> Traits:
    return Traits(family="clamp", batch="apart", scale="free", **columns)


def _function(**columns: Any) -> Traits:
    return Traits(**{"family": "pointwise", "batch": "apart", **columns})


def _pool(**columns: Any) -> Traits:
    return Traits(family="pool", batch="apart", sign="kept", factor="always", **columns)


def _normalization(**columns: Any) -> Traits:
    return Traits(family="normalization", scale="free", clamp="takes", operands="wide", **columns)


def _move(**columns: Any) -> Traits:
    return Traits(**{"family": "move", "scale": "same", "sign": "kept", **columns})


_SPATIAL = (3, 4)  # 1-D and 2-D
_VOLUMES = (3, 4, 5)  # and 3-D

# fmt: off
TRAITS: dict[str, Traits] = {
    "Conv": _layer(batch="apart", ranks=_VOLUMES, whole_windows=True, aliases=("XIConvolution",)),
    "ConvTranspose": _layer(batch="apart", ranks=_VOLUMES, aliases=("XIDeconvolution",)),
    "Gemm": _layer(whole_windows=True, aliases=("XIInnerProduct", "XIFullyConnected")),
    "MatMul": Traits(family="matrix", weight=1, two_activations=True, scale="free", clamp="takes",
                     aliases=("XIMatMul",)),
    "Add": _arithmetic(sign="kept", factor="formula", scale="free", clamp="takes", operands="own",
                       qlinear="QLinearAdd", aliases=("XIEltwiseAdd",)),
    "Sub": _arithmetic(factor="formula", scale="free", clamp="takes", operands="own", aliases=("XIEltwiseSub",)),
    "Mul": _arithmetic(sign="kept", scale="free", clamp="takes", operands="own", qlinear="QLinearMul",
                       aliases=("XIEltwiseMul",)),
    "Div": _arithmetic(sign="kept", scale="free", clamp="takes", operands="own"),
    "SquaredDifference": _arithmetic(onnx=None, sign="never_negative", scale="free", clamp="takes", operands="own"),
    "Max": _arithmetic(onnx=None, sign="kept", scale="free", clamp="takes", operands="output"),
    "Min": _arithmetic(onnx=None, sign="kept", scale="free", clamp="takes", operands="output"),
    "Where": Traits(family="arithmetic", batch="broadcast", sign="formula", scale="free", clamp="takes",
                    operands="output"),
    "Relu": _clamp(onnx={}, sign="never_negative", factor="always", clamp="is", aliases=("XIReLU",)),
    "Clip": _clamp(sign="formula", clamp="is"),
    "ThresholdedRelu": _clamp(onnx={"alpha": 1.0}, sign="kept"),
    "Abs": _clamp(onnx={}, sign="never_negative", factor="always"),
    "Neg": _clamp(onnx={}, factor="always"),
    "Requantize": _clamp(),
    "LeakyRelu": _function(onnx={"alpha": 0.01}, sign="kept", factor="always", scale="free",
                           qlinear="QLinearLeakyRelu", aliases=("XILeakyReLU",)),
    "Elu": _function(onnx={"alpha": 1.0}, sign="kept", saturates=True, scale="free"),
    "Selu": _function(onnx={"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}, saturates=True,
                      scale="free"),
    "Celu": _function(onnx={"alpha": 1.0}, sign="kept", saturates=True, scale="free"),
    "PRelu": _function(weight=1, batch="broadcast", sign="kept", factor="always", scale="free", aliases=("XIPReLU",)),
    "Sigmoid": _function(onnx={}, sign="never_negative", saturates=True, scale="fixed", fixed_range=(0.0, 1.0),
                         qlinear="QLinearSigmoid", aliases=("XISigmoid",)),
    "Tanh": _function(onnx={}, sign="kept", saturates=True, scale="fixed", fixed_range=(-1.0, 1.0),
                      aliases=("XITanh",)),
    "HardSigmoid": _function(onnx={"alpha": 0.2, "beta": 0.5}, sign="never_negative", saturates=True, scale="free"),
    "HardSwish": _function(onnx={}, sign="kept", saturates=True, scale="free"),
    "SiLU": _function(sign="kept", saturates=True, scale="free"),
    "Mish": _function(onnx={}, sign="kept", saturates=True, scale="free"),
    "Gelu": _function(sign="kept", saturates=True, scale="free"),
    "Erf": _function(onnx={}, sign="kept", saturates=True, scale="free"),
    "Softplus": _function(onnx={}, sign="never_negative", saturates=True, scale="free"),
    "Softsign": _function(onnx={}, sign="kept", scale="free"),
    "Exp": _function(onnx={}, sign="never_negative", saturates=True, scale="free"),
    "Sqrt": _function(onnx={}, sign="never_negative", scale="free"),
    "Rsqrt": _function(sign="never_negative", scale="free"),
    "Reciprocal": _function(onnx={}, sign="kept", scale="free"),
    "Pow": _function(sign="formula", scale="free"),
    "Log": _function(onnx={}, scale="free"),
    "Softmax": Traits(family="softmax", sign="never_negative", scale="fixed", fixed_range=(0.0, 1.0),
                      qlinear="QLinearSoftmax", aliases=("XISoftmax",)),
    "LayerNormalization": _normalization(),
    "InstanceNormalization": _normalization(batch="apart"),
    "MaxPool": _pool(constant="always", scale="same", ranks=_VOLUMES, aliases=("XIMaxPooling",)),
    "AveragePool": _pool(constant="formula", scale="free", clamp="takes", ranks=_VOLUMES,
                         qlinear="QLinearAveragePool", aliases=("XIAvePooling",)),
    "GlobalAveragePool": _pool(constant="always", scale="free", clamp="takes", qlinear="QLinearGlobalAveragePool",
                               aliases=("XIGlobalAvePooling",)),
    "ReduceMean": Traits(family="reduce", sign="kept", factor="formula", constant="formula", scale="free",
                         clamp="takes", qlinear="QLinearReduceMean"),
    "ReduceMax": _move(family="reduce"),
    "ReduceMin": _move(family="reduce"),
    "ReduceSum": Traits(family="reduce", sign="kept", scale="free", clamp="takes"),
    "ReduceL2": Traits(family="reduce", sign="never_negative", scale="free", clamp="takes"),
    "Concat": _move(scale="concat", operands="output", aliases=("XIConcat",)),
    "Split": _move(aliases=("XISplit",)),
    "Slice": _move(aliases=("XISlice",)),
    "Pad": _move(sign="formula", factor="formula", aliases=("XIPad",)),
    "Reshape": _move(factor="formula", constant="formula", view=True, aliases=("XIReshape",)),
    "Transpose": _move(aliases=("XIPermute",)),
    "DepthToSpace": _move(batch="apart"),
    "SpaceToDepth": _move(batch="apart"),
    "Gather": _move(),
    "Tile": _move(),
    "ScatterND": _move(scale="concat", operands="output"),
    "Resize": _move(family="resize", factor="always", ranks=_VOLUMES, aliases=("XIResize", "XIInterp")),
    "ArgMax": Traits(family="index", scale="index"),
    "LSTM": Traits(family="recurrent", scale="free"),
    "GRU": Traits(family="recurrent", scale="free"),
}
# fmt: on

# Names of the vendor's tools -> kind of layer.
KIND_ALIASES: Mapping[str, str] = {
    **{alias: op for op, traits in TRAITS.items() for alias in traits.aliases},
    **dict.fromkeys(_DEPTHWISE_ALIASES, DEPTHWISE),
}


def operators(**columns: Any) -> tuple[str, ...]:
    """Return the operators whose row has these values in these columns, in the order of the table."""
    return tuple(
        op for op, row in TRAITS.items() if all(getattr(row, name) == value for name, value in columns.items())
    )


def traits_of(node: Node) -> Traits | None:
    """Return the row of the node's operator, or None when it is none of the table."""
    return None if node.domain else TRAITS.get(node.op)


def is_canonical(node: Node) -> bool:
    """Return whether the node's attributes are the canonical ones of the table above."""
    return traits_of(node) is not None


def is_clamp(node: Node) -> bool:
    """Return whether the node is a clamp that the layer before may take in (Relu, Clip)."""
    traits = traits_of(node)
    return traits is not None and traits.clamp == "is"


def clamp_range(node: Node) -> tuple[float, float]:
    """Return the real limits of a Relu or Clip; the largest where channels have upper limits of their own."""
    if node.op == "Relu":
        return 0.0, inf
    hi = node.attrs["hi"]
    return node.attrs["lo"], max(hi) if isinstance(hi, tuple) else hi


def channel_limits(node: Node) -> tuple[float, ...] | None:
    """Return the upper limits of a Clip that has one a channel (axis 1), or None for any other node."""
    limits = node.attrs["hi"] if node.op == "Clip" and not node.domain else None
    return limits if isinstance(limits, tuple) else None


def is_depthwise(graph: Graph, node: Node) -> bool:
    """Return whether a Conv has one input channel a group and as many groups as input channels."""
    if node.op != "Conv" or node.attrs["group"] == 1:
        return False
    channels = graph.shape(node.inputs[0])[-1 if node.attrs.get("channels_last", 0) else 1]
    return int(node.attrs["group"]) == channels


def kind_of(graph: Graph, node: Node) -> str:
    """Return the kind of layer: the operator, or DepthwiseConv."""
    return DEPTHWISE if is_depthwise(graph, node) else node.op


def channel_axis(node: Node, rank: int) -> int:
    """Return the axis, of `rank`, that a matrix operator sums over in its input and makes anew in its output.

    Axis 1 for a Conv or ConvTranspose (the last in TFLite's order), the last for a Gemm or MatMul, whatever its rank.
    """
    last = node.op in ("Gemm", "MatMul") or bool(node.attrs.get("channels_last", 0))
    return rank - 1 if last else 1


def has_bias_slot(node: Node) -> bool:
    """Return whether the operator takes a bias beside its weights; a MatMul does not."""
    traits = traits_of(node)
    return traits is not None and traits.has_bias
