"""Peak memory of a search under `smart_search.memory_limit`, stage by stage, and what the limit costs in time.

32 candidates (levels 0-3 x ranges 93..100) race on MobileNetV2 at 224 x 224 (the network and photographs of search.py,
fewer images), so that compiled candidates are kept from rung to rung. Each limit runs in its own process; a thread
reads its resident memory every 5 ms, and the peak of a stage is the largest reading within it. `peak MiB` is the
kernel's own figure over the whole process. With workers the children are added to the readings.

`python benchmarks/memory.py --limits 600MiB,1GiB,none`
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

MIB = 1 << 20
EVERY_S = 0.005
STAGES = (
    *("start", "calibrate", "float reference", "score candidates", "analyse layers", "round tensors alone"),
    *("try remedies", "score tensors alone", "try them together"),
)


class Peaks:
    """A reporter that notes the largest resident memory of each stage, of this process and its children."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self.warnings: list[str] = []
        self._title = "start"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._ended.wait(EVERY_S):
            held = me.memory_info().rss
            for child in me.children():
                try:
                    held += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peaks[self._title] = max(self.peaks.get(self._title, 0), held)

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Peaks]:  # noqa: ARG002
        """Yield this object while `title` is being done; what follows is counted apart."""
        self._title = title
        yield self
        self._title = f"after {title}"

    def advance(self, steps: int = 1) -> None:
        """Count nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def line(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.append(text)

    def close(self) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()


def measure(folder: Path, limit: str, strategy: str, workers: int) -> dict[str, Any]:
    """Run one search in this process and return its figures."""
    from search import search_config

    from slimai.app.run.pipeline import run_job

    settings: dict[str, Any] = {"strategy": strategy, "workers": workers}
    if limit != "none":
        settings["memory_limit"] = limit
    config = search_config(folder, folder / f"{limit}-{strategy}-{workers}", settings)
    reporter = Peaks()
    before = time.perf_counter()
    result = run_job(config, reporter=reporter)
    seconds = time.perf_counter() - before
    reporter.close()
    best = result.best
    return {
        "limit": limit,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peaks": {name: round(value / MIB) for name, value in reporter.peaks.items()},
        "search_seconds": result.seconds["search"],
        "seconds": seconds,
        "warnings": reporter.warnings,
        "best": None if best is None else [best.candidate.level, best.candidate.label, best.score],
    }


def main() -> None:
    """Run every limit in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", default="600MiB,1GiB,none")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--strategy", default="racing")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--in-folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_folder:
        print(json.dumps(measure(given.in_folder, given.limits, given.strategy, given.workers)))
        return
    from search import make_inputs

    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name), given.images, given.size)
        print("| limit | peak MiB | " + " | ".join(STAGES) + " | search, s | all, s |\n|" + "---|" * (len(STAGES) + 4))
        for limit in given.limits.split(","):
            words = ["--in-folder", name, "--limits", limit, "--strategy", given.strategy]
            words += ["--workers", str(given.workers)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, __file__, *words], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"| {limit} | {done.stderr.strip().splitlines()[-1]} |")
                continue
            print(line(json.loads(done.stdout.splitlines()[-1])), flush=True)


def line(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    cells = [str(row["peaks"].get(name, "-")) for name in STAGES]
    said = "".join(f"\n{warning}" for warning in row["warnings"])
    return (
        f"| {row['limit']} | {row['peak']:.0f} | {' | '.join(cells)} | {row['search_seconds']:.1f} |"
        f" {row['seconds']:.1f} | best {row['best']}{said}"
    )


if __name__ == "__main__":
    main()
