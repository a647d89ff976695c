"""How many bytes a run may hold, holds, and has held."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

MIB = 1 << 20


def default_memory_limit() -> int:
    """Return half of the machine's memory, in bytes."""
    import psutil  # noqa: PLC0415 - spares psutil

    return int(psutil.virtual_memory().total // 2)


def resident_bytes() -> int:
    """Return the memory that this process holds, in bytes."""
    import psutil  # noqa: PLC0415 - spares psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def passed_limit(memory_limit: int | None, peak: int) -> str:
    """Return what to say of a limit that was given and passed, by the search or by what comes before and after it."""
    if memory_limit is None or peak <= memory_limit:
        return ""
    return (
        f"smart_search.memory_limit: this process has held up to {-(-peak // MIB)} MiB, more than "
        f"{memory_limit // MIB} MiB: calibration and report need what they need; give at least that much"
    )


def worker_share(memory_limit: int, workers: int, warn: Callable[[str], None]) -> int:
    """Return the bytes that each of some workers of this machine may hold beside this process.

    A worker imports what this process has, opens the same network and reads the same statistics; `warn` is told when
    that alone is more than its share.
    """
    held = resident_bytes()
    share = max(1, (memory_limit - held) // workers)
    if share < held:
        warn(
            f"smart_search.memory_limit: {memory_limit // MIB} MiB are too little for {workers} workers: this process "
            f"holds {held // MIB} MiB and each worker will hold about as much; the search goes on, "
            f"give at least {(workers + 1) * held // MIB} MiB or lower smart_search.workers"
        )
    return share
