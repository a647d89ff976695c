"""Means over networks of score / float score, from the rows of accuracy.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Row = Mapping[str, Any]

# What "best" and "other half" choose from at level 3: label -> (kind of row, three methods). OURS is the first.
TRIES: Mapping[str, tuple[str, tuple[str, str, str]]] = {
    "slimai": ("default", ("100", "p99.99", "ImprovedMSE")),
    "ort": ("ort", ("MinMax", "Percentile", "Entropy")),
    "nncf": ("nncf", ("mixed", "performance", "mixed+bc")),
    "nncf, one scale a tensor": ("nncf", ("mixed+tensor", "performance+tensor", "mixed+tensor+bc")),
    "aimet": ("aimet", ("min_max", "tf_enhanced", "tf_enhanced+cle")),
    "onnxsim": ("onnxsim", ("minmax", "percentile", "mse")),
    "quark": ("quark", ("A8W8", "INT8_CNN_DEFAULT", "XINT8")),
    "quark, one scale a channel": ("quark", ("A8W8+channel", "INT8_CNN_DEFAULT+channel", "XINT8")),
}
OURS = next(iter(TRIES))


class Score(NamedTuple):
    """Score of the metric, signal-to-quantization-noise ratio of the outputs in dB, and the two halves' scores."""

    score: float
    sqnr: float
    halves: tuple[float, float]


def as_row(row: Row) -> dict[str, Any]:
    """Return a row of a JSON file as it was before it was written."""
    return {key: Score(*value) if key.isdigit() or key == "float" else value for key, value in row.items()}


def print_summary(rows: Sequence[Row]) -> None:
    """Print by kind of row the mean over networks by level; then the best of each network, and the check by halves."""
    print("mean over networks of score / float score")
    for kind in dict.fromkeys((row["aids"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["aids"], row["method"]) == kind and "failed" not in row]
        levels = sorted({key for row in mine for key in row if key.isdigit()})
        shown = "  ".join(f"{level}: {_mean(mine, level):.4f}" for level in levels)
        print(f"  {kind[0]:10s} {kind[1]:18s} {shown}  ({len(mine)} networks)")
    for row in rows:
        if "failed" in row:
            print(f"  {row['network']}: {row['aids']} {row['method']} failed: {row['failed']}")
    print("level 3, the best of three methods of each network; chosen and reported on all images")
    _beside(rows, best)
    print("the same, chosen on the even (odd) images and reported on the odd (even) ones, the mean of both")
    _beside(rows, other_half)


def best(rows: Iterable[Row]) -> float:
    """Return the largest score of one network's rows at level 3 by its float score."""
    return max(row["3"].score / row["float"].score for row in rows)


def other_half(rows: Iterable[Row]) -> float:
    """Return score / float score of one network on the half that did not choose the method; the mean of both ways."""
    rows = list(rows)
    found = []
    for half in (0, 1):
        chosen = max(rows, key=lambda row, half=half: row["3"].halves[half])  # the first of equals
        found.append(chosen["3"].halves[1 - half] / chosen["float"].halves[1 - half])
    return float(np.mean(found))


def _beside(rows: Sequence[Row], value: Callable[[list[Row]], float]) -> None:
    """Print the mean of a value of each tool, and ours over the networks that the tool ran on."""
    ours = _by_network(rows, OURS)
    for label in TRIES:
        found = ours if label == OURS else _by_network(rows, label)
        if not found:
            continue
        shared = [name for name in found if name in ours]
        beside = f", ours there {np.mean([value(ours[name]) for name in shared]):.4f}" if shared else ""
        beside = "" if label == OURS else beside
        mean = np.mean([value(tries) for tries in found.values()])
        print(f"  {label:26s} {mean:.4f}  ({len(found)} networks{beside})")


def _by_network(rows: Sequence[Row], label: str) -> dict[str, list[Row]]:
    """Return the rows of a label's tries at level 3 by network, in the order of the tries."""
    kind, methods = TRIES[label]
    found: dict[str, list[Row]] = {}
    for method in methods:
        for row in rows:
            if (row["aids"], row["method"]) == (kind, method) and "3" in row:
                found.setdefault(row["network"], []).append(row)
    return found


def _mean(rows: Iterable[Row], level: str) -> float:
    return float(np.mean([row[level].score / row["float"].score for row in rows if level in row]))
