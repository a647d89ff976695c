"""What surrounds the pipeline: status, log, table, lock, folders. The pipeline itself is replaced."""

from __future__ import annotations

import csv
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

import slimai.app.run.pipeline
import slimai.app.screen.summary
from slimai.app.cli import main
from slimai.app.launch.hydra_job import set_aside
from slimai.app.launch.job_log import STATUS, Status, read_status, write_status
from slimai.app.launch.multirun_table import Row, varying
from slimai.artifacts.lock import MULTIRUN, run_lock
from slimai.errors import InputError, SlimaiError


@dataclass
class Result:
    """What the replaced pipeline returns."""

    score: float
    missed: tuple[str, ...] = ()


@pytest.fixture
def pipeline(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []

    def install(behaviour):
        def run_job(config, *, reporter=None):
            seen.append(config)
            reporter.line(f"level {config.quantization.accuracy_level[0]}")
            score = behaviour(config.quantization.accuracy_level[0])
            best = {"profile": "p", "accuracy_level": 1, "range": "99", "value": score, "score": score}
            run = {"float": {"score": 0.9}, "best": {**best, "latency_ms": 1.5}}
            config.path.output_dir.mkdir(parents=True, exist_ok=True)
            (config.path.output_dir / "run.json").write_text(json.dumps(run))
            return Result(score)

        monkeypatch.setattr(slimai.app.run.pipeline, "run_job", run_job)
        monkeypatch.setattr(slimai.app.screen.summary, "run_summary", lambda result, *_: f"score {result.score}")
        return seen

    return install


def words(tmp_path, *more):
    return ["+model=yolo", f"path.output_dir={tmp_path}/out", *more]


def multirun(tmp_path, levels="0,1,2,3", *more):
    return main(["-m", *words(tmp_path, f"quantization.accuracy_level={levels}", *more)])


def test_a_single_job_ends_with_its_table_and_status(pipeline, tmp_path, capsys):
    seen = pipeline(lambda _level: 0.75)
    assert main(words(tmp_path)) == 0
    assert capsys.readouterr().out == "score 0.75\n"
    assert seen[0].path.output_dir == tmp_path / "out"
    status = read_status(tmp_path / "out")
    assert (status.status, status.score, status.overrides) == ("done", 0.75, ("model=yolo",))
    assert status.key == seen[0].key()
    assert "level 3" in (tmp_path / "out" / "slimai.log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_job_that_fails_leaves_its_traceback_in_its_log(pipeline, tmp_path, capsys):
    def fail(_level):
        raise ZeroDivisionError("deep inside")

    pipeline(fail)
    assert main(words(tmp_path)) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: deep inside\n" in err
    assert f"details: {tmp_path}/out/slimai.log" in err
    assert "Traceback" not in err
    assert "Traceback" in (tmp_path / "out" / "slimai.log").read_text()
    assert read_status(tmp_path / "out").status == "failed"


def test_wrong_input_found_by_the_pipeline_is_code_2_and_leaves_earlier_results(pipeline, tmp_path, capsys):
    pipeline(lambda _level: 0.5)
    assert main(words(tmp_path)) == 0
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "slimai.log"]
    files = {path: path.read_bytes() for path in found}

    def refuse(_level):
        raise InputError("net.onnx: is truncated")

    pipeline(refuse)
    assert main(words(tmp_path)) == 2
    assert "net.onnx: is truncated\n" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files} == files


def test_an_interrupted_job_is_130(pipeline, tmp_path):
    def interrupt(_level):
        raise KeyboardInterrupt

    pipeline(interrupt)
    (tmp_path / "out").mkdir()
    assert main(words(tmp_path)) == 130
    assert read_status(tmp_path / "out").status == "interrupted"


def test_a_multirun_ends_with_one_table_over_all_jobs(pipeline, tmp_path, capsys):
    seen = pipeline(lambda level: 0.5 + level / 10)
    assert multirun(tmp_path) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["profile", "job", "accuracy_level", "float", "score", "est.", "ms", "status"]
    assert [line.split() for line in out[2:6]] == [
        ["p", str(level), str(level), "0.9000", f"0.{5 + level}000", "1.500", "done"] for level in range(4)
    ]
    assert out[6] == f"summary: {tmp_path}/out/multirun.csv"
    assert [config.path.output_dir for config in seen] == [tmp_path / "out" / f"job{number}" for number in range(4)]
    assert {config.path.tmp_dir for config in seen} == {tmp_path / "out" / ".cache"}
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_failing_job_does_not_stop_the_others(pipeline, tmp_path, capsys):
    def sometimes(level):
        if level == 1:
            raise ZeroDivisionError("level one")
        if level == 2:
            raise SlimaiError("disk full")
        return 0.5

    seen = pipeline(sometimes)
    assert multirun(tmp_path) == 1
    assert len(seen) == 4
    out = capsys.readouterr().out
    assert "job1: ZeroDivisionError: level one\n" in out
    assert "job2: disk full\n" in out
    assert "Traceback" in (tmp_path / "out" / "job1" / "slimai.log").read_text()
    assert "disk full" in (tmp_path / "out" / "job2" / "slimai.log").read_text()
    with (tmp_path / "out" / "multirun.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done"]
    assert [row["message"] for row in rows] == ["", "ZeroDivisionError: level one", "disk full", ""]
    jobs = json.loads((tmp_path / "out" / "multirun.json").read_text())["jobs"]
    assert [(job["job"], job["score"]) for job in jobs] == [(0, 0.5), (1, None), (2, None), (3, 0.5)]


def test_wrong_input_of_one_job_is_a_row_too(pipeline, tmp_path, capsys):
    def refuse(level):
        if level == 3:
            raise InputError("net.onnx: is truncated")
        return 0.5

    pipeline(refuse)
    assert multirun(tmp_path) == 1
    assert read_status(tmp_path / "out" / "job3").status == "invalid"
    assert "job3: net.onnx: is truncated\n" in capsys.readouterr().out


def test_a_second_multirun_in_the_same_folder_is_refused(pipeline, tmp_path, capsys):
    seen = pipeline(lambda _level: 0.5)
    with run_lock(tmp_path / "out", MULTIRUN):
        assert multirun(tmp_path) == 2
    assert seen == []
    assert capsys.readouterr().err == (
        f"{tmp_path}/out: path.output_dir: another run works in this folder (pid {os.getpid()} on host "
        f"{socket.gethostname()}); wait for it, or give another path.output_dir\n"
    )


def test_the_job_folder_of_another_configuration_is_set_aside(pipeline, tmp_path):
    pipeline(lambda level: level / 10)
    assert multirun(tmp_path, "1,2") == 0
    first = read_status(tmp_path / "out" / "job0")
    assert multirun(tmp_path, "3,2") == 0
    moved = tmp_path / "out" / f"job0.old-{first.key}"
    assert json.loads((moved / "run.json").read_text())["best"]["score"] == 0.1
    assert json.loads((tmp_path / "out" / "job0" / "run.json").read_text())["best"]["score"] == 0.3
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert names == ["job0", moved.name, "job1"]


def test_nothing_is_lost_when_it_is_set_aside_twice(tmp_path):
    for _ in range(2):
        write_status(tmp_path / "job0", Status("done", "aaaa"))
        set_aside(tmp_path / "job0", "bbbb")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job0.old-aaaa", "job0.old-aaaa-2"]


def test_jobs_with_different_folders_write_to_their_own(pipeline, tmp_path, capsys):
    seen = pipeline(lambda _level: 0.5)
    folders = f"path.output_dir={tmp_path}/a,{tmp_path}/b"
    assert main(["-m", "+model=yolo", folders]) == 0
    assert [config.path.output_dir for config in seen] == [tmp_path / "a" / "job0", tmp_path / "b" / "job1"]
    assert (tmp_path / "a" / "multirun.csv").read_text() == (tmp_path / "b" / "multirun.csv").read_text()


def test_presets_are_swept_too(pipeline, tmp_path, capsys):
    seen = pipeline(lambda _level: 0.5)
    code = main(["-m", "model=yolo,unet_digits", f"path.output_dir={tmp_path}/out"])
    assert code == 0, capsys.readouterr().err
    assert [config.network.name for config in seen] == ["yolo", "unet_digits"]


def test_an_interrupted_multirun_is_130_and_has_its_table(pipeline, tmp_path, capsys):
    def interrupt(level):
        if level == 1:
            raise KeyboardInterrupt
        return 0.5

    pipeline(interrupt)
    assert multirun(tmp_path) == 130
    with (tmp_path / "out" / "multirun.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "interrupted", "failed", "failed"]
    assert rows[3]["message"] == "the job left no status"


def test_an_interrupted_second_run_leaves_what_it_has_not_begun_as_it_was(pipeline, tmp_path, capsys):
    pipeline(lambda _level: 0.5)
    assert multirun(tmp_path) == 0

    def interrupt(level):
        if level == 1:
            raise KeyboardInterrupt
        return 0.5

    pipeline(interrupt)
    assert multirun(tmp_path) == 130
    with (tmp_path / "out" / "multirun.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "interrupted", "done", "done"]
    assert all((tmp_path / "out" / f"job{number}" / STATUS).exists() for number in range(4))


def test_the_table_of_a_sweep_has_a_column_for_each_key_that_varies():
    def row(number, *overrides):
        return Row(number, Path(f"job{number}"), overrides, None, {})

    keys, values = varying([row(0, "+model=yolo", "a.x=1", "b.x=3", "r=90"), row(1, "+model=yolo", "a.x=2", "b.x=3")])
    assert (keys, values) == (["x", "r"], [["1", "90"], ["2", "-"]])
    keys, _ = varying([row(0, "a.x=1", "b.x=3"), row(1, "a.x=2", "b.x=4")])
    assert keys == ["a.x", "b.x"]
    assert varying([row(0, "a.x=1")]) == (["x"], [["1"]])
