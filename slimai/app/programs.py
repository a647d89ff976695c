"""Compiled candidates that are being run: as many as memory allows, the least recently used given back first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from slimai.app.quantize import QuantizedCandidate
from slimai.search.candidate import Candidate
from slimai.search.evaluate import Runner

SHARE = 0.8  # of the memory limit, from which programs are given back


def default_memory_limit() -> int:
    """Return half of the machine's memory, in bytes."""
    import psutil

    return int(psutil.virtual_memory().total // 2)


def resident_bytes() -> int:
    """Return the memory that this process holds, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


class Planned:
    """Plans that a search asks for twice: to enter a candidate, and to run it. They wait here in between."""

    def __init__(self, build: Callable[[Candidate], QuantizedCandidate], most: int = 64) -> None:
        self._build = build
        self._most = most
        self._waiting: OrderedDict[Candidate, QuantizedCandidate] = OrderedDict()

    def prepare(self, candidate: Candidate) -> QuantizedCandidate:
        """Return the candidate, planned now; the next `take` has it again."""
        made = self._waiting[candidate] = self._build(candidate)
        if len(self._waiting) > self._most:
            self._waiting.popitem(last=False)
        return made

    def take(self, candidate: Candidate) -> QuantizedCandidate:
        """Return the candidate that was prepared last, and forget it; planned anew where none waits."""
        found = self._waiting.pop(candidate, None)
        return self._build(candidate) if found is None else found


class Programs:
    """Runs any candidate; keeps compiled ones for the next rung of a race."""

    def __init__(self, build: Callable[[Candidate], QuantizedCandidate], memory_limit: int, most: int = 64) -> None:
        self._build = build
        self._limit = int(memory_limit * SHARE)
        self._most = most
        self._kept: OrderedDict[Candidate, QuantizedCandidate] = OrderedDict()

    def runner(self, candidate: Candidate) -> Runner:
        """Return what runs `candidate`, compiled now or earlier."""
        if candidate in self._kept:
            self._kept.move_to_end(candidate)
        else:
            while self._kept and (len(self._kept) >= self._most or resident_bytes() > self._limit):
                self._kept.popitem(last=False)
            self._kept[candidate] = self._build(candidate)
        return self._kept[candidate].runner()

    def __len__(self) -> int:
        return len(self._kept)
