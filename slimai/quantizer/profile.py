"""Profiles: the limits of every activation as a text file that a person reads and edits (SPEC 8.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from slimai.errors import Diagnostic, InputError
from slimai.yaml_reader import check_scalars, compose_yaml, yaml_problem

if TYPE_CHECKING:
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.plan import QuantPlan

HEADER = "# Limits of every activation, in graph order. Real value = Scale * (integer - Offset).\n"


@dataclass(frozen=True)
class Entry:
    """One activation: its profile name, the limits that were quantized, and what came of them.

    float_min and float_max are the extremes that calibration saw, None where it saw none (Requantize).
    """

    name: str
    low: float
    high: float
    kind: str = ""
    dtype: str = ""
    scale: float = 0.0
    offset: int = 0
    float_min: float | None = None
    float_max: float | None = None


def entries(plan: QuantPlan, stats: Statistics | None = None) -> tuple[Entry, ...]:
    """Return the profile of a plan in graph order."""
    found = []
    for tensor, name in plan.profile_names.items():
        params = plan.tensors.get(tensor)
        if params is None:
            continue
        layer = plan.producer.get(tensor)
        low, high = plan.limits[tensor]
        seen = stats[tensor] if stats is not None and tensor in stats else None
        found.append(
            Entry(
                name,
                low,
                high,
                "Input" if layer is None else layer.kind,
                params.dtype.name,
                params.scale,
                params.zero_point,
                None if seen is None else seen.minimum,
                None if seen is None else seen.maximum,
            )
        )
    return tuple(found)


def profile_text(plan: QuantPlan, stats: Statistics | None = None) -> str:
    """Return the profile of a plan as YAML; every number reads back to the same bits."""
    return HEADER + "".join(entry_text(entry) for entry in entries(plan, stats))


def entry_text(entry: Entry) -> str:
    """Return the YAML list item of one entry."""
    rows = [
        ("NodeOutputName", json.dumps(entry.name)),
        ("Min", number(entry.low)),
        ("Max", number(entry.high)),
        ("Kind", entry.kind),
        ("Dtype", entry.dtype),
        ("Scale", number(entry.scale)),
        ("Offset", str(entry.offset)),
    ]
    if entry.float_min is not None and entry.float_max is not None:
        rows += [("FloatMin", number(entry.float_min)), ("FloatMax", number(entry.float_max))]
    lines = [f"  {key + ':':<16}{value}" for key, value in rows]
    lines[0] = "-" + lines[0][1:]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return the shortest decimal that reads back to the same double, in a form that YAML takes as a float."""
    text = repr(float(value))
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 wants a point before an exponent
    return text


_KEYS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "NodeOutputName": ("name", (str,)),
    "Min": ("low", (int, float)),
    "Max": ("high", (int, float)),
    "Kind": ("kind", (str,)),
    "Dtype": ("dtype", (str,)),
    "Scale": ("scale", (int, float)),
    "Offset": ("offset", (int,)),
    "FloatMin": ("float_min", (int, float)),
    "FloatMax": ("float_max", (int, float)),
}
_REQUIRED = ("NodeOutputName", "Min", "Max")


def read_profile(text: str, where: str) -> tuple[Entry, ...]:
    """Return the entries of a profile.

    Raises InputError with every entry that is not well formed: unknown or missing keys, wrong types,
    non-finite limits, Min above Max, a name given twice.
    """
    node = compose_yaml(text, where)
    wrong_scalars = check_scalars(node, where)
    if wrong_scalars:
        raise InputError(wrong_scalars)
    try:
        data = None if node is None else yaml.SafeLoader("").construct_document(node)
    except yaml.YAMLError as error:
        raise InputError(yaml_problem(error, where)) from None
    if not isinstance(data, list):
        raise InputError.at(where, "should be a list of entries with NodeOutputName, Min and Max")
    problems: list[Diagnostic] = []
    found: dict[str, Entry] = {}
    for position, item in enumerate(data, 1):
        wrong = list(_entry_problems(item, position, where))
        problems += wrong
        if wrong:
            continue
        entry = Entry(**{_KEYS[key][0]: value for key, value in item.items()})
        if entry.name in found:
            problems.append(_problem(where, entry.name, "is given twice"))
        found[entry.name] = entry
    if problems:
        raise InputError(problems)
    return tuple(found.values())


def diff_profiles(before: Iterable[Entry], after: Iterable[Entry]) -> list[str]:
    """Return one line for each tensor that differs between two profiles, or that only one of them has."""
    old, new = ({entry.name: entry for entry in items} for items in (before, after))
    lines = []
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            lines.append(f"{name}: only in the {'second' if name in new else 'first'} profile")
            continue
        pairs = ((key, getattr(old[name], item), getattr(new[name], item)) for key, (item, _) in _KEYS.items())
        changes = [f"{key} {mine!r} -> {theirs!r}" for key, mine, theirs in pairs if mine != theirs]
        if changes:
            lines.append(f"{name}: {', '.join(changes)}")
    return lines


def _entry_problems(item: Any, position: int, where: str) -> Iterable[Diagnostic]:
    if not isinstance(item, dict):
        yield _problem(where, f"entry {position}", "should be a mapping")
        return
    name = str(item.get("NodeOutputName", f"entry {position}"))
    for key in _REQUIRED:
        if key not in item:
            yield _problem(where, name, f"lacks {key}")
    for key, value in item.items():
        kinds = _KEYS.get(str(key), ("", ()))[1]
        if not kinds:
            yield _problem(where, name, f"has an unknown key '{key}'; the keys are {', '.join(_KEYS)}")
        elif isinstance(value, bool) or not isinstance(value, kinds):
            yield _problem(where, name, f"{key} should be a {kinds[-1].__name__} (got {value!r})")
        elif isinstance(value, int | float) and not abs(value) < float("inf"):
            yield _problem(where, name, f"{key} is not finite (got {value!r})")
    low, high = item.get("Min"), item.get("Max")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield _problem(where, name, f"Min is above Max (got {low!r} and {high!r})")


def _problem(where: str, name: str, message: str) -> Diagnostic:
    return Diagnostic(message, key=name, file=where)
