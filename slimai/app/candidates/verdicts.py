"""What was decided about rewrites of a network, kept for the workers of a run and for its next invocations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import slimai
from slimai.app.opening.content_keys import graph_hash, preprocessing_key
from slimai.artifacts.atomic import write_text
from slimai.artifacts.cache import Cache, content_key

if TYPE_CHECKING:
    from slimai.app.opening.job import Job
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.rewrites.aids import Aids

Verdict = int | bool | None
SUFFIX = ".verdict.json"


class Verdicts(Protocol):
    """Where verdicts about rewrites are kept."""

    def get(self, question: str, aids: Aids, options: QuantOptions, judge: Callable[[], Verdict]) -> Verdict:
        """Return the answer to a question about the network with these aids at these options, judged or known."""


class NotKept:
    """Keeps nothing."""

    def get(self, question: str, aids: Aids, options: QuantOptions, judge: Callable[[], Verdict]) -> Verdict:
        """Return what `judge` says."""
        del question, aids, options
        return judge()


@dataclass(frozen=True)
class KeptVerdicts:
    """Verdicts on a job's network, in files of a folder that its workers share; one process judges, others wait."""

    job: Job
    cache: Cache

    def get(self, question: str, aids: Aids, options: QuantOptions, judge: Callable[[], Verdict]) -> Verdict:
        """Return what `judge` says, or said of the same network, images, target and settings."""
        job = self.job
        images = (preprocessing_key(job), job.calibration_hash)
        target = job.config.target.model_dump(mode="json")
        key = content_key(
            "verdict", slimai.__version__, graph_hash(job.graph), *images, target, question, repr(aids), repr(options)
        )
        found, _ = self.cache.get(key, SUFFIX, judge, _write, _read)
        verdict: Verdict = found
        return verdict


def _write(verdict: Verdict, path: Path) -> None:
    write_text(path, json.dumps({"verdict": verdict}) + "\n")


def _read(path: Path) -> Verdict:
    """Return the verdict; ValueError for a damaged file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    verdict = document.get("verdict", "") if isinstance(document, dict) else ""
    if not (verdict is None or isinstance(verdict, int)):
        raise ValueError(f"{path}: this is no verdict")
    return verdict
