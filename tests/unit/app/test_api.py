"""The Python face: load_config, validate, run."""

from __future__ import annotations

import doctest
import json
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import slimai
import slimai.app.api
import slimai.app.run.pipeline
import slimai.app.run.result
from slimai.app.run.result import RunResult
from slimai.app.screen.default import NotebookReporter, default_reporter
from slimai.app.screen.reporter import ConsoleReporter
from slimai.app.screen.summary import run_summary
from slimai.errors import InputError
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import Candidate, Outcome
from slimai.search.choice import Choice


def test_load_config_returns_the_frozen_configuration():
    config = slimai.load_config("+model=yolo", "quantization.accuracy_level=[1,3]")
    assert isinstance(config, SlimaiConfig)
    assert config.quantization.accuracy_level == (1, 3)
    assert config.network.name == "yolo"


def test_load_config_raises_every_mistake_with_its_place():
    with pytest.raises(InputError) as error:
        slimai.load_config("+model=yolo", "quantization.accuracy_level=9", "metric.output_debug=7")
    assert [(item.override, item.key) for item in error.value.diagnostics] == [
        ("quantization.accuracy_level=9", "quantization.accuracy_level"),
        ("metric.output_debug=7", "metric.output_debug"),
    ]


def test_validate_returns_diagnostics():
    assert slimai.validate("+model=yolo") == []
    [item] = slimai.validate("+model=yolo", "network.input_model=/nope.onnx")
    assert (item.key, item.message, item.override) == (
        "network.input_model",
        "there is no such file",
        "network.input_model=/nope.onnx",
    )
    [item] = slimai.validate("+model=nope")
    assert "there is no model 'nope'" in item.message


def test_run_takes_a_configuration_or_overrides(monkeypatch):
    seen = []

    def run_job(config, *, reporter):
        seen.append((config, reporter))

    monkeypatch.setattr(slimai.app.run.pipeline, "run_job", run_job)
    slimai.run(slimai.load_config("+model=yolo"))
    slimai.run(["+model=yolo"])
    assert seen[0][0] == seen[1][0]
    assert all(isinstance(reporter, ConsoleReporter) for _, reporter in seen)  # progress is shown without asking
    silent = slimai.Silent()
    slimai.run(["+model=yolo"], reporter=silent)
    assert seen[2][1] is silent


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        slimai.nope  # noqa: B018


@pytest.mark.parametrize("module", [slimai.app.api, slimai.app.run.result], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_run(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def result(count=1, **more):
    outcomes = tuple(
        Outcome(
            Candidate(at % 5, Decimal(90 + at)), "full", 0.9 - at / 100, 0.9 - at / 100, 1.5, 10, interval=(0.8, 1.0)
        )
        for at in range(count)
    )
    return RunResult(Path("out"), "<net>", None, outcomes, Choice(outcomes[0], outcomes[0]), **more)


class Text(HTMLParser):
    """Collects the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.cells, self._inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 - as the parser calls it
        self._inside = tag in ("td", "th")

    def handle_data(self, data):
        if self._inside:
            self.cells.append(data)
            self._inside = False


def test_a_result_is_a_table_in_a_console_and_in_a_notebook():
    found = result(14)
    lines = repr(found).splitlines()
    assert lines[1].split()[:3] == ["profile", "level", "score"]
    assert lines[2].split() == ["<net>_90", "0", "0.9000", "0.800", "..", "1.000", "1.500", "10", "best"]
    assert len(lines) == 1 + 1 + 12 + 1 + 1
    assert lines[-2] == "... and 2 more candidates"
    cells = Text(found._repr_html_()).cells
    assert cells[:3] == ["profile", "level", "score"]
    assert "<net>_90" in cells
    assert "<net>" not in found._repr_html_()


def test_a_result_as_values_holds_what_json_holds():
    row = {"node": "Relu_a__1:0", "cause": "rounding", "remedy": "r", "gain": 1.5, "score_loss": 0.01, "paste": "- {}"}
    found = result(2, hurts=(row,), suggestions=("metric.adjust=x",)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["what_hurts"] == [row]
    assert [item["profile"] for item in found["candidates"]] == ["<net>_90.yaml", "<net>_91.yaml"]
    assert found["best"]["score"] == 0.9
    assert found["paths"] == {}


def test_the_end_of_a_run_tells_what_hurts_warnings_and_the_page():
    rows = tuple(
        {"node": f"Relu_{at}__1:0", "cause": "rounding", "remedy": "leave it", "gain": 2.0 - at, "alone_sqnr": 20.0,
         "score_loss": 0.0125, "paste": f"- {{nodes: [{at}]}}" if at < 3 else ""}
        for at in range(7)
    )  # fmt: skip
    text = run_summary(
        result(hurts=rows, warnings=("float score is low",), suggestions=("a=1", "b=2"), report=Path("out/report.html"))
    )
    lines = text.splitlines()
    shown = [line for line in lines if line.startswith("Relu_")]
    assert len(shown) == 5
    assert shown[0].split(maxsplit=5) == ["Relu_0__1:0", "rounding", "20.0", "-0.0125", "+2.00", "- {nodes: [0]}"]
    assert shown[4].endswith("leave it")
    assert "to use those that help together, add: b=2" in lines
    assert lines.index("warning: float score is low") > lines.index(shown[-1])
    assert lines[-1] == "report: out/report.html"


class Screen:
    """Stands for IPython's display module: keeps what a cell shows."""

    def __init__(self):
        self.shown = []

    def HTML(self, text):  # noqa: N802 - IPython's name
        return text

    def display(self, shown, **_):
        at = len(self.shown)
        self.shown.append(shown)
        return SimpleNamespace(update=lambda text: self.shown.__setitem__(at, text))


def test_a_notebook_shows_progress_in_its_cell(monkeypatch, capsys):
    screen, ipython = Screen(), ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    ipython.display = screen
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    reporter = default_reporter()
    assert isinstance(reporter, NotebookReporter)
    with reporter.stage("score <candidates>", 4) as stage:
        stage.note("best 0.9")
        stage.advance(3)
    reporter.line("said")
    assert screen.shown == ['<progress value="3" max="4"></progress> score &lt;candidates&gt; 3/4 best 0.9']
    assert capsys.readouterr().out == "said\n"
    monkeypatch.setenv("SLIMAI_QUIET", "1")
    assert isinstance(default_reporter(), ConsoleReporter)
    monkeypatch.delenv("SLIMAI_QUIET")
    ipython.get_ipython = SimpleNamespace  # IPython in a terminal
    assert isinstance(default_reporter(), ConsoleReporter)
