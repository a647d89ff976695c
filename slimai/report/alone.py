"""What rounding one tensor alone, in the float network, does to the network's outputs.

The error of a layer within the integer network, or alone, does not say what it is worth: pools, joins and the decoding
of boxes pass it on, saturating functions swallow it. Here one tensor at a time takes its 8-bit grid while all others
stay float, and the outputs are compared. What lies before that tensor is computed once an image
(`slimai.report.rounding_chain`), so that a network of T tensors costs about T / 2 + 1 forwards an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph, Node
from slimai.graph.samples import own_shapes, run_samples, sample_axis, single_samples
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import QuantPlan
from slimai.report.parts import OutputNoise, output_parts
from slimai.report.rounding_chain import NONE, RoundingChain

Arrays = Mapping[str, NDArray[Any]]
MOST_IMAGES, MOST_MACS = 4, 1 << 37  # images, as many as stay within so many multiplications of all forwards
MOST_SCORED = 16  # images that the score is looked at with


def images_for(graph: Graph, plan: QuantPlan) -> int:
    """Return how many images the roundings are looked at with: 1 to `MOST_IMAGES`."""
    return _affordable(plan, len(_grids(graph, plan)) + 1, MOST_IMAGES)


def scored_images(plan: QuantPlan, tensors: int) -> int:
    """Return on how many images the score with one of so many tensors rounded is looked at: 1 to `MOST_SCORED`."""
    return _affordable(plan, tensors + 1, MOST_SCORED)


def _affordable(plan: QuantPlan, forwards: int, most: int) -> int:
    from slimai.simulator.cost import layer_macs  # noqa: PLC0415 - spares the simulator

    macs = sum(layer_macs(plan.graph, layer) for layer in plan.layers)
    return max(1, min(most, int(MOST_MACS // max(macs * forwards, 1))))


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
        self._threads = threads
        self._chain: RoundingChain | None = None
        self._noise: dict[str, OutputNoise] = {}

    def release(self) -> None:
        """Give the sessions back, which hold activations; they are made again when they are needed."""
        self._chain = None

    def add(self, feeds: Arrays, advance: Callable[[], None] = lambda: None) -> None:
        """Take in a batch of network inputs [N, ...]; `advance` is called after each tensor."""
        found = self.each(feeds, tuple(self.grids))
        truth = next(found)
        if not self._noise:
            judged = {name: values for name, values in truth.items() if values.dtype == np.float32}
            parts = output_parts(self.graph, judged)
            self._noise = {name: OutputNoise(parts) for name in self.grids}
        for noise, outputs in zip(self._noise.values(), found, strict=True):
            noise.add(truth, outputs)
            advance()

    def each(self, feeds: Arrays, tensors: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the float network's outputs [N, ...] as they are, then with one of `tensors` rounded after another.

        A tensor that only reshapes another one's integers is rounded where that one is. Raises KeyError for tensors
        without an 8-bit grid.
        """
        order = list(self.grids)
        places = [order.index(self._rounded_at(tensor)) for tensor in tensors]
        chain = self._chain = self._chain or RoundingChain(self.graph, self.grids, threads=self._threads)
        if self.graph.sequences:
            # a step takes over what the rounded one before it gave: nothing of it can be kept
            for place in (NONE, *places):
                yield run_samples(self.graph, partial(chain.rounded, place=place), feeds)
            return
        exact = [chain.exact(own_shapes(self.graph, part)) for part in single_samples(self.graph, feeds)]
        yield self._joined([chain.outputs(values) for values in exact])
        for place in places:
            yield self._joined([chain.rounded(values, place) for values in exact])

    def _joined(self, runs: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Return the outputs [N, ...] of the runs together."""
        found = [sample_axis(self.graph, outputs) for outputs in runs]
        return (
            found[0] if len(found) == 1 else {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        )

    def _rounded_at(self, tensor: str) -> str:
        moved = {node.outputs[0]: node.inputs[0] for node in self._moved}
        while tensor not in self.grids and tensor in moved:
            tensor = moved[tensor]
        if tensor not in self.grids:
            raise KeyError(tensor)
        return tensor

    def has(self, tensor: str) -> bool:
        """Return whether `each` can round a tensor."""
        try:
            return bool(self._rounded_at(tensor))
        except KeyError:
            return False

    def ratios(self) -> dict[str, float]:
        """Return noise over signal of the outputs, by the tensor that alone is rounded; see `OutputNoise.ratio`."""
        found = {name: noise.ratio() for name, noise in self._noise.items()}
        for node in self._moved:
            if node.inputs[0] in found:
                found[node.outputs[0]] = found[node.inputs[0]]
        return found
