"""A search that is killed anywhere and started again ends with the files of one that was left alone.

A point: a fresh folder, kills until one has hit the phase it was aimed at (every other point is killed once more,
anywhere), then one run to the end whose files are compared. SLIMAI_KILL_POINTS=200 is the nightly mode.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.killing import PHASES, Place

pytestmark = pytest.mark.slow
POINTS = max(10, int(os.environ.get("SLIMAI_KILL_POINTS", "50")))
CANDIDATES = 8
TRIES = 8
MODEL = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "metric.metric_cls=cosine",
    "dataset.calibration_count=16",
    "smart_search.seed=0",
)
SEARCH = (*MODEL, "dataset.validation_count=48", "quantization.accuracy_level=[0,3]", "quantization.range=70:100:10")
ONE = (*MODEL, "dataset.validation_count=24", "quantization.accuracy_level=1", "quantization.range=100")
DUMPED = (*MODEL, "dataset.validation_count=16", "quantization.accuracy_level=[0,3]", "quantization.range=70:100:15")
# the two strategies take the points; the others are killed once in each phase that they change
STRATEGIES = ("exhaustive", "racing")
KINDS = {
    "exhaustive": (*SEARCH, "smart_search.strategy=exhaustive"),
    "racing": (*SEARCH, "smart_search.strategy=racing"),
    "workers": (*SEARCH, "smart_search.strategy=racing", "smart_search.workers=2"),
    "mix_auto": (*ONE, "quantization.mix=auto", "quantization.mix_goal.score=1", "quantization.bias_correction=false"),
    "empirical": (*ONE, "quantization.bias_correction=empirical"),
    "adjust": (*ONE, "metric.adjust=true"),
    "dumps": (*DUMPED, "metric.output_debug=3"),
}
CHUNKS = -(-POINTS // len(STRATEGIES) // len(PHASES))
FILES = {"run.json", "BestProfile.txt", "mobilenet_digits_quant.onnx", "mobilenet_digits_quant.npz", "report.html"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache_dir):
    """Return a function from a kind of search to (its files, seconds of each phase of a run with warm caches)."""

    @cache
    def run(kind):
        for name in ("first", "whole"):
            place = Place(tmp_path_factory.mktemp(kind) / name, cache_dir, KINDS[kind])
            place.finish()
        found = place.files()
        assert set(found) >= FILES
        seconds = json.loads((place.output / "timings.json").read_text())["seconds"]
        return found, {"calibration": 0.5, **{name: max(0.02, seconds[name]) for name in PHASES[1:]}}

    return run


def try_points(kind, phases, rng, expected, seconds, folder: Path, cache_dir: Path) -> None:
    """Kill a run in each of the phases, in a folder of its own, and compare what the next run ends with."""
    for number, phase in enumerate(phases):
        # calibration is done once a cache: only a fresh one can be killed in it
        cache = folder / f"cache{number}" if phase == "calibration" else cache_dir
        place = Place(folder / f"{phase}{number}", cache, KINDS[kind])
        hits = [place.kill_in(phase, rng.random(), seconds)]
        while hits[-1] != phase and len(hits) < TRIES:
            # what an earlier kill has left finished makes the phase shorter: nearer to its beginning each time
            hits.append(place.kill_in(phase, rng.random() * 0.5 ** len(hits), seconds))
        assert hits[-1] == phase, f"{TRIES} kills have missed {phase}: {hits}"
        if number % 2:
            place.kill_in(rng.choice(PHASES), rng.random(), seconds)
        place.finish()
        found = place.files()
        assert set(found) == set(expected), f"{phase}: {hits}"
        assert [name for name in found if found[name] != expected[name]] == [], f"{phase}: {hits}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_runs_end_with_the_same_bytes(undisturbed, tmp_path, cache_dir, strategy, chunk):
    expected, seconds = undisturbed(strategy)
    assert len(json.loads(expected["run.json"])["candidates"]) == CANDIDATES
    rng = random.Random(1000 * chunk + STRATEGIES.index(strategy))
    try_points(strategy, PHASES, rng, expected, seconds, tmp_path, cache_dir)


@pytest.mark.parametrize(
    ("kind", "phases"),
    [
        ("workers", ("search", "search", "gen_code")),
        ("mix_auto", ("search", "search", "gen_code")),
        ("empirical", ("search", "search", "gen_code")),
        ("adjust", ("search", "gen_code", "report")),
        ("dumps", ("search", "gen_code", "report", "report")),
    ],
)
def test_other_kinds_of_search_too(undisturbed, tmp_path, cache_dir, kind, phases):
    expected, seconds = undisturbed(kind)
    if kind == "workers":
        assert expected == undisturbed("racing")[0]
    try_points(kind, phases, random.Random(kind), expected, seconds, tmp_path, cache_dir)


@pytest.mark.parametrize("kind", ["exhaustive", "racing", "dumps"])
def test_interrupted_runs_end_with_the_same_bytes(undisturbed, tmp_path, cache_dir, kind):
    expected, seconds = undisturbed(kind)
    rng = random.Random(f"interrupts {kind}")
    for number in range(max(3, POINTS // 20)):
        place = Place(tmp_path / f"{number}", cache_dir, KINDS[kind])
        phase = PHASES[2 + number % 3]
        codes = [place.interrupt_in(phase, rng.random(), seconds)]
        if number % 2:
            codes.append(place.interrupt_in("search", rng.random(), seconds))
        assert set(codes) <= {0, 130}, (codes, place.log.read_text())
        place.finish()
        found = place.files()
        assert sorted(found) == sorted(expected), f"{phase}: {codes}"
        assert [name for name in found if found[name] != expected[name]] == [], f"{phase}: {codes}"


def test_workers_do_not_outlive_a_killed_search(tmp_path, cache_dir):
    import psutil

    words = (*KINDS["workers"], f"path.output_dir={tmp_path / 'out'}", f"path.tmp_dir={cache_dir}")
    process = subprocess.Popen([sys.executable, "-m", "slimai", *words], stderr=subprocess.PIPE, text=True)
    workers = []
    while len(workers) < 2 and process.poll() is None:
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
