"""Metrics of the user's own: finding the file, loading the class, giving it the shape of a metric."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from slimai.errors import InputError
from slimai.metrics.base import Metric, MetricContext
from slimai.metrics.plugin_adapter import VendorMetric
from slimai.metrics.plugin_guard import GuardedMetric
from slimai.metrics.table import METRICS, Spec
from slimai.metrics.vendor.base import custom_metric_base
from slimai.metrics.vendor.calls import METHODS, PluginError, guarded, place_of
from slimai.metrics.vendor.loading import FOLDER, VARIABLE, load_class
from slimai.schema.plugin_places import plugin_path
from slimai.suggest import VERY_NEAR, did_you_mean

log = logging.getLogger(__name__)

GROUP = "slimai.metrics"

__all__ = [
    "FOLDER",
    "GROUP",
    "VARIABLE",
    "find_plugin",
    "folders",
    "installed",
    "load_class",
    "load_metric",
    "looked_for",
    "near_metric",
    "plugin_files",
]


def load_metric(name: str, spec: Spec, context: MetricContext) -> Metric:
    """Return the metric of the class `name`: from a plug-in file ``<name>.py``, else from an installed package.

    Raises: InputError where there is none or it lacks a method; PluginError where its own code fails.
    """
    file = find_plugin(name, context.base_dir)
    if file is not None:
        return _as_metric(load_class(file, name), name, spec, context, file.parent)
    point = installed(name)
    if point is None:
        near = near_metric(name, context.base_dir)
        raise InputError.at(
            "metric.metric_cls",
            f"unknown metric '{name}'" + (f"; {near}" if near else ""),
            cure=looked_for(name, context.base_dir),
        )
    return _as_metric(guarded(point.load, f"loading '{name}'", point), name, spec, context, None)


def folders(base: Path) -> list[Path]:
    """Return where plug-ins are looked for: beside the configuration, below the current folder, $CUSTOM_METRIC_PATH."""
    found: dict[Path, None] = dict.fromkeys([base / FOLDER, Path.cwd() / FOLDER, *plugin_path()])
    return list(found)


def find_plugin(name: str, base: Path) -> Path | None:
    """Return the first file ``<name>.py`` of the plug-in folders, or None; a second one is logged."""
    found = list(plugin_files(name, base))
    if len(found) > 1:
        log.warning("metric '%s': %s is used, %s is not looked at", name, found[0], ", ".join(map(str, found[1:])))
    return found[0] if found else None


def plugin_files(name: str, base: Path) -> Iterator[Path]:
    """Yield every file ``<name>.py`` of the plug-in folders, in their order, each once."""
    seen = set()
    for folder in folders(base):
        file = (folder / f"{name}.py").resolve()
        if file.is_file() and file not in seen:
            seen.add(file)
            yield file


def near_metric(name: str, base: Path) -> str:
    """Return ``did you mean 'x'?`` where a metric or plug-in is called almost like `name`, else an empty string."""
    own = [file.stem for folder in folders(base) if folder.is_dir() for file in sorted(folder.glob("*.py"))]
    return did_you_mean(name, [*METRICS, *own], VERY_NEAR)


def looked_for(name: str, base: Path) -> str:
    """Return where the plug-in `name` is looked for, as advice."""
    return f"a metric of your own is the file {name}.py in one of: {', '.join(map(str, folders(base)))}"


def installed(name: str) -> EntryPoint | None:
    """Return the entry point of an installed plug-in, or None; two packages with it are an InputError."""
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if len({point.value for point in found}) > 1:
        raise InputError(f"metric '{name}' is installed twice: {', '.join(point.value for point in found)}")
    return found[0] if found else None


def _as_metric(cls: Any, name: str, spec: Spec, context: MetricContext, folder: Path | None) -> Metric:
    if isinstance(cls, type) and all(hasattr(cls, method) for method in ("measure", "combine")):
        metric: Metric = guarded(lambda: cls(spec, context), f"{name}.__init__", cls)
        return GuardedMetric(metric, name)
    if not isinstance(cls, type) or not issubclass(cls, custom_metric_base):
        raise InputError.at(
            place_of(cls),
            f"'{name}' is not a metric",
            cure="subclass custom_metric_base, or define measure and combine",
        )
    lacking = [method for method in METHODS if getattr(cls, method) is getattr(custom_metric_base, method)]
    if lacking:
        raise PluginError(f"{place_of(cls)}: class '{name}' lacks {', '.join(lacking)}")
    if inspect.isabstract(cls):
        raise PluginError(f"{place_of(cls)}: class '{name}' has abstract methods")

    return VendorMetric(cls, name, spec, context, folder)
