"""Figures: valid SVG, coloured by the page alone, the same bytes every time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from slimai.report import charts

SVG = "{http://www.w3.org/2000/svg}"


def candidate(level, percent, score, ms, status="full"):
    return {"accuracy_level": level, "range": percent, "score": score, "latency_ms": ms, "status": status,
            "profile": f"net_{percent}.yaml"}  # fmt: skip


ROWS = [candidate(level, percent, 0.9 + level / 100 - (100 - percent) / 500, 1 + level) for level in (0, 1, 3)
        for percent in (96, 98, 100)]  # fmt: skip
LAYERS = [
    {"name": f"Conv_{n}__1", "sqnr": 30.0 - n, "single_sqnr": None if n == 2 else 35.0, "cycles": 10 * n,
     "compute": 9 * n, "memory": 10 * n} for n in range(20)
]  # fmt: skip
FIGURES = {
    "pareto": lambda: charts.pareto(ROWS, 0.95, "3 net_100.yaml"),
    "ranges": lambda: charts.score_by_range(ROWS, None, "3 net_100.yaml"),
    "depth": lambda: charts.depth(LAYERS),
    "cycles": lambda: charts.cycles(LAYERS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name):
    before = dict(mpl.rcParams)
    text = FIGURES[name]()
    assert dict(mpl.rcParams) == before
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "width" not in root.attrib
    assert not re.search(r"#[0-9a-fA-F]{6}\b", text), "a fixed colour would not follow light and dark"
    ids = [item.get("id") for item in root.iter() if item.get("id")]
    assert all(item.startswith(f"{name}-") for item in ids)
    assert len(set(ids)) == len(ids)
    for used in re.findall(r"(?:url\(|href=\")#([^)\"]+)", text):
        assert used in ids
    assert FIGURES[name]() == text
    assert len(text) < 60_000


def test_every_full_candidate_is_a_point_and_the_best_is_ringed():
    rows = [*ROWS, candidate(2, 90, 0.5, 2, status="partial"), candidate(2, 91, None, 2, status="failed")]
    root = ET.fromstring(charts.pareto(rows, None, "3 net_100.yaml"))  # noqa: S314
    points = [use for use in root.iter(f"{SVG}use") if "series" in (use.get("style") or "")]
    assert len(points) == len(ROWS) + 3  # and a mark a level in the legend
    texts = ["".join(item.itertext()) for item in root.iter(f"{SVG}text")]
    assert {"level 0", "level 1", "level 3"} <= set(texts)
    assert "level 2" not in texts
    rings = [use for use in root.iter(f"{SVG}use") if "accent" in (use.get("style") or "")]
    assert len(rings) == 1


def test_the_pareto_front_holds_what_nothing_beats():
    points = [(1.0, 0.5), (2.0, 0.9), (2.0, 0.7), (3.0, 0.9), (4.0, 0.95), (0.5, 0.1)]
    rows = [candidate(1, n, score, ms) for n, (ms, score) in enumerate(points)]
    beaten = {p for p in points for q in points if q != p and q[0] <= p[0] and q[1] >= p[1]}
    assert charts.pareto_front([*rows, candidate(1, 9, 0.99, 0.1, "partial")]) == sorted(set(points) - beaten)


def test_single_shot_has_no_range_figure():
    rows = [{**row, "range": None} for row in ROWS]
    assert charts.score_by_range(rows, 0.9, "") == ""


@pytest.mark.parametrize(("name", "expected"), [("short", "short"), ("a" * 20 + "b" * 20, "a" * 16 + "…" + "b" * 16)])
def test_long_names_lose_their_middle(name, expected):
    assert charts.shortened(name) == expected
