"""NumPy's floating-point warnings as errors that name what was being computed: such numbers are never an answer."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from slimai.errors import InputError


class guarded:  # noqa: N801 - reads as a statement; a class, for it is entered for every layer of every run
    """Run a block in which overflow, invalid operations and divisions by zero of NumPy end the job.

    It holds for the thread that enters it. Blocks that expect such values say so by an `np.errstate` of their own.

    Args:
        where: the node or tensor that the message names.
        doing: what is done to it: "while <doing>".

    Raises:
        InputError: one of them happened.
    """

    __slots__ = ("_doing", "_state", "_where")

    def __init__(self, where: str, doing: str) -> None:
        self._where, self._doing = where, doing
        self._state = np.errstate(over="raise", invalid="raise", divide="raise")

    def __enter__(self) -> None:
        self._state.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.__exit__(kind, error, trace)
        if isinstance(error, FloatingPointError):
            cure = "check the ranges and scales of its tensors"
            raise InputError.at(self._where, f"{error} while {self._doing}", cure=cure) from error
