"""The float networks that candidates start from: rewritten by the accuracy aids, calibrated once each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slimai.app.opening.job import Job
from slimai.calibration.collect import channel_extremes, channel_magnitudes
from slimai.data.loader import iter_batches
from slimai.quantizer.rewrites.absorption import absorb_biases
from slimai.quantizer.rewrites.clustering import Clustered, chains, cluster_channels
from slimai.quantizer.rewrites.constant_channels import fold_constant_channels
from slimai.quantizer.rewrites.equalization import Accepted, Equalized, equalize
from slimai.quantizer.rewrites.norm_scaling import norms_with_readers, scale_through_norms
from slimai.quantizer.rewrites.seams import joined_depthwise, split_at_seams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.calibration.statistics import Statistics
    from slimai.graph.ir import Graph
    from slimai.quantizer.plan import Decision
    from slimai.quantizer.rewrites.absorption import Absorbed
    from slimai.quantizer.rewrites.aids import Rewrites


# what calibrates a float network; the second argument: which aids have made it
Calibration = Callable[["Graph", "Rewrites"], "Statistics"]

MAGNITUDE_IMAGES = 16  # with them channel magnitudes are known well enough for equalization and clustering


class FloatNetworks:
    """The distinct float networks that candidates start from, each with its statistics, made on first use."""

    def __init__(self, job: Job, statistics: Calibration) -> None:
        self._job = job
        self._statistics = statistics
        self._graphs: dict[Rewrites, Clustered] = {}
        self._made: dict[Rewrites, tuple[Graph, Statistics]] = {}
        self._groups: dict[Rewrites, int] = {}  # equalized ones
        self.first_statistics: dict[Rewrites, Statistics] = {}  # over the first images, where rewrites were judged
        # of the network with its constant channels folded, and whether it was split at seams
        self._magnitudes: dict[bool, dict[str, NDArray[Any]]] = {}
        self._split: Clustered | None = None  # that network split at seams
        self._folded: tuple[Graph, tuple[Decision, ...]] | None = None  # with its constant channels folded

    def get(self, rewrites: Rewrites) -> tuple[Graph, Statistics]:
        """Return the network, with its channels equalized across layers and its biases absorbed or not, calibrated.

        Constant channels are folded in all, and channels may be clustered; what the network computes is the same, with
        absorbed biases on the calibration images.
        """
        if rewrites not in self._made:
            graph = self.graph(rewrites)
            self._made[rewrites] = (graph, self._statistics(graph, rewrites))
        return self._made[rewrites]

    def seen(self, rewrites: Rewrites) -> Statistics | None:
        """Return the statistics of the network over the first calibration images, where they are known."""
        if self._job.graph.sequences:  # a few of whose steps were looked at
            return None
        return self.first_statistics.get(rewrites)

    def graph(self, rewrites: Rewrites) -> Graph:
        """Return the network of `get`, before it is calibrated."""
        return self.rewritten(rewrites).graph

    def decisions(self, rewrites: Rewrites) -> tuple[Decision, ...]:
        """Return what was folded, equalized, absorbed and clustered on the way there, what was left alone, and why."""
        return self.rewritten(rewrites).decisions

    def rewritten(self, rewrites: Rewrites) -> Clustered:
        """Return the network of `get`, before it is calibrated, with its decisions and where its nodes come from."""
        if rewrites not in self._graphs:
            graph, decisions = self._without_constants()
            split = self._split_at_seams(graph) if rewrites.seams else Clustered(graph)
            graph, decisions = split.graph, (*decisions, *split.decisions)
            if rewrites.equalization:
                equalized = self._equalized(graph, rewrites)
                scaled = self._scaled(equalized.graph)
                graph, decisions = scaled.graph, (*decisions, *equalized.decisions, *scaled.decisions)
            if rewrites.bias_absorption:
                absorbed = self._absorbed(graph)
                graph, decisions = absorbed.graph, (*decisions, *absorbed.decisions)
            clustered = self._clustered(graph, rewrites).after(split)
            self._graphs[rewrites] = replace(clustered, decisions=(*decisions, *clustered.decisions))
        return self._graphs[rewrites]

    def equalized_groups(self, rewrites: Rewrites) -> int:
        """Return how many groups of channels are equalized in the network of `get`."""
        self.rewritten(rewrites)
        return self._groups[rewrites]

    def has_seams(self) -> bool:
        """Return whether there are depthwise convolutions behind joins that might be split."""
        if self._split is None:
            self._split_at_seams(self._without_constants()[0])
        return self._split is not None and bool(self._split.joins)

    def _without_constants(self) -> tuple[Graph, tuple[Decision, ...]]:
        if self._folded is None:
            self._folded = fold_constant_channels(self._job.graph)
        return self._folded

    def _split_at_seams(self, graph: Graph) -> Clustered:
        """Return the network with depthwise convolutions split at the seams of what they read."""
        if self._split is None:
            found = Clustered(graph)
            if joined_depthwise(graph):
                found = split_at_seams(graph, channel_magnitudes(graph, self._images(MAGNITUDE_IMAGES)))
            self._split = found
        return self._split

    def _equalized(self, graph: Graph, rewrites: Rewrites) -> Equalized:
        split = rewrites.seams
        if split not in self._magnitudes:
            self._magnitudes[split] = channel_magnitudes(graph, self._images(MAGNITUDE_IMAGES))
        judged = None if rewrites.judged is None else Accepted(rewrites.judged == "tensor", rewrites.groups)
        found = equalize(graph, self._magnitudes[split], clamp_per_channel=rewrites.clamps, accepted=judged)
        self._groups[rewrites] = found.groups
        return found

    def _scaled(self, graph: Graph) -> Equalized:
        """Return the network with channels scaled between normalizations and the linear layers that read them."""
        axes = {
            name: len(graph.shape(name)) - 1 for name in (item.norm.outputs[0] for item in norms_with_readers(graph))
        }
        if not axes:
            return Equalized(graph, ())
        peaks = channel_magnitudes(graph, self._images(MAGNITUDE_IMAGES), axes=axes)
        return scale_through_norms(graph, peaks, self._job.config.target.per_channel_ops)

    def _clustered(self, graph: Graph, rewrites: Rewrites) -> Clustered:
        everywhere = rewrites.all_chains
        if not rewrites.channel_clustering or not any(chains(graph, everywhere=everywhere)):
            return Clustered(graph)
        magnitudes = channel_magnitudes(graph, self._images(MAGNITUDE_IMAGES))
        return cluster_channels(graph, magnitudes, everywhere=everywhere)

    def _absorbed(self, graph: Graph) -> Absorbed:
        """Return the network with biases absorbed; all images, because a value below those seen is cut off."""
        return absorb_biases(graph, channel_extremes(graph, self._images()))

    def _images(self, count: int | None = None) -> Iterator[Mapping[str, NDArray[Any]]]:
        return (feeds for _, feeds in iter_batches(self._job.calibration[:count], self._job.preprocess, 1))
