"""What a run says: nothing but the table when quiet, plain lines without a terminal, a bar with time left on one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from slimai.app.screen.reporter import ConsoleReporter, PlainStage

WORDS = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.validation_count=8",
    "dataset.calibration_count=8",
    "quantization.range=99",
)


@pytest.fixture(scope="module", params=[(), ("--quiet",)], ids=["plain", "quiet"])
def said(request, slimai, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    return request.param, slimai(*request.param, *WORDS, f"path.output_dir={output}")


def test_progress_goes_to_standard_error_and_the_table_to_standard_output(said):
    flags, done = said
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mobilenet_digits: float score ")
    if flags:
        assert done.stderr == ""
    else:
        assert re.search(r"^score candidates: done in \d+\.\d s$", done.stderr, re.MULTILINE)
        assert re.search(r"^analyse layers: done in ", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_gets_a_bar_with_count_note_and_time_left():
    reporter = ConsoleReporter(live=True)
    screen = io.StringIO()
    reporter._console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with reporter.stage("score candidates", 4) as stage:
        stage.advance(2)
        stage.note("net_96 L1 0.9512; best net_98 L3 0.9800")
    shown = screen.getvalue()
    assert "score candidates" in shown
    assert re.search(r"2/4 +(--:--|\d\d:\d\d)", shown)
    assert "net_96 L1 0.9512; best net_98 L3 0.9800" in shown


def test_a_plain_line_every_ten_seconds_names_candidate_best_and_time_left():
    lines, now = [], [0.0]
    stage = PlainStage("score candidates", 40, lines.append, lambda: now[0])
    stage.note("net_96 L1 0.9512; best net_98 L3 0.9800")
    for seconds in (6.0, 12.0, 20.0, 25.0, 4000.0):
        now[0] = seconds
        stage.advance(4)
    assert lines == [
        "score candidates: 8/40, 0:48 left; net_96 L1 0.9512; best net_98 L3 0.9800",
        "score candidates: 16/40, 0:38 left; net_96 L1 0.9512; best net_98 L3 0.9800",
        "score candidates: 20/40, 1:06:40 left; net_96 L1 0.9512; best net_98 L3 0.9800",
    ]
