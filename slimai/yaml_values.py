"""Values of a YAML file with their places: what is wrong is gathered, each at its line, and raised together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import yaml

from slimai.errors import Diagnostic, InputError
from slimai.suggest import did_you_mean
from slimai.yaml_reader import keyed, node_problem, scalar_value, shown_text


class Reading:
    """One file that is being read, and the mistakes that were found in it so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[Diagnostic] = []

    def wrong(self, node: yaml.Node, message: str, key: str = "", cure: str = "", **value: Any) -> None:
        """Add a mistake at the place of `node`; ``value=...`` is what was found there."""
        self.errors.append(node_problem(node, self.file, message, key, cure, **value))

    def items(self, node: yaml.Node, message: str, cure: str = "") -> list[yaml.Node]:
        """Return the items of a list; anything else is the mistake `message`."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.wrong(node, message, cure=cure)
        return []

    def mappings(self, nodes: Iterable[yaml.Node], message: str) -> list[Fields]:
        """Return those nodes that are mappings; each other one is the mistake `message`."""
        found = []
        for node in nodes:
            if isinstance(node, yaml.MappingNode):
                found.append(Fields(self, node))
            else:
                self.wrong(node, message)
        return found

    def finish(self) -> None:
        """Raise the InputError of what was found, if anything was."""
        if self.errors:
            raise InputError(self.errors)


class Fields:
    """The values of one mapping by key. Mistakes are told under `name` and stand at the value, else at the mapping."""

    def __init__(self, reading: Reading, node: yaml.MappingNode) -> None:
        self.reading = reading
        self.node = node
        self.name = ""
        pairs = keyed(node, reading.file, reading.errors)
        self.keys = {key: pair[0] for key, pair in pairs.items()}
        self.nodes = {key: pair[1] for key, pair in pairs.items()}

    def wrong(self, message: str, key: str = "", **value: Any) -> None:
        """Add a mistake of this mapping, at the value of `key` where there is one."""
        self.reading.wrong(self.nodes.get(key, self.node), message, self.name, **value)

    def check_keys(self, known: Iterable[str]) -> None:
        """Add a mistake for each key that is not among `known`."""
        names = list(known)
        for key, node in self.keys.items():
            if key not in names:
                cure = did_you_mean(key, names) or f"the keys are {', '.join(names)}"
                self.reading.wrong(node, f"unknown key '{shown_text(key)}'", self.name, cure)

    def text(self, key: str) -> str | None:
        """Return a scalar as it is written; None where it is absent, empty or no scalar."""
        node = self.nodes.get(key)
        return str(node.value) if isinstance(node, yaml.ScalarNode) and node.value else None

    def number(self, key: str) -> float | None:
        """Return a finite number; anything else is a mistake. YAML 1.1 takes 1e-5 (no dot) for text: it is read too."""
        if key not in self.nodes:
            self.wrong(f"{key} is missing")
            return None
        found, reason = self._value(key, "should be a finite number")
        if isinstance(found, str):
            found = _float(found)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            self._misfit(key, reason)
            return None
        return float(found)

    def integer(self, key: str) -> int | None:
        """Return an integer; anything else is a mistake."""
        found, reason = self._value(key, "should be an integer")
        if isinstance(found, bool) or not isinstance(found, int):
            self._misfit(key, reason)
            return None
        return found

    def flag(self, key: str) -> bool:
        """Return whether a value is there and true."""
        found, reason = self._value(key, "")
        if reason:
            self._misfit(key, reason)
        return bool(found)

    def _value(self, key: str, reason: str) -> tuple[Any, str]:
        """Return the value of a scalar (else None), and what to say of it should it be of no use."""
        node = self.nodes.get(key)
        try:
            return (scalar_value(node) if isinstance(node, yaml.ScalarNode) else None), reason
        except ValueError as error:
            return None, str(error)

    def _misfit(self, key: str, reason: str) -> None:
        node = self.nodes.get(key)
        value = {"value": shown_text(node.value)} if isinstance(node, yaml.ScalarNode) else {}
        self.wrong(f"{key} {reason}", key, **value)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
