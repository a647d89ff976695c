"""Compiled candidates that are being run: as many as memory allows, the least recently used given back first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from slimai.app.candidates.memory_limit import MIB, resident_bytes
from slimai.app.candidates.quantizer import QuantizedCandidate
from slimai.runtime.memory import return_freed
from slimai.search.candidate import Candidate
from slimai.search.evaluate import Runner

SHARE = 0.9  # of the memory limit, from which programs are given back: what a batch takes beside is not seen before


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

    def clear(self) -> None:
        """Forget all plans that wait."""
        self._waiting.clear()


class Programs:
    """Runs any candidate; keeps compiled ones for the next rung of a race.

    memory_limit: bytes of this process. warn: is told once when one candidate alone does not fit. spare: gives back
    what can be made again, when no program is left to give back. resident: bytes that are held now.
    """

    def __init__(
        self,
        build: Callable[[Candidate], QuantizedCandidate],
        memory_limit: int,
        *,
        most: int = 64,
        warn: Callable[[str], None] = lambda _: None,
        spare: Callable[[], None] = lambda: None,
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._build = build
        self._spare = spare
        self._memory_limit = memory_limit
        self._most = most
        self._warn, self._warned = warn, False
        self._resident = resident
        self._kept: OrderedDict[Candidate, QuantizedCandidate] = OrderedDict()
        self._largest = 0  # bytes by which compiling and first running a candidate has grown the process

    def runner(self, candidate: Candidate) -> Runner:
        """Return what runs `candidate`, compiled now or earlier."""
        item = self._kept.pop(candidate, None)
        self._make_room(0 if item is not None else self._largest)
        before = self._resident()
        fresh = item is None
        item = self._build(candidate) if item is None else item
        self._kept[candidate] = item
        run = item.runner()

        def measured(feeds: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
            outputs = run(feeds)
            nonlocal fresh
            if fresh:
                fresh = False
                held = self._resident()
                self._largest = max(self._largest, held - before)
                self._check(held)
            return outputs

        return measured

    def _make_room(self, growth: int) -> None:
        """Give programs back until `growth` more bytes fit, or none is left."""
        while self._kept and (len(self._kept) >= self._most or self._too_much(growth)):
            self._kept.popitem(last=False)
            return_freed()
        if self._too_much(growth):
            self._spare()
            return_freed()

    def _too_much(self, growth: int) -> bool:
        return self._resident() + growth > SHARE * self._memory_limit

    def _check(self, held: int) -> None:
        """Say once that the limit is too small: nothing more can be given back."""
        if held <= self._memory_limit or len(self._kept) > 1 or self._warned:
            return
        self._warned = True
        self._warn(
            f"smart_search.memory_limit: {self._memory_limit // MIB} MiB are too little for this network: the process "
            f"holds {-(-held // MIB)} MiB with one candidate; the search goes on, give at least that"
        )

    def clear(self) -> None:
        """Give all programs back."""
        self._kept.clear()
        return_freed()

    def __len__(self) -> int:
        return len(self._kept)
