"""Integer meaning of the operators, one family a module; `compiler_for` finds the one of an operator."""

from __future__ import annotations

from collections.abc import Callable

from slimai.registry import Registry
from slimai.simulator.context import Compiled, LayerContext

Compiler = Callable[[LayerContext], Compiled]

_HERE = "slimai.simulator.ops"
_MODULES = {
    "conv": ("Conv", "ConvTranspose"),
    "matmul": ("Gemm", "MatMul"),
    "elementwise": ("Add", "Sub", "Mul"),
    "clamp": ("Relu", "Clip", "PRelu", "Requantize"),
    "tables": ("LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "SiLU", "Mish"),
    "softmax": ("Softmax",),
    "pool": ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    "resize": ("Resize",),
    "move": (
        "Concat", "Split", "Slice", "Pad", "Reshape", "Transpose", "DepthToSpace", "SpaceToDepth",
        "Flatten", "Squeeze", "Unsqueeze", "Identity",
    ),
    "index": ("ArgMax",),
}  # fmt: skip
COMPILERS: Registry[Compiler] = Registry(
    "integer operator",
    {op: f"{_HERE}.{module}:compile_{op.lower()}" for module, ops in _MODULES.items() for op in ops},
)


def compiler_for(kind: str, op: str) -> Compiler:
    """Return the compiler of a layer of this kind and main operator."""
    return COMPILERS.get("Requantize" if kind == "Requantize" else op)
