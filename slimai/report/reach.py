"""Which tensors go further on the validation pictures than their integers reach, which calibration decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from slimai.quantizer.levels import limits_of
from slimai.quantizer.params import QParams

FACTOR = 1.25  # of what a tensor's integers reach, from which on it is named
NAMED = 12  # most that are named one by one


@dataclass
class Reach:
    """The smallest and the largest float value of each tensor that was looked at."""

    seen: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, tensor: str, values: NDArray[Any]) -> None:
        """Take in float values of a tensor."""
        if values.size:
            low, high = float(values.min()), float(values.max())
            before = self.seen.get(tensor, (low, high))
            self.seen[tensor] = (min(low, before[0]), max(high, before[1]))

    def factors(self, tensors: Mapping[str, QParams]) -> dict[str, float]:
        """Return by how much each tensor leaves what its integers reach: 1 + excess / reach, 1 where it does not."""
        found = {}
        for name, (low, high) in self.seen.items():
            least, most = limits_of(tensors[name])
            excess = max(least - low, high - most, 0.0)
            found[name] = 1.0 + excess / max(abs(least), abs(most))
        return found


def reach_notes(reach: Reach, tensors: Mapping[str, QParams], names: Mapping[str, str]) -> list[str]:
    """Return sentences for the report that name the tensors left by more than FACTOR, the furthest first.

    names: tensor -> name in the profile.
    """
    far = [(factor, name) for name, factor in reach.factors(tensors).items() if factor > FACTOR]
    far.sort(key=lambda item: (-item[0], item[1]))
    notes = [
        f"{names.get(name, name)}: validation pictures go {factor:.2f} times as far as its integers reach "
        f"(named from {FACTOR:g} on): calibrate on more pictures, or edit its limits"
        for factor, name in far[:NAMED]
    ]
    if len(far) > NAMED:
        notes.append(f"{len(far) - NAMED} more tensors are left by more than a factor of {FACTOR:g}")
    return notes
