"""What a run says about its float score and about what serves as reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimai.app.candidates.stored_reference import REFERENCE
from slimai.app.opening.job import Job
from slimai.errors import Diagnostic

if TYPE_CHECKING:
    from slimai.metrics.base import Result


def float_warnings(job: Job, result: Result) -> list[Diagnostic]:
    """Return a warning when the float network itself scores near chance: preprocessing is the usual cause."""
    if result.score is None or result.score > chance_score(job):
        return []
    return [
        Diagnostic(
            f"the float network scores only {result.score:.4f}: search cannot mend that",
            key="network.mean",
            suggestion="check mean, stddev, channel_order, resize, labels and metric_input before searching",
            severity="warning",
        )
    ]


def chance_score(job: Job) -> float:
    """Return the score that hardly anything but a mistake gives: twice chance for classes, else 5 %."""
    shape = job.graph.shape(job.outputs[0])
    if job.metric.name.startswith("top") and shape:
        return min(0.2, 2.0 / max(shape[-1], 1))
    return 0.05


def reference_note(job: Job) -> tuple[str, ...]:
    """Return one line about a reference that is not the float network."""
    if job.stored is None:
        return ()

    return (f'pre-quantized network: nothing is calibrated; the reference ("float") is {REFERENCE}',)
