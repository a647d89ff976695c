"""Room for the next step of a process that may hold so many bytes: what can be made again is given back before it."""

from __future__ import annotations

from collections.abc import Callable

from slimai.app.candidates.memory_limit import resident_bytes
from slimai.runtime.memory import return_freed

SHARE = 0.9  # of the memory limit, from which something is given back: what a batch takes beside is not seen before


class Room:
    """memory_limit: bytes of this process. spare: gives back what can be made again. resident: bytes held now."""

    def __init__(
        self, memory_limit: int, spare: Callable[[], None], *, resident: Callable[[], int] = resident_bytes
    ) -> None:
        self._memory_limit, self._spare, self._resident = memory_limit, spare, resident
        self._before: int | None = None
        self._largest = 0  # bytes by which a step has grown the process

    def make(self) -> None:
        """Begin a step: give back, where another one as large as the largest so far would not fit."""
        held = self._resident()
        if self._before is not None:
            self._largest = max(self._largest, held - self._before)
        if held + self._largest > SHARE * self._memory_limit:
            return_freed()
            held = self._resident()
            if held + self._largest > SHARE * self._memory_limit:
                self._spare()
                return_freed()
                held = self._resident()
        self._before = held
