"""Configuration files are looked at, within bounds, before OmegaConf copies what aliases repeat."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource as _FileConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from slimai.errors import InputError
from slimai.yaml_reader import CONFIG, check_scalars, compose_yaml, read_text, yaml_problem

ROOT = "_global_"
PRESETS = "model"  # the group of whole configurations
_ROOTS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:null"}


def checked_text(path: Path) -> str:
    """Return the text of a YAML configuration that is safe to load, without a byte order mark.

    Raises:
        InputError: unreadable, no UTF-8, no YAML, no mapping, beyond the bounds, or scalars that do not fit their tags.
    """
    text = read_text(path, CONFIG)
    root = compose_yaml(text, str(path), CONFIG)
    problems = check_scalars(root, str(path))
    if problems:
        raise InputError(problems)
    if root is not None and root.tag not in _ROOTS:  # OmegaConf would read the text of a string as YAML once more
        kind = {"seq": "list"}.get(word := root.tag.rpartition(":")[2], word)
        raise InputError.at(str(path), "should be a mapping of sections", kind)
    return text


def header_package(text: str) -> str | None:
    """Return the package that a ``# @package NAME`` names among the comments before the first key, or None.

    Hydra looks no further than the first line that is no header: a comment of the user's own, an editor's modeline
    or a byte order mark before it would send the whole preset elsewhere.
    """
    for line in text.removeprefix("\ufeff").splitlines():
        words = line.strip()
        if words and not words.startswith("#"):
            return None
        head, _, package = words.lstrip("#").strip().partition(" ")
        if head == "@package" and package.strip():
            return package.split()[0]
    return None


def loaded(text: str) -> DictConfig:
    """Return the mapping of a `checked_text`, as `OmegaConf.load` reads it.

    Raises:
        yaml.YAMLError: what OmegaConf's loader alone refuses, such as a key given twice.
    """
    values = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    return OmegaConf.create({} if values is None else values)


@cache
def _loader() -> Any:
    """Return OmegaConf's loader with the parser of libyaml, which is ten times as fast, where PyYAML has it."""
    own: Any = get_yaml_loader()
    fast: Any = getattr(yaml, "CSafeLoader", None)
    return own if fast is None else type("ConfigLoader", (fast, own), {})


class FileConfigSource(_FileConfigSource):
    """Hydra's source of files (`./conf`, ``-cd`` and the search path included), each checked before it is loaded."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the values of a file and where they belong: a preset that does not say so, to the root."""
        name = self._normalize_file_name(config_path)
        file = Path(self.path) / name
        if not file.is_file():
            return super().load_config(config_path)
        text = checked_text(file)
        package = header_package(text) or (ROOT if Path(name).parts[0] == PRESETS else None)
        place = f"{self.scheme()}://{self.path}"
        try:
            values = loaded(text)
        except yaml.YAMLError as error:  # what OmegaConf's loader alone refuses: a key given twice
            raise InputError(yaml_problem(error, str(file))) from None
        return ConfigResult(config=values, path=place, provider=self.provider, header={"package": package})
