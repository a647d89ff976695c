"""What a certified race says of its winner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Guarantee:
    """The winner is more than `tolerance` below the best candidate of the whole set with probability `error` at most.

    Over the random order of the images. missing: why there is no guarantee, empty where there is one. share: images run
    over those of an exhaustive search, all candidates together.
    """

    tolerance: float
    error: float
    share: float
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that run.json holds."""
        kind = "none" if self.missing else "certified"
        found = {"guarantee": kind, "tolerance": self.tolerance, "error": self.error, "forwards_share": self.share}
        return {**found, "reason": self.missing} if self.missing else found

    def __str__(self) -> str:
        """Return the sentence below the table of a run."""
        if self.missing:
            return f"none: {self.missing}"
        return (
            f"at least {1 - self.error:.0%} that no candidate is more than {self.tolerance:g} above the winner "
            f"({self.share:.0%} of the forwards)"
        )
