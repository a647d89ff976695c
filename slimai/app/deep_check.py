"""`slimai validate --deep`: the checks that the main job makes before anything slow."""

from __future__ import annotations

from slimai.app.prepare import prepare
from slimai.errors import Diagnostic, InputError
from slimai.schema.root import SlimaiConfig


def check(config: SlimaiConfig) -> list[Diagnostic]:
    """Return every error and warning that opening model, lists, images and labels brings up."""
    try:
        job = prepare(config)
    except InputError as error:
        return list(error.diagnostics)
    return list(job.warnings)
