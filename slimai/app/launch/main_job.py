"""A command line in Hydra's grammar: one job, or many."""

from __future__ import annotations

from collections.abc import Sequence

from slimai.app.launch.hydra_job import EXIT_CODES, run_hydra
from slimai.app.launch.multirun import run_multirun
from slimai.app.launch.preflight import CommandLine, preflight, read_words, report
from slimai.config.compose import compose_job, hydra_ready
from slimai.errors import EXIT_DONE, EXIT_FAILED, EXIT_INVALID


def run_words(words: Sequence[str]) -> int:
    """Run the main job, or the multirun, of the command line `words`; return the exit code."""
    line = read_words(words)
    if line.passive:
        _show(line)
        return EXIT_DONE
    jobs = [] if line.foreign else preflight(line)
    if jobs and not report(jobs, multirun=line.multirun and not line.adaptive):
        return EXIT_INVALID
    if line.multirun:
        return run_multirun(line, jobs)
    ends = run_hydra(line)
    return EXIT_CODES[ends[-1].status] if ends else EXIT_FAILED


def _show(line: CommandLine) -> None:
    """Let Hydra show what its flag asks for; wrong overrides are explained by slimai."""
    if not (line.foreign or line.config_dir or line.multirun):
        with hydra_ready():
            compose_job([word for word in line.overrides if not word.startswith("hydra")])
    run_hydra(line)
