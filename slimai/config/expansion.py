"""How much a configuration becomes when its interpolations are written out, asked before OmegaConf does it.

``a: ${b}${b}`` with ``b: ${c}${c}`` and so on doubles with every key: thirty lines never end. The size is found from
the references alone, each key once; what a computed reference (``${${a}}``) may mean counts as the largest key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from slimai.errors import Diagnostic, InputError

LARGEST = 2**20  # characters and values of a whole configuration
_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_COMPUTED = "\0"
_NO_KEYS = ("oc.env:", "oc.decode:", "slimai_examples:", "hydra:")  # resolvers whose arguments name no key


def require_bounded(values: Any) -> None:
    """Raise InputError, naming a key, when the interpolations of plain unresolved `values` expand to too much."""
    sizes = _Sizes(values)
    try:
        total = sizes.of("")
    except RecursionError:
        raise InputError(Diagnostic("interpolations refer to one another through too many keys")) from None
    if total > LARGEST:
        message = f"interpolations expand to more than {LARGEST} characters"
        raise InputError(Diagnostic(message, sizes.first, suggestion="write the value out, or refer to it less often"))


class _Sizes:
    """The sizes of keys by their dotted names; ``""`` is the whole."""

    def __init__(self, values: Any) -> None:
        self.nodes: dict[str, Any] = dict(_flattened(values, ""))
        self.known: dict[str, int] = {}
        self.first = ""  # the key that was found too large first

    def of(self, key: str) -> int:
        """Return the characters and values below `key`; what refers to itself counts once (OmegaConf refuses it)."""
        if key not in self.known:
            self.known[key] = 1  # while it is being counted
            size = self._counted(key, self.nodes[key])
            self.known[key] = min(size, LARGEST + 1)
            self.first = self.first or (key if size > LARGEST else "")
        return self.known[key]

    def _counted(self, key: str, node: Any) -> int:
        if isinstance(node, Mapping | list):
            names = node if isinstance(node, Mapping) else range(len(node))
            return 1 + sum(self.of(_joined(key, name)) for name in names)
        text = str(node) if isinstance(node, str) else ""
        return 1 + len(text) + sum(map(self._referred, _references(text, key)))

    def _referred(self, name: str) -> int:
        if _COMPUTED in name:
            return max(self.of(key) for key in self.nodes if key and not isinstance(self.nodes[key], Mapping))
        return self.of(name) if name in self.nodes else 0


def _flattened(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    yield key, node
    if isinstance(node, Mapping | list):
        for name, inner in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _flattened(inner, _joined(key, name))


def _joined(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _references(text: str, key: str) -> Iterator[str]:
    """Yield the dotted keys that the interpolations of `text` may name, with `_COMPUTED` where one is not written."""
    while "${" in text:
        found = _INNERMOST.findall(text)
        if not found:
            return
        for inner in found:
            if not inner.startswith(_NO_KEYS):
                words = inner.partition(":")[2].split(",") if ":" in inner else [inner]
                yield from (_absolute(word.strip(" '\""), key) for word in words)
        text = _INNERMOST.sub(_COMPUTED, text)


def _absolute(name: str, key: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    plain = re.sub(r"\[([^\]]*)\]", r".\1", name.lstrip(".")).strip(".")
    if not dots:
        return plain
    return ".".join([*key.split(".")[:-dots], plain]) if dots <= key.count(".") + 1 else plain
