"""The [metric] section of a cfg from the typed one: the inverse of `metric_input`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slimai.config.legacy.metric_input import PATHS, read_metric_input
from slimai.config.legacy.settings import Relative, rebase_from
from slimai.errors import Diagnostic
from slimai.schema.metric import CustomMetric, DefaultMetric, default_metric
from slimai.schema.metric_specs import MetricSpec
from slimai.schema.metric_text import format_metric_input
from slimai.schema.root import SlimaiConfig


def metric_lines(config: SlimaiConfig, relative: Relative) -> dict[str, str]:
    """Return the text of each key of [metric] that is to be written, by field name."""
    metric = config.metric
    lines: dict[str, str] = {}
    if not is_default_metric(config):
        lines["metric_cls"] = str(metric.metric_cls)
        text = _input_text(metric.metric_input, relative)
        if text:
            lines["metric_input"] = text
    if metric.output_debug:
        lines["output_debug"] = str(metric.output_debug)
    if metric.replace_output:
        lines["replace_output"] = f"[{' '.join(metric.replace_output)}]"
    if metric.adjust:
        lines["adjust"] = "True"
    return lines


def is_default_metric(config: SlimaiConfig) -> bool:
    """Return whether the metric is the one that a cfg without metric_cls gets."""
    metric = config.metric
    if isinstance(metric, DefaultMetric):
        return True
    by_default = default_metric(config.network.network_class, labelled=config.dataset.validation_set is not None)
    spec = metric.metric_input
    plain = isinstance(spec, MetricSpec) and not format_metric_input(spec)
    return plain and metric.metric_cls == by_default


def _input_text(spec: Any, relative: Relative) -> str:
    """Return the one line of a metric_input; a mapping of a plug-in has none."""
    if not isinstance(spec, MetricSpec):
        return spec if isinstance(spec, str) else ""
    paths = {name: getattr(spec, name) for name in PATHS & set(type(spec).model_fields)}
    written = {name: Path(relative.cfg(path)) for name, path in paths.items() if path is not None}
    text = format_metric_input(spec.model_copy(update=written))
    if getattr(spec, "custom_pp", None) == "yolo" and ",layout=" not in text:
        text += f",layout={spec.model_dump()['layout']}"  # the guide names no default
    return text


def metric_faults(config: SlimaiConfig, relative: Relative) -> Iterator[Diagnostic]:
    """Yield what of the metric would not be read back as it is."""
    metric = config.metric
    for name in metric.replace_output:
        if name.split() != [name] or any(sign in name for sign in ",[]"):
            message = "an output whose name has blanks, commas or brackets cannot be written in a cfg"
            yield Diagnostic(message, key="[metric] replace_output", value=name)
    text = metric_lines(config, relative).get("metric_input", "")
    spec = metric.metric_input
    if isinstance(metric, CustomMetric | DefaultMetric) or not isinstance(spec, MetricSpec) or not text:
        return
    if _read_back(str(metric.metric_cls), text, type(spec), relative) != spec:
        message = "cannot be written in one line: blanks and the signs , ; = [ ] separate its items"
        yield Diagnostic(message, key="[metric] metric_input", value=text)


def _read_back(metric_cls: str, text: str, spec: type[MetricSpec], relative: Relative) -> MetricSpec | None:
    found = read_metric_input(metric_cls, text, rebase_from(relative.folder, None))
    if found is None or found.faults:
        return None
    try:
        return spec.model_validate(found.values)
    except ValidationError:
        return None
