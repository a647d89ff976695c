"""Does the exported QDQ model give the same under every graph optimization of ONNX Runtime? Where not: written apart.

A few validation images run at every level. A level is bad where ONNX Runtime cannot run the model at it, or where
outputs differ from those without optimization by more than one integer and the score falls by more than a point. Then
the activation is looked for behind which the fault begins, by bisection over graph order: those before it are spelled
out (`to_qdq`), so that nothing is fused with what reads them. One spelled out alone is tried first, then those before
it, then all; where that does not help either the model is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError, SlimaiError
from slimai.graph.samples import each_step, run_samples
from slimai.quantizer.qdq import qdq_graph, to_qdq
from slimai.runtime.session import FloatSession, known_optimizations
from slimai.search.candidate import finite
from slimai.search.evaluate import measure_batch

if TYPE_CHECKING:
    from slimai.metrics.base import Metric
    from slimai.quantizer.plan import QuantPlan
    from slimai.search.evaluate import Validation

    Arrays = Mapping[str, NDArray[Any]]

IMAGES, CONFIRMED = 8, 64  # images of the check; where it finds something, of what confirms it
STEPS, POINTS = 1, 0.01  # more is a fault, where both are
ELEMENTS = 1 << 26  # of all outputs of all images together: they are held


@dataclass(frozen=True)
class LevelFacts:
    """What a level gives.

    steps: largest difference from no optimization in integers of the outputs, None where none is quantized.
    """

    score: float | None = None
    steps: int | None = 0
    error: str = ""

    def bad(self, plain: LevelFacts) -> bool:
        """Return whether the level is one that a user should not run, against no optimization."""
        if self.error:
            return True
        if self.score is None or plain.score is None or (self.steps is not None and self.steps <= STEPS):
            return False
        return plain.score - self.score > POINTS


@dataclass(frozen=True)
class ExportFacts:
    """What the check found, for run.json and the report.

    levels: ONNX Runtime's level -> what it gives, from none on. spelled_out: layers that are written so that nothing is
    fused with them. refused: why there is no model, naming a node. skipped: why nothing was checked.
    """

    images: int = 0
    levels: Mapping[str, LevelFacts] = field(default_factory=dict)
    spelled_out: tuple[str, ...] = ()
    refused: str = ""
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON holds."""
        levels = {
            name: {"score": finite(item.score), "largest_difference": item.steps, "error": item.error}
            for name, item in self.levels.items()
        }
        return {
            "images": self.images,
            "levels": levels,
            "spelled_out": list(self.spelled_out),
            "refused": self.refused,
            "skipped": self.skipped,
        }

    @property
    def bad(self) -> dict[str, LevelFacts]:
        """The levels that fail."""
        plain = next(iter(self.levels.values()), None)
        return {} if plain is None else {name: item for name, item in self.levels.items() if item.bad(plain)}


@dataclass(frozen=True, eq=False)
class ExportCheck:
    """Runs a plan's exported model on validation images; `metric` scores them."""

    plan: QuantPlan
    validation: Validation
    metric: Metric

    def checked(self, model: bytes) -> tuple[bytes | None, ExportFacts]:
        """Return the model to deliver, None where it is refused, and what was found."""
        count = self._images(IMAGES)
        if count == 0:
            return model, ExportFacts(skipped=self._why_none())
        facts = self._measured(model, count)
        if facts.bad and self._images(CONFIRMED) > count and not any(item.error for item in facts.bad.values()):
            facts = self._measured(model, self._images(CONFIRMED))
        return self._repaired(facts) if facts.bad else (model, facts)

    def _why_none(self) -> str:
        return (
            "there is no validation image" if not self.validation.samples else "the outputs of an image are too large"
        )

    def _images(self, wanted: int) -> int:
        """Return how many images fit: their outputs are held at every level."""
        graph = self.plan.graph
        one = sum(int(np.prod(graph.shape(name))) for name in graph.outputs)
        return min(wanted, len(self.validation.samples), ELEMENTS // max(one, 1))

    def _measured(self, model: bytes, count: int) -> ExportFacts:
        """Return what every level gives on the first `count` images."""
        found: dict[str, LevelFacts] = {}
        first: Arrays = {}
        for level in known_optimizations():
            outputs, found[level] = self._at(model, level, count)
            if not first:
                first = outputs
            elif not found[level].error:
                found[level] = replace(found[level], steps=self._steps(first, outputs))
            if not first:
                break
        return ExportFacts(count, found)

    def _at(self, model: bytes, level: str, count: int) -> tuple[Arrays, LevelFacts]:
        """Return the outputs of all images, one behind the other, and the score at a level."""
        graph, indices = self.plan.graph, range(count)
        try:
            session = FloatSession(model, as_users=level)
            parts = [run_samples(graph, session.run, self.validation.inputs.pick([index])) for index in indices]
            measured = (
                measure_batch(self.metric, self.validation, [index], part)
                for index, part in zip(indices, parts, strict=True)
            )
            records = [record for each in measured for record in each]
            outputs = {name: np.concatenate([part[name].reshape(-1) for part in parts]) for name in parts[0]}
        except (InputError, SlimaiError) as error:
            return {}, LevelFacts(None, None, str(error))
        return outputs, LevelFacts(self.metric.combine(records).score)

    def _steps(self, first: Arrays, second: Arrays) -> int | None:
        """Return the largest difference in steps of the outputs' grids, None where no output has one."""
        grids = self.plan.tensors
        found = [
            np.abs(np.rint((first[name].astype(np.float64) - second[name]) / grids[name].scale)).max(initial=0)
            for name in first
            if name in grids
        ]
        return int(max(found)) if found else None

    def _repaired(self, facts: ExportFacts) -> tuple[bytes | None, ExportFacts]:
        """Return the model with as little as helps spelled out, or None."""
        level = list(facts.bad)[-1]
        plain = next(iter(facts.levels.values()))
        order = self._activations()
        if plain.error:
            return None, replace(facts, refused=f"ONNX Runtime cannot run the exported model: {plain.error}")

        def helps(names: Sequence[str]) -> bool:
            _, found = self._at(_bytes(self.plan, names), level, facts.images)
            return not replace(found, steps=None).bad(plain)

        place = _first(helps, order)
        if place is None:
            return None, replace(facts, refused=self._refusal(level, facts))
        for names in ([order[place]], order[: place + 1], order):
            changed = _bytes(self.plan, names)
            again = self._measured(changed, facts.images)
            if not again.bad:
                return changed, replace(again, spelled_out=self._readers(names))
        return None, replace(facts, refused=self._refusal(level, facts))

    def _activations(self) -> list[str]:
        """Return the quantized activations that a layer reads, in graph order."""
        read = {name for layer in self.plan.layers for name in layer.inputs}
        return [name for name in self.plan.graph.activations() if name in self.plan.tensors and name in read]

    def _readers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the layers that read any of these activations."""
        return tuple(layer.name for layer in self.plan.layers if set(names) & set(layer.inputs))

    def _first_changed(self, level: str) -> str:
        """Return the first layer whose integers a level changes by more than one, else the last layer."""
        graph, grids = qdq_graph(self.plan), self.plan.tensors
        names = [name for layer in self.plan.layers for name in layer.outputs if name in grids]
        sessions = [FloatSession(graph, names, as_users=each) for each in (known_optimizations()[0], level)]
        image = self.validation.inputs.pick([0])
        feeds = next(each_step(graph, lambda _: {}, image))[0] if graph.sequences else image
        first, second = (session.run(feeds) for session in sessions)
        for layer in self.plan.layers:
            part = {name: first[name] for name in layer.outputs if name in grids}
            if (self._steps(part, second) or 0) > STEPS:
                return layer.name
        return self.plan.layers[-1].name

    def _refusal(self, level: str, facts: ExportFacts) -> str:
        """Return why the model is refused, naming the first layer that a level changes."""
        found = facts.levels[level]
        plain = next(iter(facts.levels.values()))
        if found.error:  # which names the node where it is one
            return f"ONNX Runtime cannot run the exported model at the level '{level}': {found.error}"
        return (
            f"{self._first_changed(level)}: ONNX Runtime's graph optimization '{level}' changes what the exported "
            f"model computes: outputs by {found.steps} integers, the score from {plain.score:.4f} to {found.score:.4f}"
        )


def _bytes(plan: QuantPlan, names: Sequence[str] = ()) -> bytes:
    data: bytes = to_qdq(plan, spelled_out=names).SerializeToString(deterministic=True)
    return data


def _first(helps: Callable[[Sequence[str]], bool], order: Sequence[str]) -> int | None:
    """Return the place up to which activations are spelled out until that helps, None where it never does."""
    if not order or not helps(order):
        return None
    low, high = 0, len(order)  # of so many it does not help, and does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if helps(order[:middle]) else (middle, high)
    return high - 1
