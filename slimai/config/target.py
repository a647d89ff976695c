"""What a user validates or loads: overrides, a YAML file, or a legacy cfg; each becomes composed values."""

from __future__ import annotations

import io
import os.path
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from slimai.config.compose import compose_job, hydra_ready
from slimai.config.composed import Composed
from slimai.config.dirs import preset_names
from slimai.config.hydra_setup import preset_package, store_preset
from slimai.config.legacy.yaml_text import escape_interpolation
from slimai.config.yaml_source import checked_text
from slimai.errors import Diagnostic, InputError
from slimai.suggest import did_you_mean
from slimai.yaml_reader import yaml_problem


def is_file_target(text: str) -> bool:
    """Return whether a command-line word names a file rather than being an override."""
    return "=" not in text and not text.startswith("~")


def load_target(target: Sequence[str]) -> Composed:
    """Return the composed values of one target.

    `target` is a list of overrides; its first word may be a YAML file or a legacy ``.cfg``, which the
    overrides after it change. A relative path in a YAML file starts from the current folder, in a legacy
    cfg from the cfg's folder.

    Raises:
        InputError: a file cannot be read, Hydra refuses something, or a cfg is wrong.
    """
    if not target or not is_file_target(target[0]):
        with hydra_ready():
            return compose_job(target)
    path = Path(target[0])
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for names that are too long
        raise InputError(Diagnostic("there is no such file", value=target[0], suggestion=_file_cure(target[0])))
    if path.suffix.lower() in (".yaml", ".yml"):
        return _preset(path, _yaml_values(path), target[1:])
    return _legacy(path, target[1:])


def _legacy(path: Path, overrides: Sequence[str]) -> Composed:
    from slimai.config.legacy.load import load_cfg  # noqa: PLC0415 - spares pydantic

    values, found = load_cfg(path)
    if any(item.severity == "error" for item in found):
        raise InputError(found)
    return replace(_preset(path, _literal(values), overrides), notes=tuple(found))


def _literal(value: Any) -> Any:
    """Return the values with ``${`` escaped: a cfg has no interpolations."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(item) for item in value]
    return escape_interpolation(value) if isinstance(value, str) else value


def _file_cure(name: str) -> str:
    near = did_you_mean(Path(name).stem, [f"+model={preset}" for preset in preset_names()])
    return near or "give +model=NAME, a YAML file or a legacy .cfg"


def _yaml_values(path: Path) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(checked_text(path))), resolve=False)
    except yaml.YAMLError as error:
        raise InputError(yaml_problem(error, str(path))) from None
    except (OSError, ValueError, RecursionError, OmegaConfBaseException) as error:
        raise InputError.at(str(path), f"is not a YAML configuration: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise InputError.at(str(path), "should be a mapping of sections", type(values).__name__)
    return {str(key): value for key, value in values.items()}


def _preset(path: Path, values: dict[str, Any], overrides: Sequence[str]) -> Composed:
    package = preset_package(path) if path.suffix.lower() in (".yaml", ".yml") else "_global_"
    with hydra_ready():
        chosen = store_preset("preset", values, package)
        return compose_job([chosen, *overrides], {"preset": path.resolve()})
