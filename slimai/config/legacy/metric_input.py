"""The one line of ``metric_input`` as typed values, each with its place in the line.

What an item means is the schema's business (`slimai.schema.metric_text`); here the line is cut into items, so that
every wrong one is reported, and at its own column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticCustomError

from slimai.config.legacy.scalars import number, switch
from slimai.number_text import without_point
from slimai.schema.metric import SPECS, metric_kind
from slimai.schema.metric_specs import MetricSpec, SegInput
from slimai.schema.metric_text import parse_metric_input
from slimai.suggest import did_you_mean

PATHS = frozenset({"annotations", "instances", "labels", "priors"})
Rebase = Callable[[str], str]
_WORDS = frozenset({"custom_pp", "layout", "yolo", "ap", "transpose", "voc_labels", *PATHS})
_WORD = re.compile(r"\S+")
_OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True)
class Fault:
    """An item that cannot be read; `offset` counts characters from the start of the line."""

    offset: int
    message: str
    value: str
    cure: str


@dataclass
class MetricInput:
    """The values of one line by field, the offset of each, and the items that are wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_metric_input(metric_cls: str, text: str, rebase: Rebase) -> MetricInput | None:
    """Return the typed form of `text`, or None when `metric_cls` is a plug-in, which gets the text as it is.

    `rebase` is applied to every path.
    """
    spec = SPECS.get(metric_kind({"metric_cls": metric_cls}))
    if spec is None:
        return None
    found = MetricInput()
    heads = list(spec.positional)
    several = False
    for offset, word in _words(text):
        if heads and not _OPTION.match(word):
            name = heads.pop(0)
            found.values[name], found.offsets[name] = _typed(name, word, rebase), offset
            continue
        heads = []
        if several and not spec.bare:
            message, cure = "a blank inside the options of metric_input", "separate them with commas alone"
            found.faults.append(Fault(offset, message, word, cure))
        several = True
        for start, item in _comma_parts(word):
            _read_item(found, spec, offset + start, item, rebase)
    return found


def _words(text: str) -> Iterator[tuple[int, str]]:
    return ((match.start(), match[0]) for match in _WORD.finditer(text))


def _comma_parts(word: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, part) of the parts between commas outside brackets."""
    depth, start = 0, 0
    for index, char in enumerate(word + ","):
        depth = max(0, depth + (char == "[") - (char == "]"))
        if (char == "," and depth == 0) or index == len(word):
            if word[start:index]:
                yield start, word[start:index]
            start = index + 1


def _read_item(found: MetricInput, spec: type[MetricSpec], offset: int, item: str, rebase: Rebase) -> None:
    try:
        values = parse_metric_input(item, (), bare=spec.bare)
    except PydanticCustomError as error:
        context = error.context or {}
        cure = str(context.get("cure", "")) or "remove it"
        found.faults.append(Fault(offset, _unquoted(str(context.get("message", error)), item), item, cure))
        return
    for name, value in values.items():
        if name not in spec.model_fields:
            found.faults.append(Fault(offset, f"unknown option '{name}' of metric_input", item, _suggest(name, spec)))
        elif name in found.values:
            found.faults.append(Fault(offset, f"option '{name}' of metric_input is given twice", item, "remove one"))
        else:
            found.values[name], found.offsets[name] = _typed(name, value, rebase), offset


def _unquoted(message: str, item: str) -> str:
    """Return the message without the item in quotes, which the diagnostic shows as its value."""
    return message.replace(f"'{item}' is", "an item of metric_input is")


def _suggest(name: str, spec: type[MetricSpec]) -> str:
    names = [*spec.model_fields, "resizeNN", "resizeBi", "resizeCu"] if spec is SegInput else list(spec.model_fields)
    options = [known for known in names if known not in spec.positional and known != "resize"]
    if not options:
        return "this metric has no options"
    return did_you_mean(name, options) or "the options are " + ", ".join(options)


def _typed(name: str, value: Any, rebase: Rebase) -> Any:
    """Return the value as YAML shows it best; text that fits no form stays text."""
    if name in PATHS:
        return rebase(value)
    if name == "resize":
        return {**value, "size": _size(value["size"])}
    if name == "input_size":
        return _size(value)
    if name == "anchors":
        return [[[without_point(side) for side in pair] for pair in bracket] for bracket in value]
    if name in _WORDS or not isinstance(value, str):
        return value
    return switch(value) if isinstance(switch(value), bool) else number(value)


def _size(text: str) -> Any:
    parts = [number(part) for part in text.split(":")]
    return parts if len(parts) == 2 and all(isinstance(part, int) for part in parts) else text
