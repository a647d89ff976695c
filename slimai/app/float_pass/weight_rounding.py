"""Weights rounded on the calibration images: cached by content, layer by layer on disk while it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import slimai
from slimai.app.opening.batch_sizes import batch_size
from slimai.app.opening.content_keys import graph_hash, preprocessing_key
from slimai.app.opening.job import Job
from slimai.artifacts.cache import Cache, content_key
from slimai.calibration.unrolled import chosen_steps, single_steps
from slimai.data.loader import iter_batches
from slimai.errors import SlimaiError
from slimai.graph.ir import Graph
from slimai.quantizer.key import plan_key
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.rounding.result import LayerReport, RoundedLayer, Rounding
from slimai.search.events import Reporter
from slimai.simulator.rounding_guard import guarded
from slimai.simulator.rounding_pass import Images, RoundingPass

SUFFIX = ".rounding.npz"
SEQUENCE_STEPS = 32  # of one sequence, evenly over it: neighbours tell little that is new


class RoundingStoppedError(SlimaiError):
    """The time is over; the layers that are done wait in the cache for the next invocation."""


@dataclass(frozen=True)
class WeightRounding:
    """Rounds the weights of the job's float networks; what is found is kept in `cache`.

    scratch: folder for the activations of all images, gone at the end. late: whether to stop; asked before the first
    layer and after each. tick: called after each.
    """

    job: Job
    cache: Cache
    scratch: Path
    reporter: Reporter
    late: Callable[[], bool] = lambda: False
    tick: Callable[[], None] = lambda: None

    def __call__(self, graph: Graph, plan: QuantPlan) -> Rounding:
        """Return the rounding of `graph`, whose reference setting is `plan`.

        Raises:
            RoundingStoppedError: the time is over.
        """
        target = self.job.config.target
        images = self.job.calibration_hash
        parts = (plan_key(plan), graph_hash(graph), preprocessing_key(self.job), images)
        key = content_key(slimai.__version__, *parts, target.model_dump(mode="json"))
        found, cached = self.cache.get(
            key,
            SUFFIX,
            lambda: self._rounded(graph, plan, key),
            lambda value, path: value.save(path),
            Rounding.load,
        )
        shutil.rmtree(self._layers(key), ignore_errors=True)
        result: Rounding = found
        kept = sum(report.kept for report in result.reports)
        source = "found in the cache" if cached else "done"
        self.reporter.line(
            f"weight rounding, level {plan.level}: {source}, {kept} of {len(result.reports)} layers gain"
        )
        return result

    def _layers(self, key: str) -> Path:
        return self.cache.folder / f"{key}.layers"

    def _rounded(self, graph: Graph, plan: QuantPlan, key: str) -> Rounding:
        folder = self._layers(key)
        folder.mkdir(parents=True, exist_ok=True)
        known = dict(_stored(folder))
        shutil.rmtree(self.scratch, ignore_errors=True)
        total = sum(layer.weight is not None for layer in plan.layers)
        if self.late():
            raise RoundingStoppedError(f"time limit after {len(known)} of {total} layers")
        with self.reporter.stage(f"round weights, level {plan.level}", total) as stage:
            stage.advance(len(known))

            def solved(report: LayerReport, layer: RoundedLayer | None) -> None:
                layers = {} if layer is None else {report.node: layer}
                known[report.node] = (report, layer)
                Rounding(layers, (report,)).save(folder / f"{len(known)}.npz")
                stage.advance()
                self.tick()
                if self.late():
                    raise RoundingStoppedError(f"time limit after {len(known)} of {total} layers")

            target, arithmetic = self.job.config.target, self.job.config.target.arithmetic
            images = self._images(graph)
            graph = replace(graph, sequences=())
            found = RoundingPass(
                graph, plan, target, images, self.scratch, arithmetic, known=dict(known), solved=solved
            ).run()
            found = guarded(graph, plan, found, target, images, arithmetic=arithmetic)
        shutil.rmtree(self.scratch, ignore_errors=True)
        return found

    def _images(self, graph: Graph) -> Images:
        """Return the calibration images; of sequences `SEQUENCE_STEPS` single steps each at most."""
        count = len(self.job.calibration)
        if not graph.sequences:
            return Images(count, lambda: self._batches(batch_size(graph)))
        steps = [self.job.preprocess.steps(sample) or 1 for sample in self.job.calibration]
        count = sum(len(chosen_steps(each, SEQUENCE_STEPS)) for each in steps)
        return Images(count, lambda: single_steps(graph, self._batches(1), SEQUENCE_STEPS))

    def _batches(self, batch: int) -> Iterator[Mapping[str, NDArray[Any]]]:
        return (arrays for _, arrays in iter_batches(self.job.calibration, self.job.preprocess, batch))


def _stored(folder: Path) -> Iterator[tuple[str, tuple[LayerReport, RoundedLayer | None]]]:
    """Yield what an interrupted invocation has left: node name -> report and layer; damaged files are forgotten."""
    for path in sorted(folder.glob("*.npz")):
        try:
            found = Rounding.load(path)
        except (ValueError, OSError, KeyError):
            path.unlink(missing_ok=True)
            continue
        for report in found.reports:
            yield report.node, (report, found.layers.get(report.node))
