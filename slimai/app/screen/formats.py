"""What validation found, as other tools read it: JSON, GitHub's annotations, SARIF, JUnit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from slimai import __version__
from slimai.errors import Diagnostic

Found = Sequence[tuple[str, Sequence[Diagnostic]]]  # target as words -> its diagnostics
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(found: Found) -> str:
    """Return the diagnostics as a JSON list."""
    return json.dumps([item.to_json() for _, items in found for item in items], indent=2, default=str)


def as_github(found: Found) -> str:
    """Return a workflow command a diagnostic, which GitHub shows at its line.

    Source: GitHub's documentation of workflow commands (``::error file=...,line=...,col=...::message``).
    """
    return "\n".join(_command(item) for _, items in found for item in items)


def _command(item: Diagnostic) -> str:
    places = (("file", _relative(item.file)), ("line", item.line), ("col", item.column), ("title", "slimai"))
    given = ",".join(f"{name}={_property(str(value))}" for name, value in places if value is not None)
    return f"::{item.severity} {given}::{_data(str(item))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _relative(file: str | None) -> str | None:
    """Return a path below the current folder as seen from there, others as they are."""
    if file is None:
        return None
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


def as_sarif(found: Found) -> str:
    """Return a SARIF 2.1.0 log (OASIS, 2020) of one run."""
    results = [_result(item) for _, items in found for item in items]
    rules = [{"id": name} for name in sorted({result["ruleId"] for result in results})]
    driver = {"name": "slimai", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(item: Diagnostic) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": item.key.partition(".")[0] or "configuration",
        "level": item.severity,
        "message": {"text": str(item)},
    }
    if item.file is not None:
        path = _relative(item.file) or item.file
        uri = Path(path).as_uri() if Path(path).is_absolute() else quote(path)
        physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
        if item.line:
            physical["region"] = {"startLine": item.line, **({"startColumn": item.column} if item.column else {})}
        result["locations"] = [{"physicalLocation": physical}]
    return result


def as_junit(found: Found) -> str:
    """Return JUnit's XML: a test case a target, failed where it has errors; warnings are its output."""
    failures = sum(any(item.severity == "error" for item in items) for _, items in found)
    counts = {"tests": str(len(found)), "failures": str(failures), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": "slimai validate", **counts})
    for target, items in found:
        case = ET.SubElement(suite, "testcase", {"classname": "slimai.validate", "name": _xml(target)})
        errors = [str(item) for item in items if item.severity == "error"]
        if errors:
            failure = ET.SubElement(case, "failure", {"message": _xml(errors[0]), "type": "invalid"})
            failure.text = _xml("\n".join(errors))
        warnings = [f"{item.severity}: {item}" for item in items if item.severity != "error"]
        if warnings:
            ET.SubElement(case, "system-out").text = _xml("\n".join(warnings))
    ET.indent(root)
    return DECLARATION + ET.tostring(root, encoding="unicode")


def _xml(text: str) -> str:
    """Return the text without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("?", text)


FORMATS: dict[str, Callable[[Found], str]] = {
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
    "junit": as_junit,
}
