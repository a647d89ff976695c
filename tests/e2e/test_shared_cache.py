"""Runs at the same time share one calibration pass through the cache; a killed one holds nobody up."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow
BASE = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "quantization.equalization=false",  # on auto each level may have a float network, and so a pass, of its own
    "dataset.validation_count=16",
    "quantization.range=100",
)
LIMIT = 300  # seconds, as for other runs: on a machine that is busy with others a start takes a minute
# A run that writes down when it asks for the cache and when it begins a pass; the pass then waits for the file "go".
TOLD = """
import os, sys, time
from pathlib import Path
import slimai.app.float_pass.shared as passes
import slimai.artifacts.cache as cache
from slimai.app.cli import main

folder = Path(sys.argv[1])

def tell(what):
    (folder / f"{what}-{os.getpid()}").touch()

class Asking(cache.FileLock):
    def acquire(self, *args, **kwargs):
        tell("asks")
        return super().acquire(*args, **kwargs)

def collect(*args, **kwargs):
    tell("pass")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return plain(*args, **kwargs)

plain, passes.collect, cache.FileLock = passes.collect, collect, Asking
sys.exit(main(sys.argv[2:]))
"""


class Runs:
    """Starts told runs and waits for what they tell."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, name, *words):
        output = (f"path.output_dir={self.folder / name}", f"path.tmp_dir={self.folder / 'cache'}")
        command = [sys.executable, "-c", TOLD, str(self.folder), *BASE, *words, *output]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def told(self, what):
        return len(list(self.folder.glob(f"{what}-*")))

    def wait(self, what, count):
        end = time.monotonic() + LIMIT
        while self.told(what) < count:
            assert time.monotonic() < end, f"{what}: {self.told(what)} of {count}"
            assert all(process.poll() is None for process in self.started)
            time.sleep(0.05)


@pytest.fixture
def runs(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    for process in runs.started:
        process.kill()
        process.communicate()


def test_two_runs_at_the_same_time_make_one_pass(runs, tmp_path):
    first = runs.start("one", "quantization.accuracy_level=0")
    runs.wait("pass", 1)
    second = runs.start("two", "quantization.accuracy_level=3")
    runs.wait("asks", 2)
    time.sleep(0.5)
    assert runs.told("pass") == 1, "the second waits for the pass of the first"
    (tmp_path / "go").touch()
    told = [process.communicate(timeout=LIMIT)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert runs.told("pass") == 1
    assert ["calibration: found in the cache (64 images)" in text for text in told] == [False, True]
    assert len(list((tmp_path / "cache").glob("*.stats.npz"))) == 1


def test_a_killed_run_does_not_block_the_one_that_waits(runs, tmp_path):
    first = runs.start("one")
    runs.wait("pass", 1)
    second = runs.start("two")
    runs.wait("asks", 2)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    runs.started.remove(first)
    runs.wait("pass", 2)
    (tmp_path / "go").touch()
    _, told = second.communicate(timeout=LIMIT)
    assert second.returncode == 0, told
    assert "found in the cache" not in told
    assert len(list((tmp_path / "cache").glob("*.stats.npz"))) == 1


def test_a_multirun_ends_with_its_table_as_text_csv_and_json(slimai, tmp_path):
    """Every figure is that of the job's own run.json; the jobs share the pass of the first."""
    words = ("quantization.accuracy_level=0,3", "quantization.range=99,100", f"path.output_dir={tmp_path / 'out'}")
    done = slimai("-m", *BASE[:4], *words)
    assert done.returncode == 0, done.stderr
    jobs = json.loads((tmp_path / "out" / "multirun.json").read_text())["jobs"]
    with (tmp_path / "out" / "multirun.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, job in zip(rows, jobs, strict=True):
        low, high = job["interval"]
        flat = {**{key: value for key, value in job.items() if key != "interval"}, "low": low, "high": high}
        assert row == {key: "" if value is None else str(value) for key, value in flat.items()}
    logs = [(tmp_path / "out" / f"job{number}" / "slimai.log").read_text() for number in range(4)]
    assert ["found in the cache" in log for log in logs] == [False, True, True, True]
    table = done.stdout.splitlines()
    swept_keys = ["accuracy_level", "range"]
    assert table[0].split() == ["profile", "job", *swept_keys, "float", "score", "est.", "ms", "status"]
    combinations = [(0, 99), (0, 100), (3, 99), (3, 100)]
    for job, line, (level, percent) in zip(jobs, table[2:6], combinations, strict=True):
        run = json.loads((tmp_path / "out" / f"job{job['job']}" / "run.json").read_text())
        best = run["best"]
        swept = [f"quantization.accuracy_level={level}", f"quantization.range={percent}"]
        assert job["overrides"].split()[4:6] == swept
        assert job == {
            "job": job["job"],
            "status": "done",
            "overrides": job["overrides"],
            "float": run["float"]["score"],
            "score": best["score"],
            "interval": best["interval"],
            "metric": "top1",
            "value": best["value"],
            "profile": best["profile"],
            "level": level,
            "range": float(percent),
            "ms": best["latency_ms"],
            "message": "",
        }
        figures = (f"{job['float']:.4f}", f"{job['score']:.4f}", f"{job['ms']:.3f}", "done")
        name, *others = line.split()
        assert others == [str(job["job"]), str(level), str(percent), *figures]
        assert name == job["profile"].removesuffix(".yaml")
        assert len(line) == len(table[0])
    assert table[6] == f"summary: {tmp_path / 'out' / 'multirun.csv'}"
