"""Faults that the net has found and that are not cured yet: each is named, and this list has to become empty.

A row excuses one kind of failure only: the check in which it shows and words of its message, for networks that can have
the fault at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from net_builder import Case


def always(case: Case) -> bool:
    """Any network."""
    return True


@dataclass(frozen=True)
class Known:
    """fault: name and kind. words: of the message. checks: where it shows (empty: anywhere). when: in which nets."""

    fault: str
    words: str
    checks: tuple[str, ...] = ()
    when: Callable[[Case], bool] = always

    def covers(self, case: Case, check: str, message: str) -> bool:
        """Return whether this fault explains a failure."""
        return (not self.checks or check in self.checks) and self.words in message and self.when(case)


def has(*features: str) -> Callable[[Case], bool]:
    """Return a condition: the network has one of these features."""
    return lambda case: any(item in case.features for item in features)


KNOWN: tuple[Known, ...] = ()

# Of ONNX's own node tests: the fault, words of the name, words of what is wrong.
KNOWN_NODES: tuple[tuple[str, str, str], ...] = ()


def node_fault(name: str, problem: str) -> str:
    """Return the known fault that explains what is wrong with a node test, or an empty string."""
    return next((fault for fault, part, words in KNOWN_NODES if part in name and words in problem), "")
