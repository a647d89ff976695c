"""How much sooner two workers end a search than one process, by the clock.

Usage: python benchmarks/workers.py [--images 64] [--size 224] [--repeats 3]

The search of benchmarks/search.py (MobileNetV2 with seeded weights, levels 0-3 x 8 ranges, nearest weights): the time
from the start of the Python process to the end of the search, calibration and the workers' own start included, the
report left out. Each run has a cold cache; one and two workers take turns, and the smallest time of each counts. It
needs two free cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def one(folder: Path, workers: int) -> dict[str, float]:
    """Run the search in this process; return seconds since the process began, and the best score."""
    import psutil
    from search import search_config

    from slimai.app.run import pipeline

    ended: list[float] = []
    setattr(pipeline.Inspection, "finish", lambda *_: ended.append(time.time()))  # noqa: B010
    settings = {"strategy": "exhaustive", "workers": workers}
    with tempfile.TemporaryDirectory(dir=folder) as output:
        result = pipeline.run_job(search_config(folder, Path(output), settings))
    best = result.best
    return {"seconds": ended[0] - psutil.Process().create_time(), "best": -1.0 if best is None else best.score or 0.0}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(Path(given.one[0]), int(given.one[1]))))
        return
    from search import make_inputs

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    rows: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name), given.images, given.size)
        for _ in range(given.repeats):
            for workers, found in rows.items():
                words = [sys.executable, __file__, "--one", name, str(workers)]
                done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                found.append(json.loads(done.stdout.splitlines()[-1]))
    scores = {row["best"] for found in rows.values() for row in found}
    if len(scores) != 1:
        raise SystemExit(f"the best scores differ: {sorted(scores)}")
    print("| workers | seconds, smallest | all |\n|---|---|---|")
    for workers, found in rows.items():
        seconds = [row["seconds"] for row in found]
        print(f"| {workers} | {min(seconds):.1f} | {', '.join(f'{item:.1f}' for item in seconds)} |")
    smallest = [min(row["seconds"] for row in found) for found in rows.values()]
    print(f"\n{smallest[0] / smallest[1]:.2f} times as fast with two workers")


if __name__ == "__main__":
    main()
