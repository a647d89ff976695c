"""Manual mixed precision: rules files, their expansion over the layers of a network, bits by layer.

A rules file is a YAML list of ``{nodes: [pattern, ...], intypes: [s8|s16], outtypes: [s8|s16], weighttypes:
[s4|s8|s16]}``. In the file for names a pattern matches any name of a layer (`tensor_names`), in the file for kinds it
matches kinds. Names beat kinds; within a file the last matching rule wins. At levels 2 and 3 s8 means the level's own
8-bit type of activations. Weights of s16 stand beside 16-bit inputs alone, weights of s4 beside 8-bit ones.
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
from slimai.quantizer.params import S4, S8, S16, IntType
from slimai.quantizer.tensor_names import layer_names
from slimai.quantizer.weight_types import STACKED, has_typed_weights, is_stacked
from slimai.suggest import FAR, alike
from slimai.yaml_reader import compose_yaml, read_text
from slimai.yaml_values import Fields, Reading

BITS = {kind.name: kind.bits for kind in (S8, S16)}
WEIGHTS = {kind.name: kind for kind in (S4, S8, S16)}
_TYPES = ("intypes", "outtypes", "weighttypes")


@dataclass(frozen=True)
class MixRule:
    """One rule: what it matches, the bits that those layers read and write and the type of their weights.

    None: as the level has it.
    """

    patterns: tuple[str, ...]
    reads: int | None
    writes: int | None
    file: str = ""
    line: int = 0
    weights: IntType | None = None

    @property
    def said(self) -> tuple[int | None, int | None, IntType | None]:
        """What it says of the layers."""
        return self.reads, self.writes, self.weights


@dataclass(frozen=True)
class RulesFile:
    """The rules of a file in order, and warnings about how it was written."""

    rules: tuple[MixRule, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()


@dataclass
class Expansion:
    """What rules mean for one network.

    datatypes: node name -> (bits read, bits written), for the layers of which a rule says so. weights: node name ->
    type of its weights, likewise. matched: (pattern, node names) in rule order, for the log. warnings: conflicts, and
    rules that name host layers, or say of weights where there are none.
    """

    datatypes: dict[str, tuple[int, int]] = field(default_factory=dict)
    weights: dict[str, IntType] = field(default_factory=dict)
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
        repaired = re.sub(r"^(nodes|intypes|outtypes|weighttypes)(\s*:)", r"  \1\2", text, flags=re.MULTILINE)
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
    rows = reading.mappings(nodes, "a rule is a mapping of nodes, intypes, outtypes and weighttypes")
    return tuple(rule for row in rows if (rule := _rule(row)) is not None)


def _rule(row: Fields) -> MixRule | None:
    row.check_keys(("nodes", *_TYPES))
    reading = row.reading
    patterns = _words(reading, row.nodes["nodes"]) if "nodes" in row.nodes else ()
    if not patterns:
        row.wrong("a rule needs `nodes`: a list of names, kinds or patterns")
        return None
    found = {key: _type(reading, row.nodes[key], key) for key in _TYPES if key in row.nodes}
    if not found:
        cure = "give [s8] or [s16], of weights also [s4]"
        reading.wrong(row.node, "a rule needs `intypes`, `outtypes` or `weighttypes`", cure=cure)
    reads, writes, weights = (found.get(key) for key in _TYPES)
    line = row.node.start_mark.line + 1
    return MixRule(patterns, _bits(reads), _bits(writes), reading.file, line, weights)


def _bits(kind: IntType | None) -> int | None:
    return None if kind is None else kind.bits


def _words(reading: Reading, node: yaml.Node) -> tuple[str, ...]:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    words = []
    for item in items:
        if isinstance(item, yaml.ScalarNode) and item.value:
            words.append(str(item.value))
        else:
            reading.wrong(item, "a name, kind or pattern is expected here")
    return tuple(words)


def _type(reading: Reading, node: yaml.Node, key: str) -> IntType | None:
    known = list(WEIGHTS if key == "weighttypes" else BITS)
    words = set(_words(reading, node))
    unknown = sorted(words - set(known))
    if unknown:
        reading.wrong(
            node, f"unknown type '{unknown[0]}'", cure=f"the types are {', '.join(known[:-1])} and {known[-1]}"
        )
    elif len(words) > 1:
        what = "weights" if key == "weighttypes" else "inputs (or outputs)"
        reading.wrong(node, f"the {what} of a layer have one type", cure=f"give one of {', '.join(known)}")
    return WEIGHTS[words.pop()] if len(words) == 1 and not unknown else None


def expand_rules(
    graph: Graph,
    level: int,
    by_name: Sequence[MixRule] = (),
    by_kind: Sequence[MixRule] = (),
    weight_bits: Sequence[int] = (8,),
) -> Expansion:
    """Return what the rules mean for the layers of `graph`. weight_bits: those of the target.

    Raises:
        InputError: level 0, patterns that match nothing (all of them, each with the nearest names), or weights that
            the target does not have, or not beside the inputs of that layer.
    """
    scheme = LEVELS[level]
    if scheme.other is None and (by_name or by_kind):
        fit = [number for number, item in LEVELS.items() if item.other is not None]
        raise InputError(
            f"quantization.mix: mixed precision is not possible at accuracy level {level}; "
            f"use levels {min(fit)} to {max(fit)}"
        )
    steps = layer_steps(graph)
    expander = _Expander(graph, scheme.bits, steps, layer_names(graph))
    expander.refuse_bits([*by_kind, *by_name], weight_bits)
    expander.apply(by_kind, by_kind=True)
    expander.apply(by_name, by_kind=False)
    expander.refuse_weights()
    if expander.errors:
        raise InputError(expander.errors)
    return expander.found


class _Expander:
    def __init__(self, graph: Graph, bits: int, steps: tuple[Step, ...], names: Mapping[str, tuple[str, ...]]) -> None:
        self.graph, self.bits = graph, bits
        self.steps = steps
        self.names = names
        self.found = Expansion()
        self.errors: list[Diagnostic] = []
        self._said: dict[str, MixRule] = {}  # the rule that a layer has its type of weights from

    def refuse_bits(self, rules: Sequence[MixRule], weight_bits: Sequence[int]) -> None:
        """Note every rule of weights that the target does not have."""
        for rule in rules:
            if rule.weights == S4 and 4 not in weight_bits:
                have = ", ".join(map(str, weight_bits))
                message = f"weighttypes: the target has no weights of 4 bits (its weight_bits: [{have}])"
                self._wrong(rule, message, "take s8, or a target with 4 among its weight_bits, as npu")

    def refuse_weights(self) -> None:
        """Note every layer whose weights cannot stand beside what it reads."""
        for name, kind in self.found.weights.items():
            reads = self.found.datatypes.get(name, (self.bits, self.bits))[0]
            if kind == S16 and reads == 8:
                message = f"{name} reads 8 bits: weights of s16 need 16-bit inputs"
                self._wrong(self._said[name], message, "add intypes: [s16], or take s8")
            elif kind == S4 and reads == 16:
                message = f"{name} reads 16 bits: weights of s4 need 8-bit inputs"
                self._wrong(self._said[name], message, "take intypes: [s8], or weighttypes: [s8]")

    def _wrong(self, rule: MixRule, message: str, cure: str) -> None:
        self.errors.append(Diagnostic(message, suggestion=cure, file=rule.file or None, line=rule.line))

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
                if (
                    rule.weights is not None
                    and steps
                    and not any(has_typed_weights(self.graph, item) for item in steps)
                ):
                    self._warn(rule, f"'{pattern}' names no layer with constant weights: weighttypes says nothing")

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
        if before is not None and before is not rule and before.said != rule.said:
            self._warn(rule, f"{step.name} is also named by the rule in line {before.line}: this later one wins")
        set_here[step.name] = rule
        self.found.datatypes.pop(step.name, None)
        self.found.weights.pop(step.name, None)
        if (rule.reads, rule.writes) != (None, None):
            reads, writes = (self.bits if bits is None else bits for bits in (rule.reads, rule.writes))
            self.found.datatypes[step.name] = (reads, writes)
        if rule.weights is not None and has_typed_weights(self.graph, step):
            if rule.weights == S4 and is_stacked(self.graph, step):
                self._warn(rule, f"{step.name} keeps weights of s8: {STACKED}")
                return
            self.found.weights[step.name], self._said[step.name] = rule.weights, rule

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
