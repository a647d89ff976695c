"""A network that was quantized elsewhere: its float meaning as a graph, and the integers and parameters as stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph
from slimai.graph.ops import TRAITS


@dataclass(frozen=True, eq=False)
class StoredParams:
    """Quantization of one tensor: real = scale * (integer - zero_point).

    dtype: NumPy name. scale: [1] float64, or [C] along `axis` of the canonical shape; the zero point is one number.
    """

    dtype: str
    scale: NDArray[np.float64]
    zero_point: int = 0
    axis: int = 0

    def dequantize(self, integers: Array) -> NDArray[np.float32]:
        """Return the real values of stored integers as float32."""
        shape = [1] * integers.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        real = (integers.astype(np.float64) - self.zero_point) * self.scale.reshape(shape if integers.ndim else ())
        return np.asarray(real, np.float32)


def constant_problem(params: StoredParams) -> str:
    """Return what keeps a constant from being an operand beside activations, or ''."""
    if params.scale.size == 1 and (
        params.dtype in {"int8", "uint8"} or (params.dtype == "int16" and not params.zero_point)
    ):
        return ""
    return "is not of 8 bits, or of 16 without a zero point, with one scale"


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network of 8-bit weights and activations, or of 8-bit weights and 16-bit activations.

    graph: canonical nodes on real values; weights and biases are dequantized, spatial nodes have channels_last = 1.
    params: activation or constant -> its quantization. integers: constant -> integers in its canonical shape.
    folded: names of the Relu and Clip nodes that are the clamp of the operator before them.
    numbers: number of a tensor in the file -> its name here. declared: output -> NumPy dtype that the file gives it.
    """

    graph: Graph
    params: Mapping[str, StoredParams]
    integers: Mapping[str, Array]
    folded: frozenset[str]
    numbers: Mapping[int, str]
    declared: Mapping[str, str] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        """Whether activations have 16 bits; the cells of a recurrent operator have them beside any."""
        cells = {
            name for node in self.graph.nodes if TRAITS[node.op].family == "recurrent" for name in node.outputs[1:]
        }
        found = (name for name in self.graph.activations() if name in self.params and name not in cells)
        return any(self.params[name].dtype == "int16" for name in found)
