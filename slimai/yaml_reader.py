"""YAML from anyone: nodes with their places, within bounds that no document can blow up.

Every YAML file goes through `compose_yaml`: the text, the nodes, their depth and what aliases multiply are limited
before a node is made. What reads values (`scalar_value`, `keyed`) says what is wrong at the place where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slimai.errors import Diagnostic, InputError, printable

INT_BITS = 64  # longer integers are no setting of anything, and Python refuses to print those of 4,300 digits
MIB = 2**20

# yaml.CSafeLoader is there in every wheel, ten times as fast, and the same language
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# text, and the word of a merge, which belongs to its mapping
_AS_WRITTEN = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
# what the constructors of a tag raise for a scalar that does not fit it
_MISFITS = (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class YamlLimits:
    """How large a document may be: bytes of text, values as written, values that aliases repeat, levels of nesting."""

    size: int
    values: int
    copies: int = 10_000
    depth: int = 64


CONFIG = YamlLimits(size=1 * MIB, values=20_000)  # read again by OmegaConf, a hundred times slower
DATA = YamlLimits(size=16 * MIB, values=1_000_000)  # profiles of networks with thousands of tensors


def read_yaml(path: Path, limits: YamlLimits = DATA) -> yaml.Node | None:
    """Return the document of a UTF-8 file (None: it is empty); InputError names the file and the line."""
    return compose_yaml(read_text(path, limits), str(path), limits)


def read_text(path: Path, limits: YamlLimits = DATA) -> str:
    """Return the text of a UTF-8 file; InputError when it cannot be read, is too large or no UTF-8."""
    try:
        size = path.stat().st_size
        if size > limits.size:
            raise _too_large(str(path), size, limits)
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError.at(str(path), f"is not UTF-8 text (byte {error.start})", cure="save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError.at(str(path), f"cannot be read: {reason}") from None


def compose_yaml(text: str, file: str, limits: YamlLimits = DATA) -> yaml.Node | None:
    """Return the root node of the one document in `text`; None when there is none.

    Raises:
        InputError: `file`, line and reason: no YAML, or beyond `limits`.
    """
    if len(text) > limits.size:
        raise _too_large(file, len(text), limits)
    try:
        _measure(text, file, limits)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(yaml_problem(error, file)) from None
    except (RecursionError, UnicodeEncodeError) as error:
        raise InputError.at(file, f"not valid YAML: {str(error).splitlines()[0]}") from None
    return node


def yaml_problem(error: yaml.YAMLError, file: str | None = None) -> Diagnostic:
    """Return the place and reason of a YAML syntax error; `file` stands in for the stream's name."""
    mark = getattr(error, "problem_mark", None)
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).splitlines()[0]
    if mark is None:
        return Diagnostic(f"not valid YAML: {reason}", file=file or getattr(error, "name", None))
    cure = "name each key once" if "duplicate key" in reason else "check indentation, colons and quotes"
    where = {"file": file or mark.name, "line": mark.line + 1, "column": mark.column + 1}
    return Diagnostic(f"not valid YAML: {reason}", suggestion=cure, **where)


def _too_large(file: str, size: int, limits: YamlLimits) -> InputError:
    cure = f"at most {limits.size // MIB} MiB are read"
    return InputError.at(file, f"is too large for a YAML file of this kind ({size} bytes)", cure=cure)


class _Gauge:
    """Counts the values of a document, from its events, as if every alias were written out."""

    def __init__(self, limits: YamlLimits) -> None:
        self.limits = limits
        self.values = 0
        self.copies = 0
        self.finished: dict[str, int] = {}  # anchor -> values below it
        self.open: list[tuple[str | None, int]] = []  # anchor, values so far

    def add(self, event: Any) -> str:
        """Count an event; return what is beyond the limits, or an empty string."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.finished and any(anchor == event.anchor for anchor, _ in self.open):
                return f"the alias *{event.anchor} stands inside what it repeats"
            weight = self.finished.get(str(event.anchor), 0)
            self.copies += weight
            self._below(weight)
        elif isinstance(event, yaml.ScalarEvent):
            self.values += 1
            self._finish(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.values += 1
            self.finished.pop(event.anchor or "", None)
            self.open.append((event.anchor, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._finish(*self.open.pop())
        return self._beyond()

    def _finish(self, anchor: str | None, weight: int) -> None:
        if anchor:
            self.finished[anchor] = weight
        self._below(weight)

    def _below(self, weight: int) -> None:
        if self.open:
            anchor, before = self.open[-1]
            self.open[-1] = (anchor, before + weight)

    def _beyond(self) -> str:
        limits = self.limits
        if self.values > limits.values:
            return f"more than {limits.values} values"
        if self.copies > limits.copies:
            return f"aliases repeat more than {limits.copies} values"
        return f"nested deeper than {limits.depth} levels" if len(self.open) > limits.depth else ""


def _measure(text: str, file: str, limits: YamlLimits) -> None:
    """Raise InputError where a document passes the limits; no node is made for it."""
    gauge = _Gauge(limits)
    for event in yaml.parse(text, Loader=_Loader):
        problem = gauge.add(event)
        if problem:
            raise InputError(node_problem(event, file, problem))


def node_problem(node: Any, file: str, message: str, key: str = "", cure: str = "", **value: Any) -> Diagnostic:
    """Return the mistake `message` at the place where `node` (or a parser event) begins."""
    mark = node.start_mark
    return Diagnostic(message, key, suggestion=cure, file=file, line=mark.line + 1, column=mark.column + 1, **value)


def keyed(node: yaml.MappingNode, file: str, errors: list[Diagnostic]) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Return key -> (its node, its value's node); a key that is no scalar, or is there twice, joins `errors`."""
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            errors.append(node_problem(key, file, "a key should be a word", cure="write key: value"))
        elif key.value in found:
            errors.append(node_problem(key, file, "is given twice", shown_text(key.value), "name each key once"))
        else:
            found[key.value] = (key, value)
    return found


def shown_text(text: str, limit: int = 60) -> str:
    """Return `text` for a message: what cannot be printed is escaped, what is long is cut."""
    shown = printable(text[: limit + 1], keep="")
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def scalar_value(node: yaml.ScalarNode) -> Any:
    """Return the value that a scalar stands for under its tag.

    Raises:
        ValueError: the text does not fit the tag (``!!bool maybe``), or an integer has more than 64 bits.
    """
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > 4 * INT_BITS:
        raise ValueError(_LONG)
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except _MISFITS:
        raise ValueError(f"is no value of the type {node.tag.rpartition(':')[2] or node.tag}") from None
    if isinstance(value, int) and value.bit_length() > INT_BITS:
        raise ValueError(_LONG)
    return value


def plain_value(node: yaml.Node) -> Any:
    """Return the value of a node whose scalars were checked: a list, a dict with its keys as text, or a scalar."""
    if isinstance(node, yaml.SequenceNode):
        return [plain_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain_value(value) for key, value in node.value}
    return scalar_value(node) if isinstance(node, yaml.ScalarNode) else None


_LONG = f"is an integer of more than {INT_BITS} bits"


def check_scalars(root: yaml.Node | None, file: str) -> list[Diagnostic]:
    """Return what is wrong with the scalars of a document, each at its place."""
    found: list[Diagnostic] = []
    seen: set[int] = set()
    waiting = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _AS_WRITTEN:
                try:
                    scalar_value(node)
                except ValueError as error:
                    found.append(node_problem(node, file, str(error), value=shown_text(node.value)))
        elif isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in reversed(node.value) for part in reversed(pair))
        else:
            waiting.extend(reversed(node.value))
    return found
