"""The time of a search over all its invocations: journaled as it passes, so that a killed one counts too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from slimai.artifacts.journal import Journal

KEEP_EVERY_S = 2.0  # a kill loses at most about this much of the time that counts

Clock = Callable[[], float]


class Stopwatch:
    """Counts the seconds of this invocation and of earlier ones under the same key.

    key: what the search computes. limit: seconds over all invocations, or None. started: when this invocation began.
    clock: monotonic seconds.
    """

    def __init__(
        self,
        journal: Journal,
        key: str,
        *,
        limit: float | None = None,
        started: float | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.clock = clock
        self._journal, self._key, self._limit = journal, key, limit
        self._kept = seconds_spent(journal, key)
        self._since = clock() if started is None else started

    @property
    def spent(self) -> float:
        """The seconds of all invocations until now."""
        return self._kept + self.clock() - self._since

    def left(self) -> float | None:
        """Return the seconds that the limit leaves, at least 0; None without a limit."""
        return None if self._limit is None else max(0.0, self._limit - self.spent)

    def late(self) -> bool:
        """Return whether the limit is reached."""
        return self._limit is not None and self.spent >= self._limit

    def keep(self, stage: str = "") -> None:
        """Journal the time since it was last journaled; `stage` is what has just been finished, if anything."""
        seconds = math.floor((self.clock() - self._since) * 1000) / 1000
        if seconds > 0 or stage:
            self._journal.append({"time_key": self._key, "seconds": seconds, "stage": stage})
            self._kept += seconds
            self._since += seconds

    def mark(self, stage: str) -> None:
        """Journal that a stage is finished whose time does not count."""
        self._journal.append({"time_key": self._key, "seconds": 0.0, "stage": stage})

    def tick(self) -> None:
        """Journal the time when enough of it has passed."""
        if self.clock() - self._since >= KEEP_EVERY_S:
            self.keep()


def seconds_spent(journal: Journal, key: str) -> float:
    """Return the seconds that are journaled under the key."""
    return sum(float(entry["seconds"]) for entry in journal.entries() if entry.get("time_key") == key)
