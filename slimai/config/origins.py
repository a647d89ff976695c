"""Where a key was set: file, line and column, or the command-line override.

The defaults list is asked of Hydra's loader by two names that are private to it (`compute_defaults_list`,
`repository`). No other module uses them; `find_origins` is called only when there is something to report, and
goes without places should a version of Hydra lack them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from slimai.config.compose import hydra_ready
from slimai.config.composed import Composed
from slimai.config.hydra_setup import CONFIG_NAME, FILE_GROUP
from slimai.config.legacy.load import judge_cfg
from slimai.config.overrides import as_written
from slimai.config.yaml_source import ROOT, header_package
from slimai.yaml_reader import CONFIG, plain_value, read_text, read_yaml


@dataclass(frozen=True)
class Place:
    """A file position (line and column from 1; `text` is the scalar as written), or an override."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    override: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Origins:
    """Dotted key -> the place that set it last; `sections` -> where a mapping begins."""

    keys: Mapping[str, Place]
    sections: Mapping[str, Place]

    def find(self, key: str) -> Place:
        """Return the place of `key`; of a key in it when only overrides made it; else of the nearest above it."""
        parts = key.split(".")
        if key not in self.keys and key not in self.sections:
            below = next((place for known, place in self.keys.items() if known.startswith(key + ".")), None)
            if below is not None:
                return below
        while parts:
            dotted = ".".join(parts)
            for table in (self.keys, self.sections):
                if dotted in table:
                    return table[dotted]
            parts.pop()
        return Place()


@dataclass(frozen=True)
class Setting:
    """One place that sets a dotted key, and the value as it stands there; whole: what was set below `key` is gone.

    removed: the place takes the key away. section: a mapping in a file, whose keys are settings of their own.
    """

    key: str
    place: Place
    value: Any = None
    whole: bool = False
    removed: bool = False
    section: bool = False


def trace(composed: Composed) -> Origins:
    """Return the origins of every key of `composed`; call it inside `compose.hydra_ready`."""
    keys: dict[str, Place] = {}
    sections: dict[str, Place] = {}
    for item in settings_of(composed):
        if item.whole:
            for known in [known for known in keys if known.startswith(item.key + ".")]:
                del keys[known]
        (sections if item.section else keys)[item.key] = item.place
    return Origins(keys, sections)


def settings_of(composed: Composed) -> Iterator[Setting]:
    """Yield every setting of `composed` in the order in which they are merged; call it inside `hydra_ready`."""
    loader: Any = GlobalHydra.instance().config_loader()
    terms = list(composed.overrides)
    for default in loader.compute_defaults_list(CONFIG_NAME, terms, RunMode.RUN).defaults:
        path = default.config_path
        if path is None or path.startswith("hydra/") or default.package == "hydra":
            continue
        file = _file_of(loader, path, composed.files)
        if file is not None and file.suffix.lower() == ".cfg":
            yield from _cfg_settings(file)
        elif file is not None:
            package = _package(file) if path.startswith(FILE_GROUP) else default.package or ""
            yield from yaml_settings(file, "" if package == ROOT else package.removeprefix(f"{ROOT}."))
    for item in OverridesParser.create(config_loader=loader).parse_overrides(terms):
        choice = loader.repository.group_exists(item.key_or_group) and (item.is_add() or isinstance(item.value(), str))
        if not (item.is_hydra_override() or choice):
            place = Place(override=as_written(item.input_line or "", list(composed.written)))
            removed = item.is_delete()
            yield Setting(item.key_or_group, place, None if removed else item.value(), whole=True, removed=removed)


def _package(file: Path) -> str:
    return header_package(read_text(file, CONFIG)) or ROOT


def _file_of(loader: Any, config_path: str, files: Mapping[str, Path]) -> Path | None:
    group, _, name = config_path.partition("/")
    if group == FILE_GROUP:
        return files.get(name)
    for source in loader.repository.get_sources():
        file = Path(source.path) / f"{config_path}.yaml"
        if source.scheme() == "file" and file.is_file():
            return file
    return None


def _cfg_settings(file: Path) -> Iterator[Setting]:
    settings = judge_cfg(file).settings
    for path, place in settings.places.items():
        key = ".".join(map(str, path))
        yield Setting(key, Place(str(file), place.line, place.column), settings.get(key))


def yaml_settings(file: Path, package: str) -> Iterator[Setting]:
    """Yield the settings of a YAML file, below the dotted `package`."""
    root = read_yaml(file, CONFIG)
    for dotted, key_node, value_node in _walk(root, package):
        mark = key_node.start_mark
        section = isinstance(value_node, yaml.MappingNode)
        scalar = value_node.value if isinstance(value_node, yaml.ScalarNode) and not value_node.style else None
        place = Place(str(file), mark.line + 1, mark.column + 1, text=scalar)
        yield Setting(dotted, place, None if section else plain_value(value_node), whole=not section, section=section)


def _walk(node: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            dotted = f"{prefix}.{key.value}" if prefix else str(key.value)
            if dotted not in ("defaults", "hydra"):
                yield dotted, key, value
                yield from _walk(value, dotted)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield f"{prefix}.{index}", item, item
            yield from _walk(item, f"{prefix}.{index}")


def find_origins(composed: Composed) -> Origins:
    """Return where each key of `composed` was set; needs no `hydra_ready` around it."""
    try:
        with hydra_ready():
            return trace(composed)
    except Exception:  # noqa: BLE001 - private names of Hydra: a message without a place beats no message
        return Origins({}, {})
