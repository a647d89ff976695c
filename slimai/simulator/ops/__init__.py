"""Integer meaning of the operators of `slimai.graph.ops`, one family a module; `compiler_for` finds the one of each."""

from __future__ import annotations

from collections.abc import Callable

from slimai.graph.ops import TRAITS
from slimai.registry import Registry
from slimai.simulator.context import Compiled, LayerContext

Compiler = Callable[[LayerContext], Compiled]

_HERE = "slimai.simulator.ops"
_MODULES = {
    "conv": ("Conv", "ConvTranspose"),
    "matmul": ("Gemm", "MatMul"),
    "elementwise": ("Add", "Sub", "Mul", "SquaredDifference"),
    "quotient": ("Div",),
    "choice": ("Max", "Min", "Where"),
    "clamp": ("Relu", "Clip", "PRelu", "Requantize"),
    "signs": ("Abs", "Neg", "ThresholdedRelu"),
    "softmax": ("Softmax",),
    "normalization": ("LayerNormalization", "InstanceNormalization"),
    "pool": ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    "reduce": ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"),
    "gather": ("Gather", "Tile", "ScatterND"),
    "resize": ("Resize",),
    "move": ("Concat", "Split", "Slice", "Pad", "Reshape", "Transpose", "DepthToSpace", "SpaceToDepth"),
    "index": ("ArgMax",),
    "recurrent": ("LSTM", "GRU"),
}
# A function of one element is a table; `slimai.simulator.ops.tables` has the formulas.
_TABLES = tuple(op for op, row in TRAITS.items() if row.integer and row.family == "pointwise" and row.weight is None)
COMPILERS: Registry[Compiler] = Registry(
    "integer operator",
    {op: f"{_HERE}.{module}:compile_{op.lower()}" for module, ops in _MODULES.items() for op in ops}
    | dict.fromkeys(_TABLES, f"{_HERE}.tables:compile_table"),
)


def compiler_for(kind: str, op: str) -> Compiler:
    """Return the compiler of a layer of this kind and main operator."""
    return COMPILERS.get("Requantize" if kind == "Requantize" else op)
