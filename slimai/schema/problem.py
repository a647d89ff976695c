"""A broken rule as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

_UNSET: Any = object()


@dataclass(frozen=True)
class Problem:
    """A broken rule: the dotted key to change, what is wrong, what to do, its value."""

    key: str
    message: str
    cure: str = ""
    value: Any = field(default=_UNSET, compare=False)
    severity: Literal["error", "warning"] = "error"

    @property
    def has_value(self) -> bool:
        """Whether a value was given."""
        return self.value is not _UNSET
