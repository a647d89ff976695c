"""NumPy's floating-point warnings as errors that name what was being computed: such numbers are never an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from slimai.errors import InputError


@contextmanager
def guarded(where: str, doing: str) -> Iterator[None]:
    """Run a block in which overflow, invalid operations and divisions by zero of NumPy end the job.

    It holds for the thread that enters it. Blocks that expect such values say so by an `np.errstate` of their own.

    Args:
        where: the node or tensor that the message names.
        doing: what is done to it: "while <doing>".

    Raises:
        InputError: one of them happened.
    """
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            yield
    except FloatingPointError as error:
        cure = "check the ranges and scales of its tensors"
        raise InputError.at(where, f"{error} while {doing}", cure=cure) from error
