"""Every call of slimai in the pages is one that this version takes: keys, values and options, not files."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import page_blocks
import pytest
import yaml
from shown import alike, missing

from slimai.app.cli import COMMANDS, QUIET
from slimai.app.commands.validate import check
from slimai.app.launch.preflight import preflight, read_words
from slimai.config.target import is_file_target

ABSENT = ("there is no such file", "there is no such folder")


def calls(page):
    return [(block, words) for block in page_blocks.blocks(page) for words in block.lines_of_slimai()]


def complaint(words):
    """Return what is wrong with the words of one call, or None."""
    if not words or words[0] not in COMMANDS:
        jobs = preflight(read_words([word for word in words if word != QUIET]))
        return first_error(item for job in jobs for item in job.diagnostics)
    module = importlib.import_module(COMMANDS[words[0]].partition(":")[0])
    try:
        given, rest = module._parser().parse_known_args(words[1:])
    except SystemExit:
        return "its options are not taken"
    if options := [word for word in rest if word.startswith("-")]:
        return f"unknown options {options}"
    targets = [*(getattr(given, "target", None) or []), *rest] if words[0] in ("validate", "explain", "export") else []
    overrides = [word for word in targets if not is_file_target(word)]
    return first_error(check(overrides)) if overrides else None


def first_error(found):
    """Return the first error that is not about a file that only a reader has."""
    errors = (str(item) for item in found if item.severity == "error" and item.message not in ABSENT)
    return next(errors, None)


def stand_in(words):
    """Give a preset that the reader of a page has written the settings of one that is shipped."""
    for name in (word.partition("=")[2] for word in words if word.startswith("+model=")):
        own = page_blocks.ROOT / "conf" / "model" / f"{name}.yaml"
        if not own.is_file():
            place = Path("conf/model")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(own.with_name("yolo.yaml"), place / own.name)


@pytest.mark.parametrize("page", page_blocks.commands())
def test_every_call_is_valid(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = {}
    for block, words in calls(page):
        stand_in(words)
        told[f"{block.place}: slimai {' '.join(words)}"] = complaint(words)
    assert not {call: why for call, why in told.items() if why is not None}


def test_calls_are_found():
    found = [words for page in page_blocks.commands() for _, words in calls(page)]
    assert len(found) > 35
    assert {words[0] for words in found} >= {"validate", "convert", "export", "explain", "rerun", "codegen", "metric"}


def test_the_steps_of_the_ci_examples_are_valid(tmp_path, monkeypatch):
    """The calls inside the workflow files, which are YAML."""
    monkeypatch.chdir(tmp_path)
    files = [block.text for block in page_blocks.blocks("docs/ci.md") if block.language == "yaml"]
    steps = [yaml.safe_load(text) for text in files]
    assert all(steps)
    lines = [line for text in files for line in re.findall(r"(?:run: |- )slimai (.*)", text)]
    assert len(lines) == 4
    assert {line: complaint(page_blocks.words(line)) for line in lines} == dict.fromkeys(lines)


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("yolo_100  3  0.9900  0.981 .. 0.999  0.258  128", True),
        ("yolo_100  3  0.9300  0.981 .. 0.999  0.258  128", True),
        ("yolo_100  3  0.5900  0.981 .. 0.999  0.258  128", False),
        ("yolo_100  3  0.9900  0.981 .. 0.999  0.258  128  best", False),
    ],
)
def test_figures_are_compared_loosely_and_words_are_not(said, fits):
    assert alike("yolo_100 3 0.9905 0.980 .. 0.998 0.264 128", " ".join(said.split())) is fits


def test_lines_follow_in_order():
    assert missing(["a", "...", "c"], "a\nb\nc\n") is None
    assert missing(["c", "a"], "a\nb\nc\n") == "a"
