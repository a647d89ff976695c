"""Configuration files are looked at, within bounds, before OmegaConf copies what aliases repeat."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource as _FileConfigSource
from hydra.plugins.config_source import ConfigResult

from slimai.errors import InputError
from slimai.yaml_reader import CONFIG, check_scalars, compose_yaml, read_text


def checked_text(path: Path) -> str:
    """Return the text of a YAML configuration that is safe to load.

    Raises:
        InputError: unreadable, no UTF-8, no YAML, beyond the bounds, or scalars that do not fit their tags.
    """
    text = read_text(path, CONFIG)
    problems = check_scalars(compose_yaml(text, str(path), CONFIG), str(path))
    if problems:
        raise InputError(problems)
    return text


class FileConfigSource(_FileConfigSource):
    """Hydra's source of files (`./conf`, ``-cd`` and the search path included), each checked before it is loaded."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return what Hydra reads, after the file was checked."""
        file = Path(self.path) / self._normalize_file_name(config_path)
        if file.is_file():
            checked_text(file)
        return super().load_config(config_path)
