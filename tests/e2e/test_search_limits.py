"""A search with a time limit, a full disk, a second run in its folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.e2e.killing import Place

# on an idle machine of two fast cores a minute exhaustively, some 15 seconds as a race
BASE = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "quantization.accuracy_level=[0,1,2,3]",
    "quantization.range=60:100:0.1",
)
CANDIDATES = 4 * 401
LIMIT = 5.0
FILES = {"run.json", "BestProfile.txt", "ProfileList.txt", "FixedPoint_Results.txt", "mobilenet_digits_quant.onnx"}
COUNTED = ("calibration", "float_inference", "search")
STARTUP = 3.0  # imports and checks before the first counted stage, on a busy machine


def start(*words, cwd):
    command = [sys.executable, "-m", "slimai", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module", params=["exhaustive", "racing"])
def limited(request, slimai, tmp_path_factory, cache_dir):
    """Return (folder, words) of a search that takes far longer than LIMIT, run with it."""
    output = tmp_path_factory.mktemp(request.param) / "out"
    words = (*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", "dataset.validation_count=256")
    words = (*words, "metric.metric_cls=cosine", f"smart_search.strategy={request.param}", "target.arithmetic=native")
    done = slimai(*words, f"smart_search.time_limit={LIMIT}")
    assert done.returncode == 0, done.stderr
    return output, words


def figures(output):
    """Return (run.json, seconds by stage, seconds that the journal counts)."""
    run = json.loads((output / "run.json").read_text())
    seconds = json.loads((output / "timings.json").read_text())["seconds"]
    lines = [json.loads(line) for line in (output / ".slimai" / "journal.jsonl").read_text().splitlines()]
    return run, seconds, sum(line["seconds"] for line in lines if "time_key" in line)


def full(run):
    found = (item for item in run["candidates"] if item["status"] == "full")
    return {(item["profile"], item["accuracy_level"]): item for item in found}


@pytest.mark.slow
def test_a_time_limit_is_kept_and_a_longer_one_continues(limited, slimai):
    output, words = limited
    first, seconds, counted = figures(output)
    assert first["cut_short"] is True
    assert "time limit" in first["cut_short_reason"]
    assert "# cut short" in (output / "FixedPoint_Results.txt").read_text()
    assert {path.name for path in output.iterdir()} >= FILES
    assert 1 <= len(full(first)) < CANDIDATES
    # the first candidate carries the loading of all kernels; what may follow the limit is one candidate's planning,
    # compiling, one batch (32 of 256 images) and the delivery of a new best, each less than all that one took here
    one = seconds["search"] / len(first["candidates"])
    spent = sum(seconds[name] for name in COUNTED)
    if len(full(first)) > 1:  # one candidate is completed whatever the limit
        assert spent <= LIMIT + max(1.0, 2 * one)
    assert spent - 0.1 <= counted <= spent + STARTUP
    again = slimai(*words, f"smart_search.time_limit={LIMIT}")
    assert again.returncode == 0, again.stderr
    second, seconds, _ = figures(output)
    assert full(first).items() <= full(second).items()
    assert second["cut_short"] is True
    assert second["best"]["score"] >= first["best"]["score"]
    assert seconds["search"] <= max(0.0, LIMIT - counted) + max(1.0, one)  # a race may have left a little
    longer = slimai(*words, f"smart_search.time_limit={4 * LIMIT + counted}")
    assert longer.returncode == 0, longer.stderr
    third, _, _ = figures(output)
    if "exhaustive" in str(output):
        assert len(full(third)) > len(full(first))
        assert all(full(third)[name] == item for name, item in full(first).items())
    else:
        assert third["best"]["score"] >= first["best"]["score"]


@pytest.mark.slow
def test_a_time_limit_is_kept_by_workers(slimai, tmp_path, cache_dir):
    output = tmp_path / "out"
    words = (*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", "dataset.validation_count=256")
    done = slimai(*words, "smart_search.workers=2", f"smart_search.time_limit={LIMIT}")
    assert done.returncode == 0, done.stderr
    run, seconds, _ = figures(output)
    assert run["cut_short"] is True
    assert len(full(run)) >= 1
    if len(full(run)) > 3:
        assert sum(seconds[name] for name in COUNTED) <= LIMIT + max(2.0, 4 * seconds["search"] / len(full(run)))


@pytest.mark.slow
def test_the_second_run_in_a_folder_is_refused_with_pid_and_host(slimai, tmp_path, cache_dir):
    output = tmp_path / "out"
    words = (*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}")
    process = start(*words, cwd=tmp_path)
    try:
        while not (output / ".slimai" / "journal.jsonl").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        done = slimai(*words)
        assert done.returncode == 2
        assert f"another run works in this folder (pid {process.pid} on host {socket.gethostname()})" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """Return a file system of 12 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path):
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_finished_and_is_told(slimai, small_disk, tmp_path, cache_dir):
    output = small_disk / "out"
    one = (
        "+model=mobilenet_digits",
        "quantization.weight_rounding=nearest",
        "dataset.validation_count=32",
        f"path.output_dir={output}",
        f"path.tmp_dir={cache_dir}",
    )
    first = slimai(*one, "quantization.accuracy_level=[0]", "quantization.range=100", "smart_search.seed=0")
    assert first.returncode == 0, first.stderr
    kept = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file() and path.name in FILES}
    journal = (output / ".slimai" / "journal.jsonl").read_bytes()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    full = slimai(*one, "quantization.accuracy_level=[0,1]", "quantization.range=100", "smart_search.seed=0")
    assert full.returncode == 1, full.stderr
    assert "No space left on device; free some space and run again: what is finished is kept" in full.stderr
    assert "Traceback" not in full.stderr
    assert {name: (output / name).read_bytes() for name in kept} == kept
    assert (output / ".slimai" / "journal.jsonl").read_bytes().startswith(journal)
    filler.unlink()
    again = slimai(*one, "quantization.accuracy_level=[0,1]", "quantization.range=100", "smart_search.seed=0")
    assert again.returncode == 0, again.stderr
    assert len(json.loads((output / "run.json").read_text())["candidates"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["calibration", "float_inference", "search"])
def test_a_disk_that_fills_up_meanwhile(slimai, small_disk, tmp_path, cache_dir, moment):
    """The room goes just after a stage: the spilled images, the journal or the results do not fit any more."""
    output = small_disk / "out"
    words = (
        *(
            "+model=mobilenet_digits",
            "quantization.weight_rounding=nearest",
            "dataset.validation_count=48",
            "quantization.accuracy_level=[0,1]",
        ),
        *("quantization.range=92:100:2", "smart_search.seed=0", "metric.metric_cls=cosine"),
        f"path.tmp_dir={cache_dir}",
    )
    whole = slimai(*words, f"path.output_dir={tmp_path / 'whole'}")
    assert whole.returncode == 0, whole.stderr
    expected = Place(tmp_path / "whole", cache_dir, words).files()
    place, filler = Place(output, cache_dir, words), small_disk / "filler"
    process = start(*words, f"path.output_dir={output}", cwd=tmp_path)
    ends = {"calibration": b'"calibration"', "float_inference": b'"float_inference"', "search": b'"outcome"'}
    while ends[moment] not in b"".join(place.lines()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    _, told = process.communicate(timeout=120)
    kept = sum(b'"outcome"' in line for line in place.lines())
    assert process.returncode == 1, told
    assert told.count("No space left on device; free some space and run again: what is finished is kept") == 1
    assert "Traceback" not in told
    filler.unlink()
    again = slimai(*words, f"path.output_dir={output}")
    assert again.returncode == 0, again.stderr
    assert place.files() == expected
    assert sum(b'"outcome"' in line for line in place.lines()) == 10
    assert kept <= 10
