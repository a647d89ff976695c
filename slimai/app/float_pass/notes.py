"""What a run says about what serves as reference."""

from __future__ import annotations

from slimai.app.candidates.stored_reference import REFERENCE
from slimai.app.opening.job import Job


def reference_note(job: Job) -> tuple[str, ...]:
    """Return one line about a reference that is not the float network."""
    if job.stored is None:
        return ()
    return (f'pre-quantized network: nothing is calibrated; the reference ("float") is {REFERENCE}',)
