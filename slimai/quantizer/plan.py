"""The quantization plan: everything that the simulator, the exporter and the report need, as values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS
from slimai.quantizer.params import IntType, QParams


@dataclass(frozen=True, eq=False)
class QWeight:
    """An integer weight tensor in its ONNX shape.

    values: integers of `dtype`. scale: [O] float64 (per channel along `axis`) or [1] (per tensor).
    zero_point: 0 except for stored asymmetric TFLite weights. forms: what an engine made of the integers, kept with
    them so that all candidates that share the weight share it.
    """

    values: NDArray[Any]
    dtype: IntType
    scale: NDArray[np.float64]
    axis: int = 0
    zero_point: int = 0
    forms: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has its own scale."""
        return self.scale.size > 1


@dataclass(frozen=True, eq=False)
class Layer:
    """One step of the integer network: a main operator with the activation folded into its clamp.

    name: profile name ``<Kind>_<node>__<k>``. kind: `op` or DepthwiseConv / Requantize.
    inputs: activation tensors read (constants left out), outputs: tensors written.
    operands: constant inputs of elementwise operators, quantized, by input position. matrices: weights and biases of
    operators that have several (recurrent ones), by input position.
    activation: the folded Relu / Clip node, or None; its output is then the layer's output.
    mode: 'integer', or 'host' (float, ONNX Runtime) with the reason in `note`.
    """

    name: str
    kind: str
    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    mode: Literal["integer", "host"] = "integer"
    note: str = ""
    weight: QWeight | None = None
    bias: NDArray[np.int64] | None = None
    operands: Mapping[int, tuple[NDArray[Any], QParams]] = field(default_factory=dict)
    activation: Node | None = None
    matrices: Mapping[int, QWeight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse constants for which the operator has no place: neither kernel nor export could hold them."""
        traits = TRAITS.get(self.node.op) if self.node.domain == "" else None
        if self.bias is not None and (traits is None or traits.bias is None):
            raise ValueError(f"{self.name}: {self.node.op} has no place for a bias")
        if self.weight is not None and (traits is None or traits.weight is None):
            raise ValueError(f"{self.name}: {self.node.op} has no place for weights")
        given = {*self.operands, *self.matrices}
        if any(not 0 <= position < len(self.node.inputs) for position in given):
            raise ValueError(f"{self.name}: {self.node.op} has no operands {sorted(given)}")


@dataclass(frozen=True)
class Decision:
    """Something the quantizer chose or refused, for the report: where, what, why."""

    where: str
    what: str
    why: str


@dataclass(frozen=True, eq=False)
class QuantPlan:
    """An integer network.

    graph: the float graph that the layers implement. tensors: parameters of each quantized
    activation; an activation that is absent stays float32 (between host layers, host outputs).
    level: accuracy level. profile_names: activation tensor -> ``<Kind>_<node>__<k>:<i>``. limits: tensor ->
    (low, high), the real values that its parameters were made from. sources: a tensor that the quantizer added (the
    output of a Requantize) -> the float tensor whose values it holds. declared: output -> NumPy dtype that the model
    file gives it, of networks that were quantized elsewhere.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    tensors: Mapping[str, QParams]
    level: int
    profile_names: Mapping[str, str]
    decisions: tuple[Decision, ...] = ()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def producer(self) -> Mapping[str, Layer]:
        """Tensor name -> the layer that writes it."""
        return {name: layer for layer in self.layers for name in layer.outputs}
