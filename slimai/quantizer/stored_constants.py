"""Constants of a quantized ONNX model: their float values, and the integers behind them where a kernel can use them.

DequantizeLinear of integers, QuantizeLinear and DequantizeLinear of floats (weights that training tools leave in
float), and Transpose, Reshape or Identity of either give integers with a scale; so does a product of integers of scale
1 and factors, which is how scales of a grouped ConvTranspose's outputs are written; any other operator on constants
gives a float constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.optimize import evaluate
from slimai.graph.passes.fold_constant import LARGEST_BYTES
from slimai.graph.save import subgraph, to_onnx
from slimai.quantizer.params import S4, S8, S16, U8, IntType
from slimai.quantizer.weight_layout import WeightLayout, weight_layout

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_NARROW = {"int4": S4, "uint4": U8, "int2": S4, "uint2": U8}  # held in 8 bits; ml_dtypes names
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


@dataclass(frozen=True, eq=False)
class Stored:
    """A constant as the file holds it: integers, scale [C] or [1], zero point [C] or [1], channel axis.

    narrow: whether the integers, held in 8 bits, are of 4 or less and signed. factor: numbers that broadcast against
    the values and multiply them, with a scale of 1; else None.
    """

    values: Array
    scale: NDArray[np.float64]
    zero_point: NDArray[np.int64]
    axis: int
    narrow: bool = False
    factor: NDArray[np.float64] | None = None

    @property
    def per_channel(self) -> bool:
        """Whether scale or zero point differ along an axis, or a factor does."""
        return self.scale.size > 1 or self.zero_point.size > 1 or self.factor is not None


def fold_constants(graph: Graph) -> tuple[Graph, dict[str, Stored]]:
    """Return the graph whose nodes on constants are float constants, and those with integers behind them."""
    return _Folder(graph).fold()


class _Folder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.stored: dict[str, Stored] = {}

    def fold(self) -> tuple[Graph, dict[str, Stored]]:
        kept = [node for node in self.graph.nodes if not self._folds(node)]
        fresh = {name: value for name, value in self.constants.items() if name not in self.graph.constants}
        return self.graph.edited(kept, constants=fresh), self.stored

    def _folds(self, node: Node) -> bool:
        """Turn a node on constants into its values; return whether it was one."""
        if node.domain or node.op in _RANDOM or not all(name in self.constants for name in node.inputs if name):
            return False
        if sum(int(np.prod(self.graph.shape(name))) * 8 for name in node.outputs if name) > LARGEST_BYTES * 16:
            return False
        item = self._as_stored(node)
        if item is None:
            self.constants.update(self._evaluated(node))
        else:
            self.stored[node.outputs[0]] = item
            self.constants[node.outputs[0]] = real_values(item)
        return True

    def _as_stored(self, node: Node) -> Stored | None:
        source = node.inputs[0] if node.inputs else ""
        if node.op == DEQUANTIZE:
            return self._dequantized(node)
        item = self.stored.get(source)
        if item is None:
            return None
        if node.op == "Mul":
            return self._multiplied(item, node.inputs[1])
        if node.op == "Identity":
            return item
        return None if item.factor is not None else self._moved(node, item)

    def _moved(self, node: Node, item: Stored) -> Stored | None:
        if node.op == "Transpose":
            perm = tuple(node.attrs["perm"])
            return replace(item, values=item.values.transpose(perm), axis=perm.index(item.axis) if perm else 0)
        if node.op == "Reshape":
            return _reshaped(item, self.graph.shape(node.outputs[0]))
        return None

    def _multiplied(self, item: Stored, other: str) -> Stored | None:
        """Return integers of scale 1 with their factors, one along the axes that follow the first two."""
        factor = self.constants[other]
        fits = factor.ndim == item.values.ndim > 2 and factor.shape[:2] == item.values.shape[:2]
        if not fits or factor[0, 0].size > 1 or item.per_channel or item.scale[0] != 1.0 or item.zero_point[0]:
            return None
        return replace(item, factor=factor.astype(np.float64))

    def _dequantized(self, node: Node) -> Stored | None:
        values = self.constants[node.inputs[0]]
        scale, zero = parameters(self.constants, node)
        if node.attrs.get("block_size", 0) or self.constants[node.inputs[1]].ndim > 1:
            return None
        narrow = _NARROW.get(values.dtype.name)
        if narrow is not None:
            values = values.astype(narrow.numpy)
        if values.dtype.kind not in "iu":
            return None
        axis = int(node.attrs.get("axis", 1)) % max(values.ndim, 1)
        return Stored(values, scale, zero, axis if scale.size > 1 or zero.size > 1 else 0, narrow == S4)

    def _evaluated(self, node: Node) -> dict[str, Array]:
        infos = {name: TensorInfo(name, tuple(item.shape), item.dtype.name) for name, item in self.constants.items()}
        known = replace(self.graph, constants=self.constants, tensors={**self.graph.tensors, **infos})
        part = subgraph(known, [node])
        return dict(zip(part.outputs, evaluate(to_onnx(part).SerializeToString(), {}, part.outputs), strict=True))


def _reshaped(item: Stored, shape: tuple[int, ...]) -> Stored | None:
    """Return the constant in another shape, where its channels stay one axis of it."""
    if not item.per_channel:
        return replace(item, values=item.values.reshape(shape), axis=0)
    before, channels = int(np.prod(item.values.shape[: item.axis])), item.values.shape[item.axis]
    for axis, size in enumerate(shape):
        if size == channels and int(np.prod(shape[:axis])) == before:
            return replace(item, values=item.values.reshape(shape), axis=axis)
    return None


def real_values(item: Stored) -> NDArray[np.float32]:
    """Return the float values of a constant."""
    shape = [-1 if axis == item.axis else 1 for axis in range(item.values.ndim)]
    scale, zero = (part if part.size == 1 else part.reshape(shape) for part in (item.scale, item.zero_point))
    real = (item.values.astype(np.float64) - zero) * scale * (1.0 if item.factor is None else item.factor)
    return real.reshape(item.values.shape).astype(np.float32)


def parameters(constants: Mapping[str, Array], node: Node) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scale and zero point of a QuantizeLinear or DequantizeLinear, each [1], or [C].

    Raises:
        InputError: one of them is computed, a scale is not a positive number, or their sizes differ.
    """
    names = [name for name in node.inputs[1:] if name]
    if not names or any(name not in constants for name in names):
        raise InputError.at(node.name, f"{node.op} with computed scale or zero point is not supported")
    scale = np.asarray(constants[names[0]]).astype(np.float64).reshape(-1)
    given = np.asarray(constants[names[1]]).astype(np.int64).reshape(-1) if len(names) > 1 else np.zeros(1, np.int64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        bad = scale[~(np.isfinite(scale) & (scale > 0))][0]
        raise InputError.at(node.name, f"a scale of {node.op} is not a positive number", float(bad))
    if given.size > 1 and given.size != scale.size:
        raise InputError.at(
            node.name, f"{node.op} has {scale.size} scales and another number of zero points", given.size
        )
    return scale, given[:1] if (given == given[:1]).all() else given


def output_scales(node: Node, item: Stored) -> NDArray[np.float64] | None:
    """Return the weight scales [O] or [1] of a matrix operator, or None where they are not those of its outputs."""
    if not item.per_channel:
        return item.scale
    layout = weight_layout(node, item.values.shape)
    if item.factor is not None:
        return _factor_a_channel(layout, item.values.shape, item.factor)
    if item.axis != layout.axis or (node.op == "MatMul" and item.values.ndim != 2):
        return None
    return np.tile(item.scale, layout.groups)


def _factor_a_channel(
    layout: WeightLayout, shape: tuple[int, ...], factor: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return one factor an output channel [O], or None where they differ within a channel or are no scales."""
    rows = layout.by_channel(np.broadcast_to(factor, shape))
    alike = (rows == rows[:, :1]).all() and np.isfinite(rows).all() and (rows > 0).all()
    return rows[:, 0].copy() if alike else None


def held_type(item: Stored) -> IntType | None:
    """Return the type of the constant's integers, or None where kernels do not take their type."""
    return {"int8": S8, "uint8": U8, "int16": S16}.get(item.values.dtype.name)
