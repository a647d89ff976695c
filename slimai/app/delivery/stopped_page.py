"""The page of a run that ended before its search: likely causes, and what the float network makes of some pictures."""

from __future__ import annotations

from pathlib import Path

from slimai.app.float_pass.float_score import SHOWN, FloatVerdict
from slimai.app.opening.job import Job
from slimai.report.page import write_stopped_page
from slimai.report.pictures import shot
from slimai.search.evaluate import Validation

__all__ = ["write_verdict"]


def write_verdict(job: Job, verdict: FloatVerdict, validation: Validation) -> Path:
    """Write `report.html` with the first pictures of the validation set; return its path."""
    shots = []
    for index in range(min(SHOWN, len(validation.samples))):
        found = validation.reference.pick([index], validation.outputs)
        outputs = [found[name] for name in validation.outputs]
        shots.append(shot(job.metric, validation.samples[index], outputs))
    folder, name = job.config.path.output_dir, job.config.network.name
    return write_stopped_page(folder, name, verdict.impossible, verdict.causes, shots)
