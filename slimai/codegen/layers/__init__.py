"""How the layers of each operator become calls of kernels, one family a module; `writer_for` finds the one of each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from slimai.codegen.writer import LayerWriter
from slimai.graph.ops import TRAITS

Write = Callable[[LayerWriter], None]

_MODULES = {
    "matrix": ("Conv", "ConvTranspose", "Gemm", "MatMul"),
    "elementwise": ("Add", "Sub", "Mul", "Div", "SquaredDifference", "PRelu"),
    "choice": ("Max", "Min", "Where"),
    "pointwise": (
        "Relu", "Clip", "Requantize", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "SiLU", "Mish",
        "Gelu", "Erf", "Exp", "Selu", "Celu", "Softplus", "Softsign", "Sqrt", "Rsqrt", "Reciprocal",
        "Pow", "Log",
    ),
    "signs": ("Abs", "Neg", "ThresholdedRelu"),
    "softmax": ("Softmax",),
    "normalization": ("LayerNormalization", "InstanceNormalization"),
    "pool": ("MaxPool", "AveragePool"),
    "reduce": ("GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"),
    "resize": ("Resize",),
    "move": ("Concat", "Split", "Slice", "Pad", "Reshape", "Transpose", "DepthToSpace", "SpaceToDepth"),
    "gather": ("Gather", "Tile", "ScatterND"),
    "index": ("ArgMax",),
    "recurrent": ("LSTM", "GRU"),
}  # fmt: skip
WRITERS = {op: f"slimai.codegen.layers.{module}:write_{op.lower()}" for module, ops in _MODULES.items() for op in ops}
_SHARED = {"pointwise": "write_pointwise"}


def writer_for(op: str) -> Write | None:
    """Return what writes the layers of a main operator, or None where the C library has no kernel for it."""
    if op not in WRITERS:
        return None
    module, _, name = WRITERS[op].partition(":")
    loaded = import_module(module)
    shared = _SHARED.get(module.rpartition(".")[2])
    write: Write = getattr(loaded, shared or name)
    return write


def operators_without_kernel() -> tuple[str, ...]:
    """Return the integer operators of the simulator that the C library lacks."""
    return tuple(op for op, row in TRAITS.items() if row.integer and op not in WRITERS)
