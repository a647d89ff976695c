"""What rounding one tensor alone, in the float network, does to the network's outputs.

The error of a layer within the integer network, or alone, does not say what it is worth: pools, joins and the decoding
of boxes pass it on, saturating functions swallow it. Here one tensor at a time takes its 8-bit grid while all others
stay float, and the outputs are compared. One ONNX Runtime session holds all roundings, each in the branch of an If that
an input chooses, so that a network of T tensors costs T + 1 forwards an image and nothing is compiled twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph, Node
from slimai.graph.names import FreeNames
from slimai.graph.samples import run_samples
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import QuantPlan
from slimai.report.parts import OutputNoise, output_parts
from slimai.runtime.session import FloatSession

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, NDArray[Any]]
NONE = -1  # no tensor is rounded
MOST_IMAGES, MOST_MACS = 4, 1 << 37  # images, as many as stay within so many multiplications of all forwards


def images_for(graph: Graph, plan: QuantPlan) -> int:
    """Return how many images the roundings are looked at with: 1 to `MOST_IMAGES`."""
    from slimai.simulator.cost import layer_macs  # noqa: PLC0415 - spares the simulator

    macs = sum(layer_macs(plan.graph, layer) for layer in plan.layers)
    return max(1, min(MOST_IMAGES, int(MOST_MACS // max(macs * (len(_grids(graph, plan)) + 1), 1))))


def _grids(graph: Graph, plan: QuantPlan) -> dict[str, QParams]:
    """Return the 8-bit grids of the float network's tensors; not of those that hold another tensor's integers."""
    found = {}
    for name in graph.activations():
        params, maker = plan.tensors.get(name), graph.producers.get(name)
        if params is None or params.dtype.bits > 8 or (maker is not None and _moves(graph, plan, maker)):
            continue
        found[name] = params
    return found


def _moves(graph: Graph, plan: QuantPlan, node: Node) -> bool:
    """Return whether a node only gives another shape to the integers of a tensor that nothing else reads."""
    if node.op not in ("Reshape", "Transpose") or graph.only_consumer(node.inputs[0]) is None:
        return False
    params = plan.tensors.get(node.inputs[0])
    return params is not None and params == plan.tensors.get(node.outputs[0])


class AloneRounding:
    """Gathers what each tensor, rounded alone, does to the outputs; batch after batch of a few images."""

    def __init__(self, graph: Graph, plan: QuantPlan, *, threads: int = 1) -> None:
        """`graph`: the float network that the plan was made from. Its tensors with 8-bit grids are looked at."""
        self.graph = graph
        self.grids = _grids(graph, plan)
        self._moved = [node for node in graph.nodes if _moves(graph, plan, node)]
        self._names = FreeNames.of(graph)
        self._choice = self._names.take("rounded")
        model = _with_roundings(graph, self.grids, self._choice, self._names)
        self._session = FloatSession(model.SerializeToString(), outputs=graph.outputs, threads=threads)
        self._noise: dict[str, OutputNoise] = {}

    def add(self, feeds: Arrays, advance: Callable[[], None] = lambda: None) -> None:
        """Take in a batch of network inputs [N, ...]; `advance` is called after each tensor."""
        truth = self._run(feeds, NONE)
        if not self._noise:
            judged = {name: values for name, values in truth.items() if values.dtype == np.float32}
            parts = output_parts(self.graph, judged)
            self._noise = {name: OutputNoise(parts) for name in self.grids}
        for place, noise in enumerate(self._noise.values()):
            noise.add(truth, self._run(feeds, place))
            advance()

    def ratios(self) -> dict[str, float]:
        """Return noise over signal of the outputs, by the tensor that alone is rounded; see `OutputNoise.ratio`."""
        found = {name: noise.ratio() for name, noise in self._noise.items()}
        for node in self._moved:
            if node.inputs[0] in found:
                found[node.outputs[0]] = found[node.inputs[0]]
        return found

    def _run(self, feeds: Arrays, place: int) -> dict[str, NDArray[Any]]:
        chosen = np.array(place, np.int64)
        return run_samples(self.graph, lambda ready: self._session.run({**ready, self._choice: chosen}), feeds)


def _with_roundings(graph: Graph, grids: Mapping[str, QParams], choice: str, names: FreeNames) -> onnx.ModelProto:
    """Return the float network in which the tensor of that place among `grids` is rounded which `choice` names."""
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
    for place, (name, params) in enumerate(grids.items()):
        source, target = (name, exact[name]) if name in inputs else (exact[name], name)
        chosen.append((source, _choose(model, source, target, params, (choice, place), names)))
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
