"""NumPy twin of `_kernels_bytes`: same name, signature and integers."""

from __future__ import annotations

from typing import Any


def look_up_bytes(x: Any, flip: Any, table: Any, out: Any) -> None:
    """Write table[x ^ flip]."""
    out[...] = table[x ^ flip]
