"""Everything that can be said about a job before it starts: configuration, then the files it names."""

from __future__ import annotations

from dataclasses import replace

from slimai.app.check.named_files import file_problems
from slimai.config.composed import Composed
from slimai.config.diagnose import Verdict, judge
from slimai.config.dirs import shadowed
from slimai.config.placing import placed
from slimai.errors import Diagnostic, InputError
from slimai.schema.root import SlimaiConfig


def check(config: SlimaiConfig) -> list[Diagnostic]:
    """Return every error and warning that opening model, lists, images and labels brings up."""
    from slimai.app.opening.open_job import prepare  # noqa: PLC0415 - spares the modules of models and pictures

    try:
        job = prepare(config)
    except InputError as error:
        return list(error.diagnostics)
    return list(job.warnings)


def judge_job(composed: Composed, *, deep: bool = False) -> Verdict:
    """Return the verdict on composed values and on the files that they name, every diagnostic with its place.

    `deep` opens model and pictures too, when nothing else is wrong.
    """
    verdict = judge(composed)
    found = list(verdict.diagnostics)
    if verdict.sound is not None:
        found = _merged(found, _merged([], file_problems(verdict.sound, verdict.broken)))
    if deep and verdict.config is not None and not any(item.severity == "error" for item in found):
        found = _merged(found, check(verdict.config))
    return replace(verdict, diagnostics=tuple(_merged(list(composed.notes), list(placed(found, composed)))))


def _merged(first: list[Diagnostic], second: list[Diagnostic]) -> list[Diagnostic]:
    """Return both without what is said twice; two places of one key are one mistake."""
    keyed = {(item.key, item.message) for item in first if item.key}
    merged = list(first)
    for item in second:
        if (item.key, item.message) not in keyed and item not in merged:
            merged.append(item)
    return merged


def shadow_report() -> list[str]:
    """Return one line for each bundled file that the user's `./conf` hides."""
    return [f"{own} is used in place of the bundled {hidden.name}" for own, hidden in shadowed()]
