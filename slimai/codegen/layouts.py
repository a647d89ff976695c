"""In which order of axes each tensor lies in memory.

Tensors that convolutions, pools or resizes of an ONNX network touch lie channels-last, and so does every tensor of the
same rank that element-wise layers join to them; all others lie as the network writes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from slimai.graph.ir import Graph
from slimai.quantizer.plan import Layer

Order = tuple[int, ...]
_SPATIAL = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "DepthToSpace", "SpaceToDepth"}
)
_BREAKS = frozenset({"Reshape", "Transpose", "MatMul", "Gemm", "ReduceMean", "ArgMax"})  # these fix no common order


def identity(rank: int) -> Order:
    """Return the order of axes as the network writes them."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """Return the order that takes axis 1 to the end; ranks of 2 and less have none."""
    return identity(rank) if rank < 3 else (0, *range(2, rank), 1)


def memory_orders(graph: Graph, layers: tuple[Layer, ...]) -> Mapping[str, Order]:
    """Return tensor -> axes in memory order, outermost first, for every activation of the layers."""
    joined = _Classes()
    spatial: set[str] = set()
    for layer in layers:
        names = (*layer.inputs, *layer.outputs)
        for name in names:
            joined.find(name)
        if layer.node.op in _SPATIAL and not layer.node.attrs.get("channels_last", 0):
            spatial.update(names)
        if layer.node.op not in _BREAKS:
            rank = len(graph.shape(layer.outputs[0]))
            alike = [name for name in names if len(graph.shape(name)) == rank]
            for name in alike[1:]:
                joined.join(alike[0], name)
    for name, output in graph.states.items():  # the caller hands the output on as it is
        if {name, output} <= joined.members.keys():
            joined.join(name, output)
    last = {joined.find(name) for name in spatial}
    return {
        name: (channels_last if joined.find(name) in last else identity)(len(graph.shape(name)))
        for name in joined.members
    }


class _Classes:
    """Sets of tensors that share an order."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}

    def find(self, name: str) -> str:
        """Return the representative of the set of `name`."""
        self.members.setdefault(name, name)
        while self.members[name] != name:
            self.members[name] = self.members[self.members[name]]
            name = self.members[name]
        return name

    def join(self, first: str, second: str) -> None:
        """Make one set of two."""
        self.members[self.find(second)] = self.find(first)
