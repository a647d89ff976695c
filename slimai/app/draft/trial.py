"""Candidate settings tried on a few labelled samples: the float network's score with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from slimai.app.draft.anchors import estimated_anchors
from slimai.app.draft.metric import Task, with_anchors
from slimai.app.opening.open_job import metric_for, output_order, preprocessing
from slimai.data.array_file import open_npy
from slimai.data.sample import Sample
from slimai.errors import SlimaiError
from slimai.graph.ir import Graph
from slimai.graph.samples import run_samples
from slimai.metrics.base import Metric, Record
from slimai.runtime.session import FloatSession
from slimai.schema.root import SlimaiConfig

Array = NDArray[Any]
Settings = Mapping[str, Any]
TIES, SAME = 1e-3, 0.98
Build = Callable[[Settings, Task], Mapping[str, Any]]

__all__ = ["Bench", "Tried", "preferred"]


@dataclass(frozen=True)
class Tried:
    """One combination. score: what it is ranked by. shown: the score as the metric tells it. images: how many.

    boxes: labelled boxes that the anchors rest on, and whether each anchor rests on enough, for a head with anchors.
    """

    network: Settings
    task: Task
    score: float
    shown: float
    images: int
    boxes: tuple[int, bool] | None = None


def preferred(tried: Sequence[Tried]) -> list[Tried]:
    """Return the earliest that is hardly worse than the best, then the others, best first.

    A few samples cannot tell scores within `SAME` of each other apart; the earlier setting is the more usual one.
    """
    highest = max((item.score for item in tried), default=0.0)
    chosen = next((item for item in tried if item.score >= SAME * highest), None)
    rest = sorted((item for item in tried if item is not chosen), key=lambda item: -item.score)
    return rest if chosen is None else [chosen, *rest]


class Bench:
    """Runs the network on the samples with settings of `network`, and reads its outputs by tasks.

    build: the values of a whole configuration, of settings of `network` and a task.
    """

    def __init__(self, graph: Graph, samples: Sequence[Sample], build: Build) -> None:
        self._graph, self._build = graph, build
        self._samples = tuple(replace(sample, index=index) for index, sample in enumerate(samples))
        self._session = FloatSession(graph)
        self._metrics: dict[str, tuple[Metric, tuple[str, ...]]] = {}
        self.refused: list[str] = []

    def integers(self) -> bool:
        """Return whether the samples are arrays of integers."""
        file = self._samples[0].files[0]
        return file.suffix.lower() == ".npy" and open_npy(file).dtype.kind in "iu"

    def best(self, settings: Sequence[Settings], tasks: Sequence[Task]) -> list[Tried]:
        """Return the combinations that can be scored: the preferred one, then the others, best first."""
        return preferred([tried for network in settings for tried in self._with(network, tasks)])

    def _with(self, network: Settings, tasks: Sequence[Task]) -> list[Tried]:
        ran = self._outputs(network, tasks[0]) if tasks else None
        if ran is None:
            return []
        samples, outputs = ran
        return [tried for task in tasks if (tried := self._scored(network, task, samples, outputs)) is not None]

    def _outputs(self, network: Settings, task: Task) -> tuple[list[Sample], Sequence[Mapping[str, Array]]] | None:
        """Return the samples with their geometry, and the network's outputs; None where the settings do not fit."""
        try:
            make = preprocessing(self._config(network, task), self._graph)
            made = [make(sample) for sample in self._samples]
            ran = [run_samples(self._graph, self._session.run, feeds) for _, feeds in made]
        except (SlimaiError, ValidationError) as error:
            self.refused.append(_first(error))
            return None
        return [sample for sample, _ in made], ran

    def _config(self, network: Settings, task: Task) -> SlimaiConfig:
        return SlimaiConfig.model_validate(self._build(network, task))

    def _scored(
        self, network: Settings, task: Task, samples: Sequence[Sample], outputs: Sequence[Mapping[str, Array]]
    ) -> Tried | None:
        try:
            metric, order = self._metric(network, task, samples)
            boxes = None
            if task.heads:
                task, boxes = self._anchored(metric, task, samples, outputs)
                metric, order = self._metric(network, task, samples)
            records = [
                metric.measure(sample, [found[name] for name in order], [found[name] for name in order])
                for sample, found in zip(samples, outputs, strict=True)
            ]
            result = metric.combine(records)
        except (SlimaiError, ValidationError) as error:
            self.refused.append(_first(error))
            return None
        if result.score is None or not np.isfinite(result.score):
            return None
        rank = _rank_score(records, result.score, [found[order[0]] for found in outputs])
        return Tried(network, task, rank, result.value, len(records), boxes)

    def _metric(self, network: Settings, task: Task, samples: Sequence[Sample]) -> tuple[Metric, tuple[str, ...]]:
        key = repr(task.metric)
        if key not in self._metrics:  # its labels are read once
            config = self._config(network, task)
            order = output_order(config, self._graph)
            self._metrics[key] = metric_for(config, self._graph, order, self._samples), order
        metric, order = self._metrics[key]
        check = getattr(metric, "check_samples", None)
        wrong = [item for item in check(samples) if item.severity == "error"] if check else []
        if wrong:
            raise SlimaiError(str(wrong[0]))
        return metric, order

    def _anchored(
        self, metric: Metric, task: Task, samples: Sequence[Sample], outputs: Sequence[Mapping[str, Array]]
    ) -> tuple[Task, tuple[int, bool]]:
        """Return the task with the anchors that the labelled boxes and these outputs speak for."""
        images = [
            ([found[name] for name in task.heads], metric.true_boxes(sample))  # type: ignore[attr-defined]
            for sample, found in zip(samples, outputs, strict=True)
        ]
        size = tuple(task.input["input_size"])
        anchors, boxes, whole = estimated_anchors(task.input["anchors"], task.input["layout"], size, images)
        return with_anchors(task, anchors), (boxes, whole)


def _rank_score(records: Sequence[Record], score: float, outputs: Sequence[Array]) -> float:
    """Return what settings are ranked by: for classes the mean of 1 / (rank + 1), else the score.

    It tells more of a few samples than the share of hits; between equal ones the confidence in the labels decides.
    """
    if not all({"rank", "label", "best"} <= record.keys() for record in records):
        return score
    ranks = np.array([record["rank"][0] for record in records], np.float64)
    sure = [np.exp(-_above(output, int(record["rank"][0]))) for output, record in zip(outputs, records, strict=True)]
    return float(np.mean(1 / (ranks + 1)) + TIES * np.mean(sure))


def _above(output: Array, rank: int) -> float:
    """Return by how much the best class is above the one of this rank."""
    values = np.sort(np.asarray(output, np.float64).reshape(-1))[::-1]
    return float(values[0] - values[rank]) if rank else -float(values[0] - values[1]) / (abs(values[0]) + 1)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
