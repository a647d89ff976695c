"""Manual mixed precision: rules files, their expansion over the layers of a network, bits by layer.

A rules file is a YAML list of ``{nodes: [pattern, ...], intypes: [s8|s16], outtypes: [s8|s16]}``. In the file for
names a pattern matches any name of a layer (`tensor_names`), in the file for kinds it matches kinds. Names beat kinds;
within a file the last matching rule wins. At levels 2 and 3 s8 means the level's own 8-bit type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph
from slimai.graph.ops import KIND_ALIASES
from slimai.quantizer.layers import Step, layer_steps
from slimai.quantizer.levels import LEVELS
from slimai.quantizer.params import S8, S16
from slimai.quantizer.tensor_names import layer_names
from slimai.suggest import FAR, alike
from slimai.yaml_reader import compose_yaml, read_text
from slimai.yaml_values import Fields, Reading

BITS = {kind.name: kind.bits for kind in (S8, S16)}


@dataclass(frozen=True)
class MixRule:
    """One rule: what it matches and the bits that those layers read and write (None: as the level has it)."""

    patterns: tuple[str, ...]
    reads: int | None
    writes: int | None
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class RulesFile:
    """The rules of a file in order, and warnings about how it was written."""

    rules: tuple[MixRule, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()


@dataclass
class Expansion:
    """What rules mean for one network.

    datatypes: node name -> (bits read, bits written), for the layers that a rule names. matched: (pattern, node names)
    in rule order, for the log. warnings: conflicts, and rules that name host layers.
    """

    datatypes: dict[str, tuple[int, int]] = field(default_factory=dict)
    matched: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)


def read_rules(path: Path) -> RulesFile:
    """Return the rules of a file; InputError with every mistake at once. An empty file has no rules."""
    return parse_rules(read_text(path), str(path))


def parse_rules(text: str, file: str) -> RulesFile:
    """Return the rules in a YAML text.

    The guide's own example leaves `intypes:` and `outtypes:` unindented under their list item, which is not YAML: such
    a text is read as it is meant, with a warning.
    """
    warnings: list[Diagnostic] = []
    try:
        node = compose_yaml(text, file)
    except InputError as error:
        repaired = re.sub(r"^(nodes|intypes|outtypes)(\s*:)", r"  \1\2", text, flags=re.MULTILINE)
        try:
            node = compose_yaml(repaired, file)
        except InputError:
            raise error from None
        message = "`intypes` and `outtypes` are not indented under their `- nodes` item; read as if they were"
        warnings.append(Diagnostic(message, suggestion="indent them by two spaces", file=file, severity="warning"))
    reading = Reading(file)
    rules = _rules(reading, node)
    reading.finish()
    return RulesFile(rules, tuple(warnings))


def _rules(reading: Reading, root: yaml.Node | None) -> tuple[MixRule, ...]:
    if root is None:
        return ()
    nodes = reading.items(root, "a list of rules is expected", "start each rule with `- nodes: [...]`")
    rows = reading.mappings(nodes, "a rule is a mapping of nodes, intypes and outtypes")
    return tuple(rule for row in rows if (rule := _rule(row)) is not None)


def _rule(row: Fields) -> MixRule | None:
    row.check_keys(("nodes", "intypes", "outtypes"))
    reading = row.reading
    patterns = _words(reading, row.nodes["nodes"]) if "nodes" in row.nodes else ()
    if not patterns:
        row.wrong("a rule needs `nodes`: a list of names, kinds or patterns")
        return None
    bits = {key: _bits(reading, row.nodes[key]) for key in ("intypes", "outtypes") if key in row.nodes}
    if not bits:
        reading.wrong(row.node, "a rule needs `intypes` or `outtypes`", cure="give [s8] or [s16]")
    return MixRule(patterns, bits.get("intypes"), bits.get("outtypes"), reading.file, row.node.start_mark.line + 1)


def _words(reading: Reading, node: yaml.Node) -> tuple[str, ...]:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    words = []
    for item in items:
        if isinstance(item, yaml.ScalarNode) and item.value:
            words.append(str(item.value))
        else:
            reading.wrong(item, "a name, kind or pattern is expected here")
    return tuple(words)


def _bits(reading: Reading, node: yaml.Node) -> int | None:
    words = set(_words(reading, node))
    unknown = sorted(words - set(BITS))
    if unknown:
        reading.wrong(node, f"unknown type '{unknown[0]}'", cure="the types are s8 and s16")
    elif len(words) > 1:
        reading.wrong(node, "the inputs (or outputs) of a layer have one type", cure="give one of s8, s16")
    return BITS[words.pop()] if len(words) == 1 and not unknown else None


def expand_rules(
    graph: Graph, level: int, by_name: Sequence[MixRule] = (), by_kind: Sequence[MixRule] = ()
) -> Expansion:
    """Return what the rules mean for the layers of `graph`.

    Raises:
        InputError: level 0, or patterns that match nothing (all of them, each with the nearest names).
    """
    scheme = LEVELS[level]
    if scheme.other is None and (by_name or by_kind):
        fit = [number for number, item in LEVELS.items() if item.other is not None]
        raise InputError(
            f"quantization.mix: mixed precision is not possible at accuracy level {level}; "
            f"use levels {min(fit)} to {max(fit)}"
        )
    steps = layer_steps(graph)
    expander = _Expander(scheme.bits, steps, layer_names(graph))
    expander.apply(by_kind, by_kind=True)
    expander.apply(by_name, by_kind=False)
    if expander.errors:
        raise InputError(expander.errors)
    return expander.found


class _Expander:
    def __init__(self, bits: int, steps: tuple[Step, ...], names: Mapping[str, tuple[str, ...]]) -> None:
        self.bits = bits
        self.steps = steps
        self.names = names
        self.found = Expansion()
        self.errors: list[Diagnostic] = []

    def apply(self, rules: Sequence[MixRule], *, by_kind: bool) -> None:
        """Apply the rules of one file; what it says wins over what was applied before."""
        set_here: dict[str, MixRule] = {}
        for rule in rules:
            for pattern in rule.patterns:
                steps = [step for step in self.steps if self._matches(step, pattern, by_kind=by_kind)]
                self.found.matched.append((pattern, tuple(step.name for step in steps)))
                if not steps:
                    self.errors.append(self._unmatched(rule, pattern, by_kind=by_kind))
                for step in steps:
                    self._set(step, rule, set_here)

    def _matches(self, step: Step, pattern: str, *, by_kind: bool) -> bool:
        if by_kind:
            wanted = KIND_ALIASES.get(pattern, pattern)
            return fnmatchcase(step.kind, wanted)
        names = self.names[step.name]
        return pattern in names or any(fnmatchcase(name, pattern) for name in names)

    def _set(self, step: Step, rule: MixRule, set_here: dict[str, MixRule]) -> None:
        if not step.integer:
            message = f"{step.name} runs on the host, in float: its types are not used"
            self._warn(rule, message)
            return
        before = set_here.get(step.name)
        if before is not None and before is not rule and (before.reads, before.writes) != (rule.reads, rule.writes):
            self._warn(rule, f"{step.name} is also named by the rule in line {before.line}: this later one wins")
        set_here[step.name] = rule
        reads, writes = (self.bits if bits is None else bits for bits in (rule.reads, rule.writes))
        self.found.datatypes[step.name] = (reads, writes)

    def _warn(self, rule: MixRule, message: str) -> None:
        self.found.warnings.append(Diagnostic(message, file=rule.file or None, line=rule.line, severity="warning"))

    def _unmatched(self, rule: MixRule, pattern: str, *, by_kind: bool) -> Diagnostic:
        kinds = sorted({step.kind for step in self.steps})
        known = (
            [*kinds, *KIND_ALIASES]
            if by_kind
            else [*(step.name for step in self.steps), *(names[0] for names in self.names.values())]
        )
        shown = alike(pattern, known, 3, FAR) or (kinds if by_kind else known[:3])
        what = "kind" if by_kind else "node"
        message = f"no {what} of this network matches '{pattern}'"
        return Diagnostic(
            message, suggestion=f"the nearest are {', '.join(shown)}", file=rule.file or None, line=rule.line
        )
