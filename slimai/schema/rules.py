"""Rules that span sections or fields. Each rule yields every problem that it finds; none stops another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from slimai.schema.root import SlimaiConfig

_UNSET: Any = object()


@dataclass(frozen=True)
class Problem:
    """A broken rule: the dotted key to change, what is wrong, its value, what to do."""

    key: str
    message: str
    cure: str = ""
    value: Any = field(default=_UNSET, compare=False)
    severity: Literal["error", "warning"] = "error"

    @property
    def has_value(self) -> bool:
        """Whether a value was given."""
        return self.value is not _UNSET


@dataclass(frozen=True)
class Rule:
    """A check and the dotted keys that it reads; it is skipped where one of them is itself wrong."""

    check: Callable[[SlimaiConfig], Iterator[Problem]]
    reads: tuple[str, ...]


def problems(config: SlimaiConfig, broken: frozenset[str] = frozenset()) -> list[Problem]:
    """Return every broken rule of `config`; `broken` names dotted keys that are wrong already."""
    return [
        problem
        for rule in RULES
        if not any(_touches(key, broken) for key in rule.reads)
        for problem in rule.check(config)
    ]


def _touches(key: str, broken: frozenset[str]) -> bool:
    return any(key == bad or key.startswith(bad + ".") or bad.startswith(key + ".") for bad in broken)


RULES: tuple[Rule, ...] = ()
