"""Diagnostics for other tools: GitHub's commands, SARIF, JUnit, with texts that need escapes."""

from __future__ import annotations

import json
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.app import cli
from slimai.app.screen.formats import FORMATS, as_github, as_junit, as_sarif
from slimai.errors import Diagnostic

TEXT = st.text(max_size=30)
DIAGNOSTICS = st.builds(
    Diagnostic,
    message=TEXT,
    key=st.sampled_from(["", "network.mean", "quantization.range"]),
    file=st.none() | st.sampled_from(["a b/c.yaml", "x,y:z%.cfg", "/abs/网络.yaml"]),
    line=st.none() | st.integers(1, 99),
    severity=st.sampled_from(["error", "warning"]),
)
FOUND = st.lists(st.tuples(TEXT, st.lists(DIAGNOSTICS, max_size=4)), max_size=3)


def undone(text):
    for code, sign in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


@given(FOUND)
def test_a_command_a_diagnostic_on_a_line_of_its_own(found):
    items = [item for _, several in found for item in several]
    lines = as_github(found).split("\n") if items else []
    assert len(lines) == len(items)
    for line, item in zip(lines, items, strict=True):
        head, _, data = line.removeprefix("::").partition("::")
        kind, _, places = head.partition(" ")
        assert kind == item.severity
        assert undone(data) == str(item)
        given_places = dict(part.split("=") for part in places.split(","))
        assert given_places.get("line") == (None if item.line is None else str(item.line))
        assert undone(given_places.get("file", "")) == (item.file or "")


@given(FOUND)
def test_a_sarif_result_a_diagnostic(found):
    items = [item for _, several in found for item in several]
    log = json.loads(as_sarif(found))
    [run] = log["runs"]
    assert log["version"] == "2.1.0"
    assert [result["message"]["text"] for result in run["results"]] == [str(item) for item in items]
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    for result, item in zip(run["results"], items, strict=True):
        assert result["ruleId"] in known
        assert result["level"] == item.severity
        if item.file:
            [place] = result["locations"]
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert unquote(uri).removeprefix("file://") == item.file
            assert place["physicalLocation"].get("region", {}).get("startLine") == item.line


@given(FOUND)
def test_a_test_case_a_target(found):
    suite = ET.fromstring(as_junit(found)).find("testsuite")  # noqa: S314 - our own text
    cases = suite.findall("testcase")
    assert len(cases) == len(found) == int(suite.get("tests"))
    failed = [any(item.severity == "error" for item in items) for _, items in found]
    assert [case.find("failure") is not None for case in cases] == failed
    assert int(suite.get("failures")) == sum(failed)


@pytest.mark.parametrize("name", FORMATS)
def test_from_the_command_line(capsys, name):
    assert cli.main(["validate", "+model=yolo", "quantization.rnge=3", "--format", name]) == 2
    assert "did you mean 'range'?" in capsys.readouterr().out
    assert cli.main(["validate", "+model=yolo", "--format", name]) == 0
    said = capsys.readouterr().out
    if name == "github":
        assert said == ""
    elif name == "junit":
        assert ET.fromstring(said).get("failures") == "0"  # noqa: S314 - our own text
    else:
        assert json.loads(said) == [] or json.loads(said)["runs"][0]["results"] == []
