"""Limits edited by hand in a job: the file to edit, and what its edits changed (SPEC 8.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slimai.app.delivery.adjust_file import edited_file, header
from slimai.quantizer.adjust import changed_parameters, edited_limits, read_adjust, write_adjust
from slimai.quantizer.tensor_names import aliases
from slimai.search.candidate import Candidate, Outcome
from slimai.search.evaluate import Runner, Validation, batches, measure_batch
from slimai.search.events import Reporter

if TYPE_CHECKING:
    from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
    from slimai.app.opening.job import Job
    from slimai.metrics.base import Metric


@dataclass(frozen=True)
class Reading:
    """How good one integer network is: the metric's value, and the mean cosine of each output with float."""

    value: float
    similarity: Mapping[str, float]


def read_edits(quantizer: Quantizer, candidate: Candidate, path: Path) -> dict[str, tuple[float, float]]:
    """Return tensor -> limits of the edited entries of the file; nothing when there is no file.

    Raises InputError with every mistake of the file.
    """
    if not path.exists():
        return {}
    plan = quantizer(candidate).plan
    known = [name for tensor, name in plan.profile_names.items() if tensor in plan.tensors]
    edited = read_adjust(path, header(quantizer, candidate), known, aliases(plan))
    return edited_limits(plan, edited)


def read_edited(job: Job, plain: Quantizer, candidates: Sequence[Candidate]) -> Quantizer:
    """Return the quantizer with the limits that a person has edited, where the job has one candidate."""
    if not job.config.metric.adjust or len(candidates) != 1:
        return plain
    edits = read_edits(plain, candidates[0], edited_file(job.config))
    return replace(plain, edits=edits) if edits else plain


def adjust_delivered(
    plain: Quantizer, quantizer: Quantizer, validation: Validation, delivered: Outcome | None, reporter: Reporter
) -> None:
    """Write the file to edit for what is delivered, or tell what its edits did; nothing where the job has no `adjust`.

    plain: the quantizer without edits.
    """
    config, metric = plain.job.config, plain.job.metric
    if not config.metric.adjust or delivered is None:
        return
    path = edited_file(config)
    before = plain(delivered.candidate)
    if not quantizer.edits:
        if write_file(before, plain, path):
            reporter.line(f"adjust: edit Min and Max in {path} and run again with the same level and range")
        return
    after = quantizer(delivered.candidate)
    readings = [read_network(item.runner(), validation, metric) for item in (before, after)]
    for line in report_lines(changed_parameters(before.plan, after.plan), *readings):
        reporter.line(line)


def write_file(item: QuantizedCandidate, quantizer: Quantizer, path: Path) -> bool:
    """Write the adjust file of a candidate unless there is one; return whether it was written."""
    return write_adjust(path, header(quantizer, item.candidate), item.plan, item.stats)


def read_network(runner: Runner, validation: Validation, metric: Metric) -> Reading:
    """Return value and similarity of one integer network over the validation set."""
    names = validation.outputs
    cosines: dict[str, list[float]] = {name: [] for name in names}
    records = []
    for indices in batches(range(len(validation.samples)), validation.batch):
        outputs = runner(validation.inputs.pick(indices))
        reference = validation.reference.pick(indices, names)
        records.extend(measure_batch(metric, validation, indices, outputs))
        for name in names:
            cosines[name] += _cosines(outputs[name], reference[name])
    return Reading(metric.combine(records).value, {name: float(np.mean(found)) for name, found in cosines.items()})


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Return the cosine of each image's output; 1 where both are zero."""
    found = []
    for mine, other in zip(ours.astype(np.float64), theirs.astype(np.float64), strict=True):
        norm = float(np.linalg.norm(mine) * np.linalg.norm(other))
        same = bool((mine == other).all())
        found.append(1.0 if same else (float((mine * other).sum()) / norm if norm else 0.0))
    return found


def report_lines(changes: Sequence[str], before: Reading, after: Reading) -> list[str]:
    """Return what the edits did: each tensor whose parameters changed, then similarity and metric."""
    lines = [f"adjust: {line}" for line in changes] or ["adjust: no parameter changed"]
    lines += [
        f"adjust: similarity of {name}: {before.similarity[name]:.6f} -> {after.similarity[name]:.6f}"
        for name in before.similarity
    ]
    return [*lines, f"adjust: metric: {before.value:.6f} -> {after.value:.6f}"]
