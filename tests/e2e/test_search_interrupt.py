"""Ctrl-C, as a terminal sends it to all processes: the best so far is delivered, exit code 130, nothing left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.e2e.interrupts import interrupts_taken
from tests.e2e.killing import Place

pytestmark = pytest.mark.slow
WORDS = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "metric.metric_cls=cosine",
    "smart_search.seed=0",
    "dataset.calibration_count=16",
)
MANY = (*WORDS, "quantization.accuracy_level=[0,1,2,3]", "quantization.range=80:100:1")
FEW = (*WORDS, "quantization.accuracy_level=[0,3]", "quantization.range=90:100:2", "dataset.validation_count=64")
FILES = {"run.json", "BestProfile.txt", "ProfileList.txt", "FixedPoint_Results.txt"}
FILES |= {"mobilenet_digits_quant.onnx", "mobilenet_digits_quant.npz", "timings.json"}
DONE = {"run.json", "BestProfile.txt", "FixedPoint_Results.txt", "mobilenet_digits_quant.onnx"}


class Run:
    """`slimai` as the head of a process group."""

    def __init__(self, place: Place, *words: str) -> None:
        self.place = place
        places = (f"path.output_dir={place.output}", f"path.tmp_dir={place.cache}")
        command = [sys.executable, "-m", "slimai", *place.words, *places, *words]
        environment = {**os.environ, "NO_COLOR": "1"}
        environment.pop("SLIMAI_DEBUG", None)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with interrupts_taken():
            self.process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    def wait_for(self, said: bytes, times: int = 1) -> None:
        """Wait until the journal says so, that many times."""
        while b"\n".join(self.place.lines()).count(said) < times:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.002)

    def interrupt(self) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Return exit code and what was said; no process of the group may be left."""
        _, told = self.process.communicate(timeout=120)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and _alive(self.process.pid):
            time.sleep(0.05)
        assert not _alive(self.process.pid), "a process of the interrupted run lives on"
        return self.process.returncode, told


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache_dir):
    """Return the files of a search that was left alone."""
    place = Place(tmp_path_factory.mktemp("whole") / "out", cache_dir, FEW)
    place.finish()
    return place.files()


def interrupted(places, again_after=None):
    """Return the first place whose run was interrupted after two candidates, and what it said.

    On a busy machine a whole search may pass before this process has its turn again: then the next place is tried.
    """
    for place in places:
        run = Run(place)
        run.wait_for(b'"outcome"', 2)
        run.interrupt()
        if again_after is not None:
            time.sleep(again_after)
            run.interrupt()
        code, told = run.end()
        if code != 0:
            assert code == 130, told
            return place, told
    raise AssertionError("every search had ended before it could be interrupted")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_best_so_far_is_delivered_and_the_same_command_continues(whole, tmp_path, cache_dir, workers):
    words = (*FEW, f"smart_search.workers={workers}")
    place, told = interrupted(Place(tmp_path / f"out{attempt}", cache_dir, words) for attempt in range(8))
    assert told.rstrip().endswith("slimai: interrupted")
    assert "Traceback" not in told
    found = json.loads((place.output / "run.json").read_text())
    assert (found["cut_short"], found["cut_short_reason"]) == (True, "interrupted")
    full = [item for item in found["candidates"] if item["status"] == "full"]
    assert 2 <= len(full) < 12
    assert found["best"]["score"] == max(item["score"] for item in full)
    assert {path.name for path in place.output.iterdir()} >= FILES
    named = (place.output / "BestProfile.txt").read_text().strip()
    assert named == f"acc{found['best']['accuracy_level']}/{found['best']['profile']}"
    assert (place.output / named).is_file()
    assert json.loads((place.output / ".slimai" / "status.json").read_text())["status"] == "interrupted"
    place.finish()
    assert place.files() == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_interruption_ends_at_once_with_whole_files(whole, tmp_path, cache_dir, workers):
    words = (*FEW, f"smart_search.workers={workers}")
    # in between one process is in delivery or report, two wait for their workers
    places = (Place(tmp_path / f"out{attempt}", cache_dir, words) for attempt in range(8))
    place, told = interrupted(places, again_after=0.05 * workers)
    assert "Traceback" not in told
    assert {path.name for path in place.output.iterdir()} >= DONE
    assert json.loads((place.output / "run.json").read_text())["best"]["status"] == "full"
    place.finish()
    assert place.files() == whole


@pytest.mark.parametrize("strategy", ["exhaustive", "racing"])
def test_an_interruption_before_a_candidate_is_complete_leaves_earlier_results(tmp_path, cache_dir, strategy):
    place = Place(tmp_path / "out", cache_dir, (*WORDS, "quantization.range=100", "dataset.validation_count=8"))
    place.finish()
    before = place.files()
    seen = len(place.lines())
    many = Place(place.output, cache_dir, (*MANY, f"smart_search.strategy={strategy}"))
    run = Run(many)
    while b"float_inference" not in b"".join(many.lines()[seen:]):
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.001)
    run.interrupt()
    code, told = run.end()
    assert code == 130, told
    assert "Traceback" not in told
    after, aside = many.files(), many.earlier()
    assert {name: aside.get(name) for name in DONE} == {name: before[name] for name in DONE}
    assert f" changed; they are kept in {place.output}.old-1" in told
    if any(b'"outcome"' in line for line in many.lines()[seen:]):
        assert strategy == "exhaustive"
    else:
        assert not DONE & after.keys()


def test_an_interruption_while_calibrating_leaves_earlier_results(tmp_path, cache_dir):
    place = Place(tmp_path / "out", cache_dir, (*WORDS, "quantization.range=100", "dataset.validation_count=8"))
    place.finish()
    before = place.files()
    fresh = Place(place.output, tmp_path / "cache", (*FEW, "dataset.calibration_count=64"))
    run = Run(fresh)
    while not list((tmp_path / "cache").glob("*.lock")):
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.001)
    run.interrupt()
    code, told = run.end()
    assert (code, "Traceback" in told) == (130, False), told
    assert (fresh.earlier() or fresh.files()) == before
