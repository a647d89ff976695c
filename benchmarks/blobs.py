"""Blob text against numpy.savetxt and numpy.loadtxt, side by side: ``python benchmarks/blobs.py``.

Prints how many times faster slimai writes and reads 75,000 float32 values; the best of seven runs each.
The goal is 4 times for writing and 3 times for reading.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np

from slimai.blobs.reader import parse_blob
from slimai.blobs.writer import format_float_blob


def best_of(action: Callable[[], object], runs: int = 7) -> float:
    """Return the shortest time of `runs` calls in seconds, after one call that compiles and warms up."""
    action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def savetxt(values: np.ndarray) -> bytes:
    """Return '%f' text by NumPy."""
    file = io.BytesIO()
    np.savetxt(file, values, fmt="%f")
    return file.getvalue()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=75_000)
    count = parser.parse_args().count
    values = np.random.default_rng(0).normal(size=(1, count)).astype(np.float32)
    data = format_float_blob(values)
    line = savetxt(values.reshape(1, -1))
    assert data.split(b"\n")[1] == line.strip()
    column = line.replace(b" ", b"\n")
    write, read = best_of(lambda: format_float_blob(values)), best_of(lambda: parse_blob(data, "blob"))
    rows = [
        ("write", write, best_of(lambda: savetxt(values.reshape(1, -1))), "savetxt, one row"),
        ("write", write, best_of(lambda: savetxt(values.reshape(-1))), "savetxt, one column"),
        ("read", read, best_of(lambda: np.loadtxt(io.BytesIO(line))), "loadtxt, one row"),
        ("read", read, best_of(lambda: np.loadtxt(io.BytesIO(column))), "loadtxt, one column"),
    ]
    print(f"{count} float32 values")
    for what, ours, theirs, peer in rows:
        print(f"{what:6} slimai {ours * 1e3:7.2f} ms   {peer:20} {theirs * 1e3:7.2f} ms   {theirs / ours:5.1f} x")


if __name__ == "__main__":
    main()
