"""Completion: what may follow on a command line, and that bash really asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import slimai
from slimai.app import cli
from slimai.app.cli import COMMANDS
from slimai.app.completion.words import candidates
from slimai.config.dirs import preset_names


def test_the_first_word_is_a_command_or_a_preset():
    found = candidates([""], tuple(COMMANDS))
    assert {*COMMANDS, "+model=", "quantization.", "--cfg"} <= set(found)
    assert candidates(["ins"], tuple(COMMANDS)) == ["inspect"]


def test_presets_targets_keys_and_values():
    assert candidates(["+model="], ()) == sorted(f"+model={name}" for name in preset_names())
    assert candidates(["x", "target=np"], ()) == ["target=npu"]
    assert candidates(["x", "quantization.accuracy_l"], ()) == ["quantization.accuracy_level="]
    assert candidates(["x", "++smart_search.strategy="], ()) == [
        "++smart_search.strategy=exhaustive",
        "++smart_search.strategy=racing",
    ]
    assert candidates(["x", "smart_search.resume="], ()) == ["smart_search.resume=false", "smart_search.resume=true"]
    assert candidates(["x", "quantization.mix_goal."], ())[:2] == [
        "quantization.mix_goal.arena_bytes=",
        "quantization.mix_goal.latency_ms=",
    ]


def test_every_completed_key_is_one_that_the_schema_knows():
    sections = [word for word in candidates([""], ()) if word.endswith(".")]
    for section in sections:
        for word in candidates(["x", section], ()):
            key = word.rstrip("=.")
            assert not [
                item
                for item in slimai.validate("+model=yolo", f"{key}=null")
                if "unknown key" in item.message and not key.startswith("metric.")
            ], key


def test_options_follow_a_command(capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "slimai validate --d")
    assert cli.main(["-sc", "query=zsh"]) == 0
    assert capsys.readouterr().out == "--deep\n"
    monkeypatch.setenv("COMP_LINE", "slimai inspect net")
    assert cli.main(["-sc", "query=fish"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_installed_and_taken_away(capsys, shell):
    assert cli.main(["-sc", f"install={shell}"]) == 0
    assert f"slimai -sc query={shell}" in capsys.readouterr().out
    assert cli.main(["-sc", f"uninstall={shell}"]) == 0
    assert "slimai" in capsys.readouterr().out


def test_another_shell_is_refused_by_name(capsys):
    assert cli.main(["-sc", "install=bush"]) == 2
    expected = "shell completion: unknown request 'install=bush'; did you mean 'install=bash'?\n"
    assert capsys.readouterr().err == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [("slimai +model=yolo_f", "yolo_fastest_coco"), ("slimai insp", "inspect"), ("slimai x target=cort", "cortex_m55")],
)
def test_bash_asks_and_gets_the_rest_of_the_word(tmp_path, line, expected):
    program = tmp_path / "slimai"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m slimai "$@"\n')
    program.chmod(0o755)
    script = (
        f'PATH="{tmp_path}:$PATH"; eval "$(slimai -sc install=bash)"; COMP_LINE="{line}"; COMP_POINT={len(line)}; '
        '_slimai_complete; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [expected], done.stderr
