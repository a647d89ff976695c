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

BASE = ("+model=mobilenet_digits", "quantization.accuracy_level=[0,1,2,3]", "quantization.range=80:100:1")
LIMIT = 5.0
FILES = {"run.json", "BestProfile.txt", "ProfileList.txt", "FixedPoint_Results.txt", "mobilenet_digits_quant.onnx"}
# planning and compiling the winner, the report and one batch, on a busy machine
AFTER = 30.0


def start(*words, cwd):
    command = [sys.executable, "-m", "slimai", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_time_limit_is_kept_and_a_longer_one_continues(slimai, tmp_path, cache_dir):
    output = tmp_path / "out"
    words = (*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", "dataset.validation_count=256")
    done = slimai(*words, f"smart_search.time_limit={LIMIT}")
    assert done.returncode == 0, done.stderr
    first = json.loads((output / "run.json").read_text())
    seconds = json.loads((output / "timings.json").read_text())["seconds"]
    assert first["cut_short"] is True
    assert "time limit" in first["cut_short_reason"]
    assert "# cut short" in (output / "FixedPoint_Results.txt").read_text()
    assert {path.name for path in output.iterdir()} >= FILES
    full = [item for item in first["candidates"] if item["status"] == "full"]
    assert 1 <= len(full) < 84
    if len(full) > 1:  # the first candidate is completed whatever the limit
        assert seconds["calibration"] + seconds["float_inference"] + seconds["search"] <= LIMIT + AFTER
    longer = slimai(*words, f"smart_search.time_limit={3 * LIMIT + sum(seconds.values())}")
    assert longer.returncode == 0, longer.stderr
    second = json.loads((output / "run.json").read_text())
    kept = {item["profile"]: item for item in second["candidates"] if item["status"] == "full"}
    assert len(kept) > len({item["profile"] for item in full})
    assert all(kept[item["profile"]] for item in full)


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
