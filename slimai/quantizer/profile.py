"""Profiles: the limits of every activation as a text file that a person reads and edits (SPEC 8.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimai.calibration.limits import Limits
from slimai.errors import InputError
from slimai.number_text import yaml_float
from slimai.quantizer.params import S4
from slimai.yaml_reader import compose_yaml
from slimai.yaml_values import Fields, Reading

if TYPE_CHECKING:
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.plan import QuantPlan

HEADER = "# Limits of every activation, in graph order. Real value = Scale * (integer - Offset).\n"


@dataclass(frozen=True)
class Entry:
    """One activation: its profile name, the limits that were quantized, and what came of them.

    weights: type of the layer's weights where it is s4. float_min and float_max are the extremes that calibration saw,
    None where it saw none (Requantize).
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
    weights: str = ""


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
                S4.name if layer is not None and layer.weight is not None and layer.weight.dtype == S4 else "",
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
        ("Min", yaml_float(entry.low)),
        ("Max", yaml_float(entry.high)),
        ("Kind", entry.kind),
        ("Dtype", entry.dtype),
        ("Scale", yaml_float(entry.scale)),
        ("Offset", str(entry.offset)),
    ]
    if entry.float_min is not None and entry.float_max is not None:
        rows += [("FloatMin", yaml_float(entry.float_min)), ("FloatMax", yaml_float(entry.float_max))]
    if entry.weights:
        rows.append(("Weights", entry.weights))
    lines = [f"  {key + ':':<16}{value}" for key, value in rows]
    lines[0] = "-" + lines[0][1:]
    return "\n".join(lines) + "\n"


_FIELDS: Mapping[str, str] = {
    "NodeOutputName": "name",
    "Min": "low",
    "Max": "high",
    "Kind": "kind",
    "Dtype": "dtype",
    "Scale": "scale",
    "Offset": "offset",
    "FloatMin": "float_min",
    "FloatMax": "float_max",
    "Weights": "weights",
}
_NUMBERS = ("Scale", "FloatMin", "FloatMax")


def read_profile(text: str, where: str) -> tuple[Entry, ...]:
    """Return the entries of a profile.

    Raises InputError with every mistake at its line: no list, unknown or missing keys, wrong types,
    non-finite limits, Min above Max, a name given twice.
    """
    reading = Reading(where)
    root = compose_yaml(text, where)
    if root is None:
        raise InputError.at(where, "is empty", cure="give a profile")
    nodes = reading.items(root, "should be a list of entries with NodeOutputName, Min and Max")
    found: dict[str, Entry] = {}
    for row in reading.mappings(nodes, "should be an entry with NodeOutputName, Min and Max"):
        entry = _entry(row)
        if entry is not None and entry.name in found:
            row.wrong("is given twice")
        elif entry is not None:
            found[entry.name] = entry
    reading.finish()
    return tuple(found.values())


def _entry(row: Fields) -> Entry | None:
    row.name = row.text("NodeOutputName") or ""
    if not row.name:
        row.wrong("NodeOutputName is missing")
    row.check_keys(_FIELDS)
    limits = limits_of(row)
    values: dict[str, Any] = {_FIELDS[key]: row.number(key) for key in _NUMBERS if key in row.nodes}
    values |= {_FIELDS[key]: row.text(key) or "" for key in ("Kind", "Dtype", "Weights") if key in row.nodes}
    values |= {"offset": row.integer("Offset")} if "Offset" in row.nodes else {}
    if not row.name or limits is None or None in values.values():
        return None
    return Entry(row.name, limits.low, limits.high, **values)


def limits_of(row: Fields) -> Limits | None:
    """Return Min and Max of an entry; Min above Max is a mistake."""
    low, high = row.number("Min"), row.number("Max")
    if low is None or high is None:
        return None
    if low > high:
        row.wrong(f"Min is above Max ({low!r} > {high!r})", "Min")
        return None
    return Limits(low, high)


def diff_profiles(before: Iterable[Entry], after: Iterable[Entry]) -> list[str]:
    """Return one line for each tensor that differs between two profiles, or that only one of them has."""
    old, new = ({entry.name: entry for entry in items} for items in (before, after))
    lines = []
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            lines.append(f"{name}: only in the {'second' if name in new else 'first'} profile")
            continue
        pairs = ((key, getattr(old[name], item), getattr(new[name], item)) for key, item in _FIELDS.items())
        changes = [f"{key} {mine!r} -> {theirs!r}" for key, mine, theirs in pairs if mine != theirs]
        if changes:
            lines.append(f"{name}: {', '.join(changes)}")
    return lines
