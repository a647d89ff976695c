"""A cfg file as a preset in ``conf/model`` form."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from slimai.config.dirs import schemas_dir
from slimai.config.legacy.load import CfgReport, find_place, judge_cfg, lacking
from slimai.config.legacy.yaml_text import comment_lines, yaml_text
from slimai.errors import Diagnostic, InputError
from slimai.schema.metric import metric_kind
from slimai.schema.plugin_places import PLUGIN_FOLDER, PLUGIN_VARIABLE, plugin_path

MARK = "# Converted by `slimai convert` from "
"""Begins the third line of every converted file; such a file may be converted again over itself."""

SCHEMA = Path("schemas/slimai.schema.json")
_FROM_OUTSIDE = "network.input_model"  # the vendor's flow takes the model from its command line


@dataclass(frozen=True)
class Conversion:
    """One converted cfg: where it goes, its text (None when it has errors) and what was found."""

    source: Path
    target: Path
    text: str | None
    diagnostics: tuple[Diagnostic, ...]

    def count(self, severity: str) -> int:
        """Return the number of diagnostics of `severity`."""
        return sum(item.severity == severity for item in self.diagnostics)


def start_folder(target: Path) -> Path:
    """Return the folder that a job with the preset `target` is started from: the one that holds ``conf``.

    Relative paths of a YAML file start there. A file elsewhere is run from the current folder.
    """
    folder = Path(os.path.abspath(target)).parent  # noqa: PTH100 - links stay as written
    for parent in (folder, *folder.parents):
        if parent.name == "conf":
            return parent.parent
    return Path.cwd()


def convert_cfg(source: Path, target: Path) -> Conversion:
    """Return the conversion of the cfg `source` to the text of the YAML file `target`; nothing is written.

    A cfg that cannot be read is a conversion with one error.
    """
    try:
        report = judge_cfg(source, start_folder(target))
    except InputError as error:
        return Conversion(source, target, None, error.diagnostics)
    diagnostics = (*report.diagnostics, *_about_missing(report), *_about_plugin(report, target))
    failed = any(item.severity == "error" for item in diagnostics)
    text = None if failed else document(report, target)
    return Conversion(source, target, text, diagnostics)


def schema_place(target: Path) -> str:
    """Return where an editor finds the schema of the preset `target`: beside its `conf`, else where slimai lies."""
    own = start_folder(target) / SCHEMA
    if own.is_file():
        return Path(os.path.relpath(own, target.absolute().parent)).as_posix()
    return (schemas_dir() / SCHEMA.name).as_uri()


def document(report: CfgReport, target: Path) -> str:
    """Return the YAML text of `report`: package line, editor modeline, where it is from, then the settings."""
    settings = report.settings
    head = [
        "# @package _global_",
        f"# yaml-language-server: $schema={schema_place(target)}",
        *comment_lines([f"{MARK[2:]}{Path(settings.file).name}."]),
        *comment_lines(settings.comments.above.get((), [])),
    ]
    values = _with_blanks_to_fill(report)
    sections = ["\n".join(head) + "\n", *(yaml_text({name: values[name]}, settings.comments) for name in values)]
    tail = [line + "\n" for line in comment_lines(settings.comments.after.get((), []))]
    return "\n".join([*sections, *(["".join(tail)] if tail else [])])


def _with_blanks_to_fill(report: CfgReport) -> dict[str, object]:
    """Return the settings with ``???``, Hydra's sign for a value to be given, where a whole cfg lacks one."""
    values = deepcopy(report.settings.values)
    if not report.settings.is_part:
        for key in report.missing:
            section, _, name = key.partition(".")
            values.setdefault(section, {})[name] = "???"
    return values


def _about_plugin(report: CfgReport, target: Path) -> list[Diagnostic]:
    """Return a warning where the cfg's plug-in lies beside the cfg alone, where the preset does not look."""
    settings = report.settings
    name = settings.get("metric.metric_cls")
    if not isinstance(name, str) or metric_kind({"metric_cls": name}) != "custom" or not name.isidentifier():
        return []
    own = Path(settings.file).parent / PLUGIN_FOLDER / f"{name}.py"
    folders = [target.parent / PLUGIN_FOLDER, start_folder(target) / PLUGIN_FOLDER, *plugin_path()]
    if not own.is_file() or any((folder / f"{name}.py").is_file() for folder in folders):
        return []
    message = f"the plug-in {own} is not found from the preset {target}"
    cure = f"copy {PLUGIN_FOLDER.parent} to {start_folder(target)}, or set {PLUGIN_VARIABLE}={own.parent}"
    place = find_place(settings, "metric.metric_cls")
    line, column = (place.line, place.column) if place else (None, None)
    return [Diagnostic(message, suggestion=cure, file=settings.file, line=line, column=column, severity="warning")]


def _about_missing(report: CfgReport) -> list[Diagnostic]:
    settings = report.settings
    if settings.is_part:
        message = "is a part of a configuration: it names no folders and no network"
        cure = "use it beside a preset that does, or add [path] and [network]"
        return [Diagnostic(message, suggestion=cure, file=settings.file, severity="warning")]
    found = [lacking(settings, key) for key in report.missing]
    return [replace(item, severity="warning") if item.key == _FROM_OUTSIDE else item for item in found]
