"""What the operators mean: the canonical attributes and a table of traits.

Canonical operators (activations first; constants are inputs only where noted; every attribute present):

=================  ==========================  ====================================================================
operator           inputs                      attributes
=================  ==========================  ====================================================================
Conv               x, w [, b]                  strides, dilations, pads (begin..., end...), group
ConvTranspose      x, w [, b]                  as Conv, and output_padding
Gemm               a, b [, c]                  transB (alpha = beta = 1 and transA = 0 are folded)
MatMul             a, b
Add Sub Mul Div    a, b                        NumPy broadcasting; either operand may be a constant
Relu Sigmoid Tanh HardSwish SiLU Mish Exp Abs Neg Sqrt ...  x
Clip               x                           lo, hi (-inf / inf where open); with lo = 0, hi may be a tuple: one
                                               limit a channel of axis 1 (`channel_limits`)
LeakyRelu          x                           alpha
PRelu              x, slope (constant)
HardSigmoid        x                           alpha, beta
Softmax            x                           axis
MaxPool            x                           kernel_shape, strides, pads, dilations, ceil_mode
AveragePool        x                           as MaxPool, and count_include_pad
GlobalAveragePool  x
ReduceMean         x                           axes (sorted), keepdims
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
ArgMax             x                           axis, keepdims, select_last_index
Requantize         x                           only in integer networks: the same values on another grid
=================  ==========================  ====================================================================

A network read from TFLite keeps its order of axes; there spatial operators carry ``channels_last`` = 1, and operators
that TFLite runs as copies of integers, whatever the scales on both sides say, ``integers_kept`` = 1. Its Softmax
carries ``interpolated`` = 1: at 16 bits TFLite interpolates between knots, which is too coarse for others.

Axes are never negative. An operator of another name keeps its ONNX form and runs on the host. An operator of
a name above whose ONNX form has no canonical counterpart (a Clip with computed limits, a cubic Resize ...) is
renamed ``Onnx<Op>`` so that nobody takes its attributes for canonical ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slimai.graph.ir import Graph, Node

Family = Literal["matrix", "arithmetic", "clamp", "pointwise", "pool", "reduce", "move", "resize", "softmax", "index"]

ONNX_FORM = "Onnx"


@dataclass(frozen=True)
class Traits:
    """How an operator treats its inputs.

    family: matrix (sums of products), arithmetic (two operands), clamp (piecewise linear, keeps the scale),
    pointwise (a table at 8 bit), pool, reduce, move (output elements are input elements), resize, softmax, index.
    weight / bias: input positions of constants of the layer, or None.
    per_image: True when the operator keeps axis 0 apart whatever its attributes are.
    """

    family: Family
    weight: int | None = None
    bias: int | None = None
    per_image: bool = False


_MATRIX = Traits("matrix", weight=1, bias=2)
_POINTWISE = Traits("pointwise", per_image=True)

TRAITS: dict[str, Traits] = {
    "Conv": Traits("matrix", weight=1, bias=2, per_image=True),
    "ConvTranspose": Traits("matrix", weight=1, bias=2, per_image=True),
    "Gemm": _MATRIX,
    "MatMul": Traits("matrix", weight=1),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), Traits("arithmetic")),
    **dict.fromkeys(("Relu", "Clip", "Requantize"), Traits("clamp", per_image=True)),
    **dict.fromkeys(
        ("LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "SiLU", "Mish", "Exp", "Abs", "Neg", "Sqrt"),
        _POINTWISE,
    ),
    "PRelu": Traits("pointwise", weight=1, per_image=True),
    "Softmax": Traits("softmax"),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool"), Traits("pool", per_image=True)),
    "ReduceMean": Traits("reduce"),
    **dict.fromkeys(("Concat", "Split", "Slice", "Pad", "Reshape", "Transpose"), Traits("move")),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), Traits("move", per_image=True)),
    "Resize": Traits("resize"),
    "ArgMax": Traits("index"),
}


def is_canonical(node: Node) -> bool:
    """Return whether the node's attributes are the canonical ones of the table above."""
    return node.domain == "" and node.op in TRAITS


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


def weight_of(graph: Graph, node: Node) -> str | None:
    """Return the constant that holds the node's weights, or None when it has none or computes them."""
    traits = TRAITS.get(node.op)
    if traits is None or traits.weight is None or len(node.inputs) <= traits.weight:
        return None
    name = node.inputs[traits.weight]
    return name if name in graph.constants else None
