"""The files that a configuration names: they exist, and the lists hold what is asked of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slimai.data.image_list import parse_image_list
from slimai.errors import Diagnostic, InputError
from slimai.schema.metric import CocoMetric, CustomMetric, SegMetric, TopKMetric, VocMetric
from slimai.schema.root import SlimaiConfig
from slimai.schema.rules import touches


def file_problems(config: SlimaiConfig, broken: frozenset[str] = frozenset()) -> list[Diagnostic]:
    """Return what is wrong with the files that `config` names; pictures and the model are not opened.

    `broken` names dotted keys whose values are not the user's: nothing is said about them.
    """
    found = [*_named_files(config), *_output_dir(config), *_plugin(config)]
    lists_known = not touches("dataset", broken) and not touches("path.image_dir", broken)
    sound = [item for item in found if not touches(item.key, broken)]
    return [*sound, *(_lists(config) if lists_known else ())]


def _named_files(config: SlimaiConfig) -> Iterator[Diagnostic]:
    quantization = config.quantization
    files = {
        "network.input_model": config.network.input_model,
        "quantization.nodename_datatypes": quantization.nodename_datatypes,
        "quantization.nodekind_datatypes": quantization.nodekind_datatypes,
        "metric.adjust": config.metric.adjust if isinstance(config.metric.adjust, Path) else None,
        **_metric_files(config),
    }
    for key, path in files.items():
        if path is not None and not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "there is no such file"
            yield Diagnostic(what, key, str(path))
    yield from _rules_files(config)
    folders = {"path.image_dir": config.path.image_dir}
    if isinstance(config.metric, VocMetric):
        folders["metric.metric_input.annotations"] = config.metric.metric_input.annotations
    for key, folder in folders.items():
        if not folder.is_dir():
            yield Diagnostic("there is no such folder", key, str(folder))


def _rules_files(config: SlimaiConfig) -> Iterator[Diagnostic]:
    """Yield what is wrong inside the rules files that there are; they are small."""
    section = config.quantization
    for path in (section.nodename_datatypes, section.nodekind_datatypes):
        if path is None or not path.is_file():
            continue
        from slimai.quantizer.mix_rules import read_rules  # noqa: PLC0415 - spares numpy, yaml

        try:
            yield from read_rules(path).warnings
        except InputError as error:
            yield from error.diagnostics


def _metric_files(config: SlimaiConfig) -> dict[str, Path | None]:
    metric, inside = config.metric, "metric.metric_input"
    if isinstance(metric, SegMetric | TopKMetric):
        return {f"{inside}.labels": metric.metric_input.labels}
    if not isinstance(metric, VocMetric | CocoMetric):
        return {}
    spec = metric.metric_input
    truth = metric.metric_input.annotations if isinstance(metric, VocMetric) else metric.metric_input.instances
    files: dict[str, Path | None] = {f"{inside}.priors": spec.priors}
    if isinstance(metric, CocoMetric):
        files[f"{inside}.instances"] = truth
    if spec.custom_pp == "ssd" and spec.priors is None:
        files[f"{inside}.priors"] = (truth if isinstance(metric, VocMetric) else truth.parent) / "anchor.txt"
    return files


def _lists(config: SlimaiConfig) -> Iterator[Diagnostic]:
    for name in ("calibration", "validation"):
        path: Path | None = getattr(config.dataset, f"{name}_set")
        if path is None or not config.path.image_dir.is_dir():
            continue
        if not path.is_file():
            yield Diagnostic("there is no such image list", f"dataset.{name}_set", str(path))
            continue
        yield from parse_image_list(path, config.path.image_dir, getattr(config.dataset, f"{name}_count"))[1]


def _output_dir(config: SlimaiConfig) -> Iterator[Diagnostic]:
    folder = config.path.output_dir
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        yield Diagnostic(f"cannot be made: {there} is a file", "path.output_dir", str(folder))
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Diagnostic(f"cannot be written: no permission for {there}", "path.output_dir", str(folder))


def _plugin(config: SlimaiConfig) -> Iterator[Diagnostic]:
    if not isinstance(config.metric, CustomMetric):
        return
    from slimai.metrics import plugin  # noqa: PLC0415 - spares numpy

    name, base = config.metric.metric_cls, config.base_dir
    if not any(plugin.plugin_files(name, base)) and plugin.installed(name) is None:
        cure = plugin.near_metric(name, base) or plugin.looked_for(name, base)
        yield Diagnostic(f"unknown metric '{name}'", "metric.metric_cls", name, cure)
