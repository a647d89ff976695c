"""From YAML files and overrides to plain values, by Hydra; wrong ones become diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf, open_dict

from slimai.config.composed import Composed
from slimai.config.dirs import bundled_conf
from slimai.config.expansion import require_bounded
from slimai.config.hydra_setup import CONFIG_NAME, FILE_GROUP, VERSION_BASE, prepare_hydra
from slimai.config.overrides import in_hydra_terms
from slimai.errors import Diagnostic, InputError

MOST_JOBS = 10_000  # of one multirun
_ONE_AT_A_TIME = RLock()  # Hydra's state is the process's


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Make Hydra's compose usable inside the block, and leave its global state as it was."""
    with _ONE_AT_A_TIME:
        prepare_hydra()
        with initialize_config_dir(str(bundled_conf()), job_name="slimai", version_base=VERSION_BASE):
            yield


def compose_job(
    overrides: Sequence[str], files: dict[str, Path] | None = None, written: Sequence[str] | None = None
) -> Composed:
    """Return the resolved values of one job; call it inside `hydra_ready`.

    `written` are the user's words that `overrides` were expanded from (default: the overrides themselves).

    Raises:
        InputError: Hydra refuses the overrides or a file; with the place and a suggestion.
    """
    from slimai.config.compose_errors import explained  # noqa: PLC0415 - spares yaml

    words = tuple(overrides if written is None else written)
    terms = [in_hydra_terms(text) for text in overrides]
    with explained(terms, list(words)):
        config = compose(CONFIG_NAME, overrides=terms, return_hydra_config=True)
        with open_dict(config):
            hydra = config.pop("hydra")
        return replace(plain(config, hydra, files), overrides=tuple(terms), written=words)


def plain(config: DictConfig, hydra: Any, files: dict[str, Path] | None = None) -> Composed:
    """Return the values of a composed configuration (without the `hydra` node), interpolations resolved."""
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    name = hydra.runtime.choices.get("model")
    candidates = [folder / "model" / f"{name}.yaml" for folder in folders] if name else []
    chosen = (files or {}).get(hydra.runtime.choices.get(FILE_GROUP) or "")
    require_bounded(OmegaConf.to_container(config, resolve=False))
    resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    file = chosen or next((path for path in candidates if path.is_file()), None)
    terms = tuple(hydra.overrides.task)
    return Composed(resolved, terms, terms, file, files or {})


def _require_jobs(parsed: Sequence[Override], written: Sequence[str]) -> None:
    """Raise InputError for a sweep of no job, or of more than MOST_JOBS, before any list of them is made."""
    jobs = 1
    for item, word in zip(parsed, written, strict=True):
        if item.is_sweep_override() and item.is_discrete_sweep():
            jobs *= sum(1 for _ in islice(_values(item), MOST_JOBS + 1))
        if not jobs:
            cure = "a pattern stands for the names of a group's files" if isinstance(item.value(), Glob) else ""
            raise InputError(Diagnostic("there is no value to sweep over", override=word, suggestion=cure))
        if jobs > MOST_JOBS:
            message = f"the sweep has more than {MOST_JOBS} jobs"
            raise InputError(Diagnostic(message, override=word, suggestion="sweep fewer values at a time"))


def _values(item: Override) -> Iterator[Any]:
    """Yield the values of a sweep; a shuffled range is counted as it stands, not as the list it would become."""
    value = item.value()
    yield from value.range() if isinstance(value, RangeSweep) else item.sweep_iterator()


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job of a multirun; call it inside `hydra_ready`.

    Raises:
        InputError: an override does not parse, or sweeps over nothing, or in a way that only an adaptive sweeper can.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: PLC0415 - only for a multirun

    parsed = parse_sweep(overrides)
    require_lists(parsed, overrides)
    with _explained(overrides):
        jobs: list[list[str]] = BasicSweeper.split_arguments(
            [item for item in parsed if not item.is_hydra_override()], None
        )[0]
        return jobs


def parse_sweep(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides of a multirun as Hydra reads them; call it inside `hydra_ready`.

    Raises:
        InputError: an override does not parse, or the sweep has no job, or too many.
    """
    with _explained(overrides):
        loader = GlobalHydra.instance().config_loader()  # knows the files that a pattern stands for
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(
            [in_hydra_terms(word) for word in overrides]
        )
        _require_jobs(parsed, overrides)
        return parsed


def require_lists(parsed: Sequence[Override], written: Sequence[str]) -> None:
    """Raise InputError for a sweep over an interval, which only sweepers of other packages choose values from."""
    for item, word in zip(parsed, written, strict=True):
        if item.is_sweep_override() and not item.is_discrete_sweep():
            message = "an interval has no list of values"
            raise InputError(Diagnostic(message, override=word, suggestion="write the values: key=1,2 or range(1,5)"))


def _explained(overrides: Sequence[str]) -> AbstractContextManager[None]:
    from slimai.config.compose_errors import explained  # noqa: PLC0415 - spares yaml

    return explained(tuple(in_hydra_terms(word) for word in overrides), list(overrides))
