"""The first word decides; wrong input never shows a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from slimai.app import cli


def run(capsys, *words):
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_an_unknown_word_is_answered_with_the_nearest(capsys):
    assert run(capsys, "valdate", "+model=yolo") == (
        2,
        "",
        "slimai: unknown command 'valdate'; did you mean 'validate'?\n",
    )


def test_a_file_is_no_command(capsys):
    code, _, err = run(capsys, "net.cfg")
    assert (code, err) == (2, "slimai: unknown command 'net.cfg'; to check it: slimai validate net.cfg\n")


def test_version_and_help(capsys):
    from slimai import __version__

    assert run(capsys, "--version") == (0, f"slimai {__version__}\n", "")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for word in cli.COMMANDS:
        assert f"\n  {word} " in out


@pytest.mark.parametrize("word", cli.COMMANDS)
def test_a_command_has_an_example_and_a_row_in_both_readmes(capsys, repo_root, word):
    code, out, _ = run(capsys, word, "--help")
    assert code == 0
    assert f"usage: slimai {word}" in out
    assert re.search(rf"^examples?:\n  slimai {word} ", out, re.MULTILINE)
    for name in ("README.md", "README.zh-CN.md"):
        assert f"`slimai {word} " in (repo_root / name).read_text(encoding="utf-8")


def test_no_words_at_all(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: no model is chosen; add +model=NAME")


@pytest.mark.parametrize("before", [None, "", "0", "1"])
@pytest.mark.parametrize("ends", ["well", "by SystemExit", "by KeyboardInterrupt", "by an error"])
def test_quiet_lasts_as_long_as_the_words_run(capsys, monkeypatch, before, ends):
    monkeypatch.delenv("SLIMAI_QUIET", raising=False)
    if before is not None:
        monkeypatch.setenv("SLIMAI_QUIET", before)
    heard = []

    def job(words):
        heard.append((words, os.environ["SLIMAI_QUIET"]))
        if ends != "well":
            raise {"by SystemExit": SystemExit(2), "by an error": ValueError("x")}.get(ends, KeyboardInterrupt())
        return 0

    monkeypatch.setattr(cli, "_run", job)
    run(capsys, "+model=yolo", "--quiet", "dataset.validation_count=8")
    assert heard == [(["+model=yolo", "dataset.validation_count=8"], "1")]
    assert os.environ.get("SLIMAI_QUIET") == before


def test_hydras_own_flags_work(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "model=yolo", "quantization.range_mode=percentile", "--cfg", "job")
    assert code == 0
    assert "range_mode: percentile" in out
    assert run(capsys, "+model=yolo", "--info", "defaults")[0] == 0
    assert "https://hydra.cc" in run(capsys, "--hydra-help")[1]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_override_beside_hydras_flag(capsys):
    code, _, err = run(capsys, "+model=yollo", "--cfg", "job")
    assert (code, err) == (2, "override '+model=yollo': there is no model 'yollo'; did you mean 'yolo'?\n")


def test_an_unknown_flag(capsys):
    code, _, err = run(capsys, "+model=yolo", "--mutlirun")
    assert code == 2
    assert "--mutlirun" in err


def test_a_wrong_multirun_launches_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("-m", "+model=yolo", "quantization.accuracy_level=9,1,8", "target.acc_bits=32,8")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "job #0 (+model=yolo quantization.accuracy_level=9 target.acc_bits=32):"
    assert lines[1] == (
        "  error: override 'quantization.accuracy_level=9': quantization.accuracy_level: An accuracy level is an "
        "integer from 0 to 4 (got 9); a list searches over several: [1, 2, 3]"
    )
    assert [line for line in lines if line.startswith("job #")] == [
        f"job #{number} (+model=yolo quantization.accuracy_level={level} target.acc_bits={bits}):"
        for number, level, bits in ((0, 9, 32), (1, 9, 8), (3, 1, 8), (4, 8, 32), (5, 8, 8))
    ]
    assert lines[-1] == "slimai: 5 of 6 jobs invalid; nothing was launched"
    assert list(tmp_path.iterdir()) == []


def test_a_single_wrong_job(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "+model=yolo", "quantization.acuracy_level=1")
    assert (code, out) == (2, "")
    assert err == (
        "error: override 'quantization.acuracy_level=1': quantization.acuracy_level: unknown key (got 1); "
        "did you mean 'accuracy_level'?\nslimai: invalid; nothing was launched\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["x"], ["=", "a"], ["+model"], ["+model=yolo", "a=[1;2]"], ["+model=yolo", "a b=1"]])
def test_wrong_words_end_with_code_2_and_no_traceback(words, capsys):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "Traceback" not in err
    assert err


def test_debugging_shows_the_traceback():
    program = "import sys; sys.argv[0] = 'slimai'; from slimai.app.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "+model=yollo", "--cfg", "job"]
    done = subprocess.run(command, capture_output=True, text=True, env={"SLIMAI_DEBUG": "1", "PATH": ""}, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_an_internal_error_is_a_sentence(capsys, monkeypatch):
    def fail(_words):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cli, "_run", fail)
    monkeypatch.delenv("SLIMAI_DEBUG", raising=False)
    code, _, err = run(capsys, "x")
    assert (code, err) == (
        1,
        "slimai: ZeroDivisionError: oops (internal error; SLIMAI_DEBUG=1 shows the traceback)\n",
    )


def test_an_interruption_is_130(capsys, monkeypatch):
    def interrupt(_words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    assert run(capsys, "x")[0] == 130
