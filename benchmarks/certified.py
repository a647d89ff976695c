"""What a certified race costs, and how often it errs, on seeded records without any network.

Usage: python benchmarks/certified.py [--races 20]

Each row: 32 candidates, 1,000 images; losers differ from the best on a share of the images and trail by `gap`. Shares
are of the forwards of an exhaustive search; "worse" counts winners more than 0.005 below the best of all.
"""

from __future__ import annotations

import argparse

import numpy as np

CANDIDATES, IMAGES, TOLERANCE, ERROR = 32, 1000, 0.005, 0.05
ROWS = ((0.1, 0.25), (0.05, 0.15), (0.02, 0.06), (0.006, 0.1))  # gap, share of images that differ


def records(rng: np.random.Generator, gap: float, differing: float) -> np.ndarray:
    """Return [candidates, images] of 0 and 1; the first row is the best."""
    best = (rng.random(IMAGES) < 0.8).astype(float)
    rows = [best]
    for _ in range(CANDIDATES - 1):
        row = best.copy()
        ones, zeros = np.flatnonzero(best == 1), np.flatnonzero(best == 0)
        row[rng.permutation(ones)[: round(IMAGES * (differing + gap) / 2)]] = 0
        row[rng.permutation(zeros)[: round(IMAGES * (differing - gap) / 2)]] = 1
        rows.append(row)
    return np.array(rows)


def race(rows: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return how far the winner is below the best, and the share of the forwards."""
    from slimai.search.certified import Certificate, certified_rungs

    seen = rows[:, rng.permutation(IMAGES)]
    certificate, alive = Certificate(len(rows), IMAGES, TOLERANCE, ERROR), set(range(len(rows)))
    run = before = 0
    for size in certified_rungs(IMAGES):
        run += len(alive) * (size - before)
        before = size
        if size < IMAGES:
            out = certificate.dropped({str(index): seen[index, :size] for index in alive})
            alive -= {int(name) for name in out}
    means = rows.mean(axis=1)
    return float(means.max() - means[list(alive)].max()), run / rows.size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--races", type=int, default=20)
    races = parser.parse_args().races
    print("| gap | images that differ | forwards | worse |\n|---|---|---|---|")
    for gap, differing in ROWS:
        rng = np.random.default_rng(0)
        found = [race(records(rng, gap, differing), rng) for _ in range(races)]
        worse = sum(lost > TOLERANCE for lost, _ in found)
        print(f"| {gap:g} | {differing:.0%} | {np.mean([share for _, share in found]):.0%} | {worse} of {races} |")


if __name__ == "__main__":
    main()
