"""The network as immutable values: nodes, tensors, graph. NumPy only; no ONNX here.

Operators carry *canonical* attributes (see `slimai.graph.ops`): what one opset calls an input and
another an attribute has one spelling here. Tensors of four axes are logically NCHW for networks that
come from ONNX; a TFLite network keeps its own axis order and marks spatial nodes ``channels_last=1``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorInfo:
    """Name, shape and NumPy dtype name of one tensor; axis 0 of an activation is the batch, held as 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Node:
    """One operator. An absent optional input is the empty string."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    def with_attrs(self, **changes: Any) -> Node:
        """Return the node with some attributes set."""
        return replace(self, attrs={**self.attrs, **changes})


@dataclass(frozen=True)
class Graph:
    """A network in topological order.

    `tensors` describes every activation and constant, `constants` holds the values of the latter.
    `batchable` is False when the operators fix the batch to 1 (the reason is in `batch_note`).
    `opsets` gives the operator-set version of each ONNX domain, for operators kept in their ONNX form.
    `history` tells what the front end changed, one sentence a rewrite, with its reason; `refusals` what it left as
    it stands although a rewrite looks for it, with the reason in the same form.
    `states` maps inputs to the outputs that they take over from the step before; `sequences` are the inputs that a
    sample gives one array a step of (see `slimai.graph.states`).
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, TensorInfo]
    constants: Mapping[str, Array]
    batchable: bool = True
    batch_note: str = ""
    opsets: Mapping[str, int] = field(default_factory=lambda: {"": 17})
    history: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Tensor name -> the node that computes it (graph inputs and constants have none)."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Tensor name -> the nodes that read it, in graph order, each once."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                if name:
                    found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def facts(self) -> dict[Hashable, Any]:
        """What was worked out of this graph so far (`slimai.graph.facts`); a graph made of it starts without any."""
        return {}

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Node name -> node."""
        return {node.name: node for node in self.nodes}

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape of `tensor` at batch 1."""
        return self.tensors[tensor].shape

    def constant(self, tensor: str) -> Array | None:
        """Return the value of a constant, or None for an activation or an absent input."""
        return self.constants.get(tensor)

    def activations(self) -> Iterator[str]:
        """Yield graph inputs, then every node output, in graph order."""
        yield from self.inputs
        for node in self.nodes:
            yield from (name for name in node.outputs if name)

    def only_consumer(self, tensor: str) -> Node | None:
        """Return the single reader of `tensor`, or None when it has several or is a graph output."""
        readers = self.consumers.get(tensor, ())
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def edited(
        self,
        nodes: Iterable[Node],
        *,
        constants: Mapping[str, Array] | None = None,
        tensors: Iterable[TensorInfo] = (),
    ) -> Graph:
        """Return a graph with these nodes, extra constants and tensors, and what is unused left out."""
        kept = tuple(nodes)
        values = {**self.constants, **(constants or {})}
        info = {**self.tensors, **{item.name: item for item in tensors}}
        for name, value in (constants or {}).items():
            info[name] = TensorInfo(name, tuple(value.shape), value.dtype.name)
        used = {name for node in kept for name in (*node.inputs, *node.outputs)} | {*self.inputs, *self.outputs}
        return replace(
            self,
            nodes=kept,
            tensors={name: item for name, item in info.items() if name in used},
            constants={name: value for name, value in values.items() if name in used},
        )
