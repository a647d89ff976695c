"""The keys whose meaning hangs on others: metric_input, [out_cntrl] description, [graph] tensor."""

from __future__ import annotations

import re
from typing import Any

from slimai.config.legacy.lexer import Entry, Place
from slimai.config.legacy.mapping import Key
from slimai.config.legacy.metric_input import read_metric_input
from slimai.config.legacy.settings import Rebase, Settings, shift
from slimai.schema.metric import BUILT_IN

LAYOUTS = {"DWH": "NHWC", "WHD": "NCHW"}
"""The vendor's layout words list the axes from the smallest stride to the largest."""

_SAVE = re.compile(r"\[([^\[\]]*)\]\s*save\b\s*(\S*)\s*(.*)", re.DOTALL)


def read_deferred(settings: Settings, deferred: list[tuple[Key, Entry]], rebase: Rebase) -> None:
    """Read the kept keys into `settings`, once all other keys are known."""
    by_kind: dict[str, list[Entry]] = {}
    for key, entry in deferred:
        by_kind.setdefault(key.kind, []).append(entry)
    for entry in by_kind.get("description", []):
        _description(settings, entry, rebase)
    for entry in by_kind.get("metric_input", []):
        _metric_input(settings, entry.value, entry.value_place, rebase)
    for entry in by_kind.get("tensor", []):
        _tensor(settings, entry)


def _metric_input(settings: Settings, text: str, place: Place, rebase: Rebase) -> None:
    """Replace the line that stands at metric.metric_input by its typed form."""
    name = settings.get("metric.metric_cls")
    if name is None:
        settings.remove("metric.metric_input")
        cure = "name the metric: metric_cls = voc_det_AP, ..."
        settings.report("error", place, "[metric] metric_input without metric_cls", value=text, cure=cure)
        return
    found = read_metric_input(str(name), text, rebase)
    if found is None:
        _raw_input(settings, text, place)
        return
    for fault in found.faults:
        settings.report("error", shift(place, fault.offset), fault.message, value=fault.value, cure=fault.cure)
    settings.set("metric.metric_input", found.values, place)
    for option, offset in found.offsets.items():
        settings.places["metric", "metric_input", option] = shift(place, offset)


def _raw_input(settings: Settings, text: str, place: Place) -> None:
    settings.set("metric.metric_input", text, place)
    first = text.split(maxsplit=1)[0]
    misspelled = str(settings.get("metric.metric_cls")).lower() in map(str.lower, BUILT_IN)
    if "/" in first and "=" not in first and first[0] not in "/~" and not misspelled:
        message = "the plug-in gets metric_input as it stands, so its path starts from the current directory"
        settings.report("warning", place, message, value=text)


def _description(settings: Settings, entry: Entry, rebase: Rebase) -> None:
    """Read ``[out ...] save [metric_cls metric_input]``: an order of outputs, and perhaps a metric."""
    lines = [line for line in entry.value.split("\n") if line.strip()]
    match = _SAVE.fullmatch(lines[0].strip()) if lines else None
    if match is None:
        cure = 'write "[name name] save"'
        message = "[out_cntrl] description is not a list of outputs to save"
        settings.report("error", entry.value_place, message, value=entry.value, cure=cure)
        return
    names = [name.partition(":")[0] for name in match[1].replace(",", " ").split()]
    _outputs(settings, names, entry)
    if match[2]:
        _description_metric(settings, match[2], match[3], entry, rebase)
    for line in lines[1:]:
        message = "only the first line of [out_cntrl] description is read; this one is dropped"
        settings.report("warning", entry.value_place, message, value=line)


def _outputs(settings: Settings, names: list[str], entry: Entry) -> None:
    ordered = settings.get("metric.replace_output")
    if ordered is None and names:
        settings.set("metric.replace_output", names, entry.value_place)
    elif ordered != names:
        message = "the outputs of [out_cntrl] description are dropped: [metric] replace_output names others"
        settings.report("warning", entry.value_place, message, value=names)


def _description_metric(settings: Settings, name: str, text: str, entry: Entry, rebase: Rebase) -> None:
    if settings.get("metric.metric_cls") is not None:
        message = "the metric of [out_cntrl] description is dropped: [metric] metric_cls names one"
        settings.report("warning", entry.value_place, message, value=f"{name} {text}".strip())
        return
    settings.set("metric.metric_cls", name, entry.value_place)
    if text:
        _metric_input(settings, text, entry.value_place, rebase)


def _tensor(settings: Settings, entry: Entry) -> None:
    """Read ``NAME, DWH|WHD``: the layout of an input."""
    name, _, word = (part.strip() for part in entry.value.partition(","))
    layout = LAYOUTS.get(word)
    if not name or layout is None:
        cure = "write 'NAME, DWH' (NHWC) or 'NAME, WHD' (NCHW)"
        settings.report("error", entry.value_place, "[graph] tensor gives no layout", value=entry.value, cure=cure)
        return
    nodes = settings.get("network.input_node_name")
    names = [nodes] if isinstance(nodes, str) else list(nodes or ())
    if name not in names:
        message = (
            "[graph] tensor is dropped: [network] input_node_name names no such input, and only inputs have layouts"
        )
        settings.report("warning", entry.value_place, message, value=entry.value)
    elif len(names) == 1:
        _one_input(settings, layout, entry)
    else:
        _one_of_several(settings, nodes, name, layout, entry)


def _one_input(settings: Settings, layout: str, entry: Entry) -> None:
    given = settings.get("network.input_data_layout")
    if given is None:
        settings.set("network.input_data_layout", layout, entry.value_place)
    elif given != layout:
        message = f"[graph] tensor says {layout}, but [network] input_data_layout says {given}"
        settings.report("error", entry.value_place, message, value=entry.value, cure="remove one of the two")


def _one_of_several(settings: Settings, nodes: Any, name: str, layout: str, entry: Entry) -> None:
    inputs: dict[str, Any] = dict(nodes) if isinstance(nodes, dict) else {node: {} for node in nodes}
    if inputs[name].get("input_data_layout", layout) != layout:
        message = f"[graph] tensor gives input '{name}' two layouts"
        settings.report("error", entry.value_place, message, value=entry.value, cure="remove one of the two")
        return
    inputs[name] = {"input_data_layout": layout}
    settings.set("network.input_node_name", inputs, settings.places["network", "input_node_name"])
