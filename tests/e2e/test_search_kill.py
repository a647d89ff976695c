"""A search that is killed anywhere and started again ends with the files of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MOST_POINTS = 200
IMAGES, CANDIDATES = 96, 8
WORDS = (
    "+model=mobilenet_digits",
    f"dataset.validation_count={IMAGES}",
    "quantization.accuracy_level=[0,3]",
    "quantization.range=70:100:10",
)
STRATEGIES = ("exhaustive", "racing")
# what may differ between equal runs (SPEC 11.5), and the state that is not a result
OTHER = {"timings.json", "slimai.log", ".slimai.lock"}


def points() -> int:
    """Return how many kills are tried a strategy: SLIMAI_KILL_POINTS in all, at most 200."""
    return max(1, min(MOST_POINTS, int(os.environ.get("SLIMAI_KILL_POINTS", "8"))) // len(STRATEGIES))


def files(output: Path) -> dict[str, bytes]:
    """Return the result files by their path in the output folder."""
    found = (path for path in output.rglob("*") if path.is_file())
    names = {path.relative_to(output).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in names.items() if name not in OTHER and ".slimai/" not in name}


def command(output: Path, cache: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "slimai", *WORDS, f"path.output_dir={output}", f"path.tmp_dir={cache}", *words]


def start(output: Path, cache: Path, *words: str) -> subprocess.Popen:
    """Start the search in a session of its own, so that nothing of it can survive unseen."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(output, cache, *words),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(output: Path, cache: Path, *words: str) -> None:
    process = start(output, cache, *words)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told


def kill_after(process: subprocess.Popen, output: Path, seconds: float, *, from_start: bool) -> bool:
    """Kill the process that long after it began (or after it began to write); False when it had ended before."""
    while not from_start and not (output / ".slimai" / "journal.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return alive


@pytest.fixture(scope="module", params=STRATEGIES)
def undisturbed(request, tmp_path_factory, cache_dir):
    """Return (strategy, its files, seconds from the first journal line to the end)."""
    strategy = request.param
    output = tmp_path_factory.mktemp("whole")
    process = start(output, cache_dir, f"smart_search.strategy={strategy}")
    while not (output / ".slimai" / "journal.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    before = time.monotonic()
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    found = files(output)
    assert {"run.json", "BestProfile.txt", "mobilenet_digits_quant.onnx", "mobilenet_digits_quant.npz"} <= set(found)
    assert len(json.loads(found["run.json"])["candidates"]) == CANDIDATES
    return strategy, found, time.monotonic() - before


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bytes(undisturbed, tmp_path, cache_dir):
    """Every point: a fresh folder, one or two kills at seeded moments, then one run to the end."""
    strategy, expected, seconds = undisturbed
    rng = random.Random(7)
    kills = 0
    for point in range(points()):
        output = tmp_path / f"{strategy}{point}"
        for _ in range(1 + point % 2):
            process = start(output, cache_dir, f"smart_search.strategy={strategy}")
            early = point % 6 == 5
            kills += kill_after(process, output, rng.uniform(0, 2.0 if early else seconds), from_start=early)
        run(output, cache_dir, f"smart_search.strategy={strategy}")
        found = files(output)
        assert set(found) == set(expected), f"point {point}"
        assert [name for name in found if found[name] != expected[name]] == [], f"point {point}"
    assert kills >= points() * 0.6, "too few kills hit a running search: the moments are badly chosen"


@pytest.mark.slow
def test_workers_give_the_same_bytes_and_do_not_outlive_a_killed_search(tmp_path, cache_dir):
    import psutil

    words = ("dataset.validation_count=32", "quantization.range=92:100:8", "smart_search.seed=0")
    run(tmp_path / "one", cache_dir, *words)
    output = tmp_path / "two"
    process = start(output, cache_dir, *words, "smart_search.workers=2")
    workers = []
    while len(workers) < 2 and process.poll() is None:
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    run(output, cache_dir, *words, "smart_search.workers=2")
    one, two = files(tmp_path / "one"), files(output)
    assert one == two
