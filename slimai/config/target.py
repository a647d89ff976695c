"""What a user validates or loads: overrides, a YAML file, or a legacy cfg; each becomes composed values."""

from __future__ import annotations

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
from slimai.config.hydra_setup import store_preset
from slimai.config.yaml_source import PRESETS, ROOT, checked_text, header_package, loaded
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
        return _from_yaml(path, target[1:])
    return _legacy(path, target[1:])


def _legacy(path: Path, overrides: Sequence[str]) -> Composed:
    from slimai.config.legacy.load import load_cfg  # noqa: PLC0415 - spares pydantic

    values, found = load_cfg(path)
    if any(item.severity == "error" for item in found):
        raise InputError(found)
    return replace(_preset(path, _literal(values), overrides), notes=tuple(found))


def _literal(value: Any) -> Any:
    """Return the values with ``${`` escaped: a cfg has no interpolations."""
    from slimai.config.legacy.yaml_text import escape_interpolation  # noqa: PLC0415 - only for a cfg

    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(item) for item in value]
    return escape_interpolation(value) if isinstance(value, str) else value


def _file_cure(name: str) -> str:
    near = did_you_mean(Path(name).stem, [f"+model={preset}" for preset in preset_names()])
    return near or "give +model=NAME, a YAML file or a legacy .cfg"


def _yaml_values(path: Path, text: str) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(loaded(text), resolve=False)
    except yaml.YAMLError as error:
        raise InputError(yaml_problem(error, str(path))) from None
    except (OSError, ValueError, RecursionError, OmegaConfBaseException) as error:
        raise InputError.at(str(path), f"is not a YAML configuration: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise InputError.at(str(path), "should be a mapping of sections", type(values).__name__)
    return {str(key): value for key, value in values.items()}


def _absolute(item: Any) -> Any:
    """Return an entry of a preset's defaults list as it reads beside the other presets, wherever the file lies."""
    if isinstance(item, str) and item != "_self_" and not item.startswith("/"):
        return f"/{PRESETS}/{item}"
    if isinstance(item, dict):
        return {_absolute_group(str(key)): value for key, value in item.items()}
    return item


def _absolute_group(key: str) -> str:
    words = key.split()  # "override /target", "optional target"
    return key if words[-1].startswith("/") else " ".join([*words[:-1], f"/{words[-1]}"])


def _from_yaml(path: Path, overrides: Sequence[str]) -> Composed:
    text = checked_text(path)
    values = _yaml_values(path, text)
    if isinstance(values.get("defaults"), list):
        values["defaults"] = [_absolute(item) for item in values["defaults"]]
    return _preset(path, values, overrides, header_package(text) or ROOT)


def _preset(path: Path, values: dict[str, Any], overrides: Sequence[str], package: str = ROOT) -> Composed:
    with hydra_ready():
        chosen = store_preset("preset", values, package)
        try:
            return compose_job([chosen, *overrides], {"preset": path.resolve()})
        except InputError as error:  # the word that stands for the file is not the user's
            found = (
                replace(item, override=None, file=str(path))
                if item.override == chosen or not (item.override or item.file)
                else item
                for item in error.diagnostics
            )
            raise InputError(list(found)) from None
