"""Layers without an integer kernel: consecutive ones run together in float32 on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.subgraph import subgraph
from slimai.quantizer.plan import Layer
from slimai.runtime.session import FloatSession

Array = NDArray[Any]


class HostSegment:
    """A run of host layers as one float subgraph; sessions are made on first use, one a set of outputs."""

    def __init__(self, graph: Graph, layers: tuple[Layer, ...], threads: int) -> None:
        nodes = [node for layer in layers for node in (layer.node, layer.activation) if node is not None]
        self.layers = layers
        self.graph = subgraph(graph, nodes, name=layers[0].name)
        self.inputs = self.graph.inputs
        self.inner = frozenset(name for layer in layers for name in layer.outputs)
        self._threads = threads
        self._sessions: dict[tuple[str, ...], FloatSession] = {}

    def run(self, feeds: Mapping[str, Array], captured: Iterable[str] = ()) -> dict[str, Array]:
        """Return the segment's outputs, and inner tensors named in `captured`, of float32 inputs."""
        wanted = (*self.graph.outputs, *sorted(self.inner.intersection(captured) - set(self.graph.outputs)))
        if wanted not in self._sessions:
            self._sessions[wanted] = FloatSession(self.graph, wanted, self._threads)
        session = self._sessions[wanted]
        return session.run({name: np.asarray(feeds[name], order="C") for name in self.inputs})
