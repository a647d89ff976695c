"""The adjust file: a profile whose limits a person edits, and what becomes of the edits.

It is a profile under a header that says what it was made from, each entry with the generated limits beside the
editable ones. What differs from the generated limits is used as it stands, in place of what calibration gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from slimai.artifacts.atomic import write_text
from slimai.calibration.limits import Limits
from slimai.calibration.statistics import Statistics
from slimai.errors import InputError
from slimai.graph.ops import TRAITS
from slimai.number_text import yaml_float
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.profile import Entry, entries, limits_of
from slimai.suggest import suggest
from slimai.yaml_reader import read_yaml, shown_text
from slimai.yaml_values import Fields, Reading

_COMMENT = (
    "# Edit Min and Max: what differs from GeneratedMin and GeneratedMax is used as it stands in the next run.\n"
    "# A line {NodeOutputName: ..., Min: ..., Max: ...} without them, anywhere in the list, counts before the entry.\n"
)


@dataclass(frozen=True)
class AdjustHeader:
    """What an adjust file belongs to: hash of the network, accuracy level, range (or single-shot method)."""

    model: str
    level: int
    range: str

    def facts(self) -> dict[str, str]:
        """Return the header as key -> text."""
        return {"Model": self.model, "Level": str(self.level), "Range": self.range}


def write_adjust(path: Path, header: AdjustHeader, plan: QuantPlan, stats: Statistics | None = None) -> bool:
    """Write an adjust file and return True; a file that is already there stays as it is."""
    if path.exists():
        return False
    write_text(path, adjust_text(header, plan, stats))
    return True


def adjust_text(
    header: AdjustHeader,
    plan: QuantPlan,
    stats: Statistics | None = None,
    edits: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """Return the text of an adjust file; edits: profile name -> limits that stand in it as if a person had set them."""
    fixed, edited = fixed_names(plan), edits or {}
    facts = "".join(f'{key}: "{value}"\n' for key, value in header.facts().items())
    rows = "".join(
        _row_text(entry, edited.get(entry.name, (entry.low, entry.high)), fixed=entry.name in fixed)
        for entry in entries(plan, stats)
    )
    return f"{_COMMENT}{facts}Nodes:\n{rows}"


def _row_text(entry: Entry, limits: tuple[float, float], *, fixed: bool) -> str:
    values = {
        "Min": yaml_float(limits[0]),
        "Max": yaml_float(limits[1]),
        "GeneratedMin": yaml_float(entry.low),
        "GeneratedMax": yaml_float(entry.high),
        "Kind": entry.kind,
        "Dtype": entry.dtype,
        **({"Fixed": "true"} if fixed else {}),
    }
    lines = "".join(f"  {key + ':':<16}{value}\n" for key, value in values.items())
    return f'- NodeOutputName: "{entry.name}"\n{lines}'


def fixed_names(plan: QuantPlan) -> frozenset[str]:
    """Return the profile names of tensors whose limits cannot be edited.

    These are the outputs of fixed-scale operators, and the tensors between two grids (outputs of a Requantize).
    """
    fixed = {
        name
        for layer in plan.layers
        if layer.mode == "integer" and TRAITS[layer.node.op].scale == "fixed"
        for name in layer.outputs
    }
    return frozenset(plan.profile_names[name] for name in (*fixed, *plan.sources) if name in plan.profile_names)


def read_adjust(
    path: Path, header: AdjustHeader, known: Iterable[str], others: Mapping[str, str] | None = None
) -> dict[str, Limits]:
    """Return profile name -> limits of the entries whose Min or Max were edited.

    known: the profile names of the network. others: further name -> profile name. An entry without GeneratedMin and
    GeneratedMax is an edit, and counts before one of its name that has them.

    Raises:
        InputError: the file belongs to another model, level or range; an unknown or repeated name; Min above Max; a
            number that is missing or not finite; an edited entry whose scale is fixed. All of them at once.
    """
    names = frozenset(known)
    reading = Reading(str(path))
    edited: dict[str, Limits] = {}
    pasted: dict[str, Limits] = {}
    fixed: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    given: list[tuple[Fields, str]] = []
    for row in _rows(reading, read_yaml(path), header):
        row.name = row.text("NodeOutputName") or ""
        name = row.name if row.name in names else (others or {}).get(row.name, row.name)
        limits, alone = limits_of(row), not {"GeneratedMin", "GeneratedMax"} & row.nodes.keys()
        generated = (None, None) if alone else (row.number("GeneratedMin"), row.number("GeneratedMax"))
        _check_name(row, name, alone, names, seen)
        if row.flag("Fixed"):
            fixed.add(name)
        if not name or limits is None or (not alone and (None in generated or tuple(limits) == generated)):
            continue
        given.append((row, name))
        (pasted if alone else edited)[name] = limits
    for row, name in given:
        if name in fixed:
            row.wrong("the scale of this tensor is fixed; take the edit back")
    reading.finish()
    return edited | pasted


def _rows(reading: Reading, root: yaml.Node | None, header: AdjustHeader) -> list[Fields]:
    """Return the entries of an adjust file that belongs to `header`."""
    if root is None:
        raise InputError.at(reading.file, "is empty", cure="delete it; it is written anew")
    head = Fields(reading, root) if isinstance(root, yaml.MappingNode) else None
    nodes = None if head is None else head.nodes.get("Nodes")
    if head is None or not isinstance(nodes, yaml.SequenceNode):
        reading.wrong(root, "is not an adjust file: Model, Level, Range and a list of Nodes are expected")
        reading.finish()
        return []
    for key, wanted in header.facts().items():
        found = head.text(key) or "nothing"
        if found != wanted:
            cure = "move the file away, or run with what it was made for"
            message = f"was made for another {key.lower()} than {wanted}"
            reading.wrong(head.nodes.get(key, root), message, key, cure, value=shown_text(found))
    return reading.mappings(nodes.value, "an entry with NodeOutputName, Min and Max is expected here")


def _check_name(row: Fields, name: str, alone: bool, known: frozenset[str], seen: set[tuple[str, bool]]) -> None:
    """Add a mistake when the name is missing, unknown or given before in an entry of the same kind."""
    if not name:
        row.wrong("NodeOutputName is missing")
    elif name not in known:
        row.wrong(f"the network has no tensor of this name{suggest(name, sorted(known))}")
    elif (name, alone) in seen:
        row.wrong("is listed twice")
    else:
        seen.add((name, alone))


def edited_limits(plan: QuantPlan, edited: Mapping[str, Limits]) -> dict[str, tuple[float, float]]:
    """Return tensor -> limits for `QuantOptions.limits`, from profile name -> limits of `read_adjust`."""
    tensors = {name: tensor for tensor, name in plan.profile_names.items()}
    return {tensors[name]: (limits.low, limits.high) for name, limits in edited.items()}


def changed_parameters(before: QuantPlan, after: QuantPlan) -> list[str]:
    """Return one line for each tensor whose type, scale or zero point differ between two plans of one network."""
    lines = []
    for tensor in dict.fromkeys([*before.tensors, *after.tensors]):
        old, new = before.tensors.get(tensor), after.tensors.get(tensor)
        if old == new:
            continue
        name = (after if new is not None else before).profile_names[tensor]
        shown = [f"{p.dtype.name} {p.scale:.9g} {p.zero_point}" if p is not None else "none" for p in (old, new)]
        lines.append(f"{name}: {shown[0]} -> {shown[1]}")
    return lines
