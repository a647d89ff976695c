"""The adjust file: a profile whose limits a person edits, and what becomes of the edits.

It is a profile under a header that says what it was made from, each entry with the generated limits beside the
editable ones. What differs from the generated limits is used as it stands, in place of what calibration gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slimai.artifacts.atomic import write_text
from slimai.calibration.limits import Limits
from slimai.calibration.statistics import Statistics
from slimai.errors import Diagnostic, InputError
from slimai.quantizer.levels import FIXED_SCALES
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.profile import Entry, entries, number
from slimai.suggest import suggest
from slimai.yaml_reader import keyed, node_problem, read_yaml, scalar_value, shown_text

_COMMENT = "# Edit Min and Max: what differs from GeneratedMin and GeneratedMax is used as it stands in the next run.\n"


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
    fixed = fixed_names(plan)
    facts = "".join(f'{key}: "{value}"\n' for key, value in header.facts().items())
    rows = "".join(_row_text(entry, fixed=entry.name in fixed) for entry in entries(plan, stats))
    write_text(path, f"{_COMMENT}{facts}Nodes:\n{rows}")
    return True


def _row_text(entry: Entry, *, fixed: bool) -> str:
    values = {
        "Min": number(entry.low),
        "Max": number(entry.high),
        "GeneratedMin": number(entry.low),
        "GeneratedMax": number(entry.high),
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
        if layer.mode == "integer" and layer.node.op in FIXED_SCALES
        for name in layer.outputs
    }
    return frozenset(plan.profile_names[name] for name in (*fixed, *plan.sources) if name in plan.profile_names)


def read_adjust(path: Path, header: AdjustHeader, known: Iterable[str]) -> dict[str, Limits]:
    """Return profile name -> limits of the entries whose Min or Max were edited.

    known: the profile names of the network.

    Raises:
        InputError: the file belongs to another model, level or range; an unknown or repeated name; Min above Max; a
            number that is missing or not finite; an edited entry whose scale is fixed. All of them at once.
    """
    names = frozenset(known)
    reader = _Reader(path)
    rows = reader.rows(reader.root(), header.facts())
    edited: dict[str, Limits] = {}
    seen: set[str] = set()
    for row in rows:
        name, limits = row.name, row.limits()
        generated = (row.number("GeneratedMin"), row.number("GeneratedMax"))
        row.check_name(names, seen)
        if name is None or limits is None or None in generated or tuple(limits) == generated:
            continue
        if row.fixed:
            row.wrong("the scale of this tensor is fixed; take the edit back", name)
        edited[name] = limits
    reader.finish()
    return edited


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


class _Reader:
    """A YAML file with the place of every value; mistakes are gathered and raised together by `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors: list[Diagnostic] = []

    def root(self) -> yaml.Node:
        """Return the document; InputError when it is not YAML."""
        node = read_yaml(self.path)
        if node is None:
            raise InputError.at(str(self.path), "is empty", cure="delete it; it is written anew")
        return node

    def rows(self, root: yaml.Node, facts: Mapping[str, str]) -> list[_Row]:
        """Return the entries of an adjust file whose header holds `facts`."""
        head = _Row(self, root) if isinstance(root, yaml.MappingNode) else None
        nodes = None if head is None else head.nodes.get("Nodes")
        if head is None or not isinstance(nodes, yaml.SequenceNode):
            self.add(root, "is not an adjust file: Model, Level, Range and a list of Nodes are expected")
            self.finish()
            return []
        for key, wanted in facts.items():
            at = head.nodes.get(key, root)
            found = at.value if isinstance(at, yaml.ScalarNode) else "nothing"
            if found != wanted:
                cure = "move the file away, or run with what it was made for"
                self.add(at, f"was made for another {key.lower()} than {wanted}", key, shown_text(found), cure)
        for item in nodes.value:
            if not isinstance(item, yaml.MappingNode):
                self.add(item, "an entry with NodeOutputName, Min and Max is expected here")
        return [_Row(self, item) for item in nodes.value if isinstance(item, yaml.MappingNode)]

    def add(self, node: yaml.Node, message: str, key: str = "", value: Any = None, cure: str = "") -> None:
        """Add a mistake at the place of `node`."""
        got = {} if value is None else {"value": value}
        self.errors.append(node_problem(node, str(self.path), message, key, cure, **got))

    def finish(self) -> None:
        """Raise what was found."""
        if self.errors:
            raise InputError(self.errors)


class _Row:
    """One mapping of the file."""

    def __init__(self, reader: _Reader, node: yaml.MappingNode) -> None:
        self._reader = reader
        self._node = node
        pairs = keyed(node, str(reader.path), reader.errors)
        self.nodes: dict[str, yaml.Node] = {key: value for key, (_, value) in pairs.items()}

    def value(self, key: str) -> Any:
        """Return the value of a scalar, or None when it is absent or no scalar; ValueError: it does not fit its tag."""
        node = self.nodes.get(key)
        return scalar_value(node) if isinstance(node, yaml.ScalarNode) else None

    def wrong(self, message: str, name: str | None, value: Any = None, place: str = "") -> None:
        """Add a mistake of this entry."""
        self._reader.add(self.nodes.get(place, self._node), message, name or "", value)

    @property
    def name(self) -> str | None:
        """Return the entry's name, or None."""
        node = self.nodes.get("NodeOutputName")
        return str(node.value) if isinstance(node, yaml.ScalarNode) and node.value else None

    @property
    def fixed(self) -> bool:
        """Return whether the entry's scale is fixed."""
        try:
            return bool(self.value("Fixed"))
        except ValueError as error:
            self.wrong(f"Fixed {error}", self.name, place="Fixed")
            return False

    def check_name(self, known: frozenset[str], seen: set[str]) -> None:
        """Add a mistake when the name is missing, unknown or given before."""
        name = self.name
        if name is None:
            self.wrong("NodeOutputName is missing", None)
        elif name not in known:
            self.wrong(f"the network has no tensor of this name{suggest(name, sorted(known))}", name)
        elif name in seen:
            self.wrong("is listed twice", name)
        else:
            seen.add(name)

    def number(self, key: str) -> float | None:
        """Return a finite number; anything else is a mistake."""
        try:
            found, reason = self.value(key), "should be a finite number"
        except ValueError as error:
            found, reason = None, str(error)
        if isinstance(found, str):
            found = _number(found)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            node = self.nodes.get(key)
            shown = shown_text(node.value) if isinstance(node, yaml.ScalarNode) else None
            self.wrong(f"{key} {reason}", self.name, shown, key)
            return None
        return float(found)

    def limits(self) -> Limits | None:
        """Return Min and Max; Min above Max is a mistake."""
        low, high = self.number("Min"), self.number("Max")
        if low is None or high is None:
            return None
        if low > high:
            self.wrong(f"Min is above Max ({low!r} > {high!r})", self.name, place="Min")
            return None
        return Limits(low, high)


def _number(text: str) -> float | None:
    """Return the number that a person meant: YAML 1.1 takes 1e-5 (no dot) for a string."""
    try:
        return float(text)
    except ValueError:
        return None
