"""The float network with one of its tensors rounded, as a chain of parts: what lies before that tensor runs once.

Each rounding is the branch of an If that an input chooses, so nothing is compiled twice. The network is cut where all
that crosses is tensors that have such an If; to round another tensor, the parts from its own on run again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph, Node
from slimai.graph.names import FreeNames
from slimai.graph.subgraph import subgraph
from slimai.quantizer.params import QParams
from slimai.runtime.session import FloatSession

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, NDArray[Any]]
NONE = -1  # no tensor is rounded
PARTS = 6  # about, with as many values each
HELD_SHARE = 0.25  # of all values of the network: more is not held at a cut


@dataclass(frozen=True)
class _Part:
    """inputs: what it reads of the network's inputs and of the parts before it. places: of the tensors rounded here."""

    session: FloatSession
    inputs: tuple[str, ...]
    places: frozenset[int]


class RoundingChain:
    """Runs a float network in its own shapes; `grids` are the tensors that can be rounded, by their place in it."""

    def __init__(self, graph: Graph, grids: Mapping[str, QParams], *, threads: int = 1) -> None:
        self._outputs = graph.outputs
        names = FreeNames.of(graph)
        self._choice = names.take("rounded")
        places = {name: place for place, name in enumerate(grids)}
        self._parts = [self._part(graph, part, grids, places, names, threads) for part in parts(graph, grids)]

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._parts)

    def _part(
        self,
        graph: Graph,
        part: Graph,
        grids: Mapping[str, QParams],
        places: Mapping[str, int],
        names: FreeNames,
        threads: int,
    ) -> _Part:
        # an input of the network has its If in every part that reads it, another tensor in the part that makes it
        held = {*graph.inputs}.intersection(part.inputs).union(*(node.outputs for node in part.nodes))
        own = {name: params for name, params in grids.items() if name in held}
        model = _with_roundings(part, own, places, self._choice, names)
        session = FloatSession(model.SerializeToString(), outputs=part.outputs, threads=threads)
        return _Part(session, part.inputs, frozenset(places[name] for name in own))

    def exact(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Return the inputs and what every part gives of them, nothing rounded: what `rounded` starts from."""
        return self._run(dict(feeds), 0, NONE)

    def rounded(self, exact: Arrays, place: int) -> dict[str, NDArray[Any]]:
        """Return the network's outputs with the tensor of this place rounded; `NONE`: with none."""
        first = next((at for at, part in enumerate(self._parts) if place in part.places), 0)
        return self.outputs(self._run(dict(exact), first, place))

    def outputs(self, values: Arrays) -> dict[str, NDArray[Any]]:
        """Return the network's outputs among what `exact` gave."""
        return {name: values[name] for name in self._outputs}

    def _run(self, values: dict[str, NDArray[Any]], first: int, place: int) -> dict[str, NDArray[Any]]:
        chosen = np.array(place, np.int64)
        for part in self._parts[first:]:
            values.update(part.session.run({**{name: values[name] for name in part.inputs}, self._choice: chosen}))
        return values


def parts(graph: Graph, grids: Mapping[str, QParams]) -> list[Graph]:
    """Return the network in parts; whole where steps follow each other, or no node makes one of its outputs."""
    if graph.sequences or graph.states or any(name not in graph.producers for name in graph.outputs):
        return [graph]
    return [
        replace(subgraph(graph, nodes), batchable=graph.batchable, batch_note=graph.batch_note)
        for nodes in _cut(graph, grids)
    ]


def _cut(graph: Graph, grids: Mapping[str, QParams]) -> Iterator[Sequence[Node]]:
    """Yield the nodes of each part, in order."""
    sizes = {name: math.prod(graph.shape(name)) for name in graph.activations()}
    last = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    whole = sum(sizes.values())
    crossing: set[str] = set()
    nodes: list[Node] = []
    values = 0
    for place, node in enumerate(graph.nodes):
        nodes.append(node)
        values += sum(sizes[name] for name in node.outputs if name)
        crossing.update(name for name in node.outputs if name and last.get(name, place) > place)
        crossing = {name for name in crossing if last[name] > place}
        able = crossing <= grids.keys() and sum(sizes[name] for name in crossing) <= HELD_SHARE * whole
        if able and crossing and PARTS * values >= whole:
            yield nodes
            nodes, values = [], 0
    if nodes:
        yield nodes


def _with_roundings(
    graph: Graph, grids: Mapping[str, QParams], places: Mapping[str, int], choice: str, names: FreeNames
) -> onnx.ModelProto:
    """Return the float network in which the tensor of `grids` is rounded whose place the input `choice` names."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - spares onnx

    from slimai.graph.save import to_onnx  # noqa: PLC0415 - spares onnx

    model = to_onnx(graph, batch="N" if graph.batchable else 1)
    exact = {name: names.take(f"{name}__exact") for name in grids}
    inputs = set(graph.inputs)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in inputs and name in exact:
                node.input[place] = exact[name]  # an input keeps its name, what reads it gets the chosen value
        for place, name in enumerate(node.output):
            if name in exact:
                node.output[place] = exact[name]
    chosen = []
    for name, params in grids.items():
        source, target = (name, exact[name]) if name in inputs else (exact[name], name)
        chosen.append((source, _choose(model, source, target, params, (choice, places[name]), names)))
    model.graph.input.append(helper.make_tensor_value_info(choice, TensorProto.INT64, []))
    _put_in_order(model, chosen)
    return model


def _choose(
    model: onnx.ModelProto, source: str, target: str, params: QParams, chosen: tuple[str, int], names: FreeNames
) -> list[onnx.NodeProto]:
    """Return the nodes that give `target`: `source`, rounded to its grid where the input names this place."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - spares onnx

    place, scale, low, high, asked, divided, integers, clipped, whole, kept = (
        names.take(f"{target}__{word}")
        for word in ("place", "scale", "low", "high", "asked", "divided", "integers", "clipped", "rounded", "kept")
    )
    kind, zero = params.dtype, params.zero_point
    for name, value in (
        (place, np.array(chosen[1], np.int64)),
        (scale, np.array(params.scale, np.float32)),
        (low, np.array(kind.low - zero, np.float32)),
        (high, np.array(kind.high - zero, np.float32)),
    ):
        model.graph.initializer.append(numpy_helper.from_array(value, name))

    def branch(label: str, nodes: list[onnx.NodeProto], output: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        return helper.make_graph(nodes, label, [], [value])

    grid = [  # no QuantizeLinear: networks that hold one can only run as they are written, several times slower
        helper.make_node("Div", [source, scale], [divided]),
        helper.make_node("Round", [divided], [integers]),
        helper.make_node("Clip", [integers, low, high], [clipped]),
        helper.make_node("Mul", [clipped, scale], [whole]),
    ]
    return [
        helper.make_node("Equal", [chosen[0], place], [asked]),
        helper.make_node(
            "If",
            [asked],
            [target],
            then_branch=branch(names.take("then"), grid, whole),
            else_branch=branch(names.take("else"), [helper.make_node("Identity", [source], [kept])], kept),
        ),
    ]


def _put_in_order(model: onnx.ModelProto, chosen: list[tuple[str, list[onnx.NodeProto]]]) -> None:
    """Put the choosing nodes behind what they choose from: ONNX wants nodes in order."""
    behind = dict(chosen)
    given = {item.name for item in model.graph.input}
    nodes = [node for name, added in chosen if name in given for node in added]
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            nodes.extend(behind.get(name, ()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
