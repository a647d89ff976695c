"""slimai from Python: `load_config`, `validate`, `run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slimai.app.check.verdict import judge_job
from slimai.app.screen.default import default_reporter
from slimai.config.diagnose import judge
from slimai.config.placing import placed
from slimai.config.target import load_target
from slimai.errors import Diagnostic, InputError
from slimai.schema.root import SlimaiConfig
from slimai.search.events import Silent

if TYPE_CHECKING:
    from slimai.app.run.result import RunResult
    from slimai.search.events import Reporter

__all__ = ["Silent", "load_config", "run", "validate"]


def load_config(*target: str | Path) -> SlimaiConfig:
    """Return the validated configuration of a target: overrides, or a YAML or cfg file and overrides.

    >>> config = load_config("+model=yolo", "quantization.accuracy_level=3")
    >>> config.network.name, config.quantization.accuracy_level
    ('yolo', (3,))

    Raises:
        InputError: with every mistake of the configuration; the files that it names are not looked for.
    """
    composed = load_target([str(word) for word in target])
    verdict = judge(composed)
    if verdict.config is None:
        raise InputError(placed(verdict.errors, composed))
    return verdict.config


def validate(*target: str | Path, deep: bool = False) -> list[Diagnostic]:
    """Return every error and warning of a target and of the files that it names; `deep` opens them too.

    >>> validate("+model=yolo")
    []
    >>> [mistake] = validate("+model=yolo", "quantization.accuracy_level=9")
    >>> mistake.key
    'quantization.accuracy_level'
    """
    try:
        composed = load_target([str(word) for word in target])
    except InputError as error:
        return list(error.diagnostics)
    return list(judge_job(composed, deep=deep).diagnostics)


def run(config: SlimaiConfig | str | Sequence[str], *, reporter: Reporter | None = None) -> RunResult:
    """Run a job and return the table of candidates, the best one and the paths.

    Progress is shown in a notebook, on a terminal as a bar, elsewhere as lines on standard error; SLIMAI_QUIET=1 or
    `reporter=Silent()` says nothing. The result's repr is a table; notebooks show it as one.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> words = ["dataset.validation_count=8", "dataset.calibration_count=8", "quantization.range=99"]
    >>> few = load_config("+model=mobilenet_digits", f"path.output_dir={folder}", *words)
    >>> result = run(few, reporter=Silent())
    >>> result.delivered.candidate.level
    1
    >>> sorted(result.paths)[-3:], result.to_dict()["network"]
    (['profile', 'report', 'run'], 'mobilenet_digits')

    Raises:
        InputError: the configuration, model or images are wrong.
    """
    from slimai.app.run.pipeline import run_job  # noqa: PLC0415 - spares filelock, numpy

    words = (config,) if isinstance(config, str) else config
    job = words if isinstance(words, SlimaiConfig) else load_config(*words)
    return run_job(job, reporter=default_reporter() if reporter is None else reporter)
