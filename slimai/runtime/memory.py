"""Memory that was freed but not given back."""

from __future__ import annotations

import ctypes


def return_freed() -> None:
    """Give freed memory back to the system, where the C library keeps it for later (glibc does)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
