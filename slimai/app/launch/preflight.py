"""Every job of a command line composed and validated before anything is launched or written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.utils import get_args_parser

from slimai.app.check.verdict import judge_job, shadow_report
from slimai.config.compose import compose_job, expand_sweep, hydra_ready, parse_sweep, require_lists
from slimai.config.compose_errors import SEVERAL
from slimai.config.composed import Composed
from slimai.config.overrides import as_written
from slimai.errors import Diagnostic, InputError
from slimai.language import label, labelled, translated
from slimai.schema.root import SlimaiConfig


@dataclass(frozen=True)
class CommandLine:
    """The words of a main job: Hydra's flags, the overrides as written, and what they ask for.

    passive: only shows something (``--cfg``, ``--info``, help). foreign: names another primary
    configuration. Their jobs are validated one by one.
    """

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    multirun: bool = False
    passive: bool = False
    foreign: bool = False
    sweeper: str = ""
    config_dir: str | None = None

    @property
    def adaptive(self) -> bool:
        """Whether the sweeper chooses its jobs while it runs."""
        return self.sweeper not in ("", "basic")


@dataclass(frozen=True)
class CheckedJob:
    """One job: its overrides as the user would write them, and what is to be said about it."""

    number: int
    overrides: tuple[str, ...]
    config: SlimaiConfig | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def valid(self) -> bool:
        """Whether no diagnostic is an error."""
        return not any(item.severity == "error" for item in self.diagnostics)


def read_words(words: Sequence[str]) -> CommandLine:
    """Return the command line of Hydra's flags and overrides; an unknown flag ends the program with code 2."""
    options = get_args_parser().parse_args(list(words))
    overrides = tuple(options.overrides)
    passive = any((options.help, options.hydra_help, options.cfg, options.info))
    passive = passive or bool(options.shell_completion)
    if passive and options.multirun:
        shown = "--cfg" if options.cfg else "--info" if options.info else "a flag that shows something"
        raise InputError(
            Diagnostic(f"{shown} and --multirun exclude each other", suggestion="leave -m out, with one value a key")
        )
    mode = any(word.lower() == "hydra.mode=multirun" for word in overrides)
    sweeper = next((word.partition("=")[2] for word in overrides if word.lstrip("+").startswith("hydra/sweeper=")), "")
    other_config = bool(options.config_name or options.config_path or options.experimental_rerun)
    return CommandLine(
        flags=_flags(words, overrides),
        overrides=overrides,
        multirun=bool(options.multirun) or mode,
        passive=passive,
        foreign=other_config,
        sweeper=sweeper,
        config_dir=options.config_dir,
    )


def _flags(words: Sequence[str], overrides: Sequence[str]) -> tuple[str, ...]:
    rest = list(overrides)
    flags = []
    for word in words:
        if word in rest:
            rest.remove(word)
        else:
            flags.append(word)
    return tuple(flags)


def preflight(line: CommandLine) -> list[CheckedJob]:
    """Return every job of the command line with its verdict; nothing is written.

    Raises:
        InputError: the overrides cannot be expanded into jobs.
    """
    with hydra_ready():
        own = [word for word in line.overrides if not _is_hydra(word)]
        folder = [f"hydra.searchpath=['file://{line.config_dir}']"] if line.config_dir else []
        hydra = [*(word for word in line.overrides if _is_hydra(word) and "searchpath" in word), *folder]
        jobs = _jobs(line, own)
        composed = [_compose([*job, *hydra], own) for job in jobs]
        if len(hydra) < sum(map(_is_hydra, line.overrides)):
            _try_hydra([*next(iter(jobs), []), *filter(_is_hydra, line.overrides), *folder], line.overrides)
    return [_check(number, job, own, item) for number, (job, item) in enumerate(zip(jobs, composed, strict=True))]


def _try_hydra(words: Sequence[str], written: Sequence[str]) -> None:
    """Raise InputError where Hydra refuses, or falls over, its own overrides; values to sweep over are left to it."""
    try:
        compose_job(words, written=written)
    except InputError as error:
        if any(item.message != SEVERAL for item in error.diagnostics):
            raise


def _jobs(line: CommandLine, own: list[str]) -> list[list[str]]:
    """Return the overrides of each job; of an adaptive sweep, one job with the first of the listed values."""
    if not line.multirun:
        return [own]
    if not line.adaptive:
        return expand_sweep(line.overrides)

    parsed = parse_sweep(own)
    if line.sweeper == "smart_search":
        require_lists(parsed, own)
    first = [item for item in parsed if not item.is_sweep_override() or item.is_discrete_sweep()]
    return [[_first(item) for item in first]]


def _first(override: Any) -> str:
    """Return the override itself, or that of the first value of a sweep."""
    if not override.is_sweep_override():
        return str(override.input_line)
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def _is_hydra(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _compose(overrides: Sequence[str], written: Sequence[str]) -> Composed | InputError:
    try:
        return compose_job(overrides, written=written)
    except InputError as error:
        return error


def _check(number: int, job: Sequence[str], written: Sequence[str], item: Composed | InputError) -> CheckedJob:
    words = tuple(as_written(word, list(written)) for word in job)
    if isinstance(item, InputError):
        return CheckedJob(number, words, None, item.diagnostics)
    verdict = judge_job(item)
    return CheckedJob(number, words, verdict.config, verdict.diagnostics)


def report(jobs: Sequence[CheckedJob], *, multirun: bool) -> bool:
    """Write what is to be said about the jobs to standard error; return whether all are valid."""
    wrong = [job for job in jobs if not job.valid]
    lines = [label("note") + translated(line) for line in shadow_report()]
    if not wrong:
        lines += dict.fromkeys(labelled(item) for job in jobs for item in job.diagnostics)
    for job in wrong:
        lines += [f"job #{job.number} ({' '.join(job.overrides)}):"] if multirun else []
        indent = "  " if multirun else ""
        lines += [indent + labelled(item) for item in job.diagnostics]
    if wrong:
        lines.append(translated(f"slimai: {_count(wrong, jobs) if multirun else 'invalid'}; nothing was launched"))
    sys.stderr.write("".join(line + "\n" for line in lines))
    return not wrong


def _count(wrong: Sequence[CheckedJob], jobs: Sequence[CheckedJob]) -> str:
    return f"{len(wrong)} of {len(jobs)} job{'s' * (len(jobs) != 1)} invalid"
