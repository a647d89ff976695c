"""The page: every part from what is saved, foreign text escaped, nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from slimai.report import document
from slimai.report.page import _environment, multirun_page, page

EVIL = "</script><img src=x onerror=alert(1)>"


def run(**changes):
    row = {"profile": "net_98.yaml", "accuracy_level": 3, "range": 98.0, "calibration": None, "value": 0.5,
           "score": 0.9, "latency_ms": 1.25, "images": 10, "status": "full", "interval": [0.85, 0.95], "values": {},
           "key": "k", "note": ""}  # fmt: skip
    partial = {**row, "profile": "net_96.yaml", "range": 96.0, "status": "partial", "score": 0.99, "interval": None}
    failed = {**row, "profile": "net_90.yaml", "status": "failed", "score": None, "value": None, "latency_ms": None}
    base = {"slimai": "1", "network": "net", "config": "abc", "metric": "top1", "arithmetic": "native", "target": "dsp",
            "images": {"calibration": 4, "validation": 10}, "float": {"value": 0.92, "score": 0.92, "values": {}},
            "host_layers": [], "best": row, "candidates": [partial, row, failed], "cut_short": False,
            "cut_short_reason": ""}  # fmt: skip
    return {**base, **changes}


def saved(**changes):
    layer = {"layer": "Conv_a__1", "kind": "Conv", "tensor": "a", "profile": "Conv_a__1:0", "dtype": "u8",
             "cosine": 0.99, "sqnr": 21.5, "single_cosine": None, "single_sqnr": None, "own": 0.0, "clip_share": 0.0,
             "clipped": 0.25, "weight_sqnr": None, "added": 0.0, "overflows": 0, "low": -1.0, "high": 2.0}  # fmt: skip
    cost = {"cycles": 1000, "milliseconds": 1.25, "frequency_mhz": 748.0, "pairs": {"u8s8": 1000},
            "layers": [{"name": "Conv_a__1", "kind": "Conv", "pair": "u8s8", "macs": 5, "moved": 6, "compute": 1000,
                        "memory": 10, "cycles": 1000}]}  # fmt: skip
    base = {"format": document.FORMAT, "profile": "net_98.yaml", "level": 3, "analysed": 4, "config": "a: 1\n",
            "environment": {"python": "3"}, "arithmetics": ["xi_sym"], "layers": [layer], "probes": [],
            "suspects": [{"layer": "Conv_a__1", "cause": "clipping", "remedy": "widen", "gain": 2.5}],
            "histograms": {"a": {"first": -2, "exponent": 0, "counts": [1, 5], "minimum": -1.5, "maximum": 1.0}},
            "cost": cost, "pictures": [], "notes": []}  # fmt: skip
    return {**base, **changes}


class Tags(HTMLParser):
    """Collects tags, addresses and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in {"src", "href", "xlink:href"}]


def test_nothing_is_fetched():
    text = page(run(), saved())
    addresses = Tags(text).addresses
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_what_the_graph_passes_did_and_refused_is_told():
    text = page(run(), saved(changes=["fuse_prelu: a: spelled out"], refusals=["fuse_pad: b: not 0", "fuse_pad: c: x"]))
    assert "<summary>Rewrites of the float network (1)</summary><ul><li>fuse_prelu: a: spelled out</li></ul>" in text
    assert "that were refused (2)</summary><ul><li>fuse_pad: b: not 0</li><li>fuse_pad: c: x</li></ul>" in text
    assert "Rewrites" not in page(run(), saved())  # saved by an earlier version


def test_what_the_exported_model_does_under_optimization_is_told():
    levels = {
        "disabled": {"score": 0.75, "largest_difference": 0, "error": ""},
        "all": {"score": 0.5, "largest_difference": 77, "error": EVIL},
    }
    facts = {"images": 8, "levels": levels, "spelled_out": ["Conv_a__1"], "refused": "", "skipped": ""}
    text = page(run(exported_model=facts), saved())
    assert '<td class="l">disabled</td><td>0.7500</td><td>0</td>' in text
    assert '<td class="l">all</td><td>0.5000</td><td>77</td>' in text
    assert "fuses nothing with them: Conv_a__1<" in text
    assert EVIL not in text
    refused = page(run(exported_model={**facts, "refused": "Conv_a__1: why"}), saved())
    assert "There is no ONNX model: Conv_a__1: why" in refused
    skipped = page(run(exported_model={**facts, "levels": {}, "skipped": "there is no validation image"}), saved())
    assert "Not checked: there is no validation image" in skipped
    assert 'id="exported"' not in page(run(), saved())  # of an earlier version, or without gen_code


def test_text_from_outside_is_escaped():
    text = page(
        run(network=EVIL, host_layers=[EVIL], metric=EVIL, candidates=[{**run()["best"], "note": EVIL}]),
        saved(
            config=EVIL,
            notes=[EVIL],
            changes=[EVIL],
            refusals=[EVIL],
            suspects=[{"layer": EVIL, "cause": "clipping", "remedy": EVIL, "gain": None}],
            histograms={EVIL: saved()["histograms"]["a"]},
            layers=[{**saved()["layers"][0], "tensor": EVIL, "layer": EVIL}],
            pictures=[{"name": EVIL, "reason": EVIL, "shots": ["", ""], "texts": [EVIL, ""]}],
        ),
    )
    assert EVIL not in text
    assert "img" not in Tags(text).tags


def test_what_is_found_is_shown():
    text = page(run(), saved())
    for part in ("0.9200", "0.9000", "-0.0200", "1.250 ms", "net_98.yaml", "widen", "+2.50", "1,000 cycles", "xi_sym"):
        assert part in text, part
    order = [text.index(f'<td class="l">{name}.yaml</td>') for name in ("net_98", "net_96", "net_90")]
    assert order == sorted(order)  # a partial score never comes before a full one
    assert page(run(), saved()) == text


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (run(best=None, candidates=[]), saved()),
        (run(float=None), saved()),
        (run(cut_short=True, cut_short_reason="time limit"), saved(suspects=[], layers=[], histograms={})),
        (run(float={"value": None, "score": None, "values": {}}), saved()),
    ],
)
def test_pages_of_unfinished_runs(result, state):
    text = page(result, state)
    assert ("cut short: time limit" in text) == result["cut_short"]
    assert text.rstrip().endswith("</html>")


def test_a_multirun_links_to_the_pages_that_are_there(tmp_path):
    (tmp_path / "job0").mkdir()
    (tmp_path / "job0" / "report.html").write_text("x")
    row = {"job": 0, "status": "done", "overrides": "a=1", "float": 0.9, "score": 0.8, "value": 0.8,
           "profile": "net_98.yaml", "level": 1, "range": 98.0, "ms": 2.0, "message": ""}  # fmt: skip
    failed = {**row, "job": 1, "status": "failed", "message": EVIL, "score": None, "float": None, "ms": None,
              "profile": None, "level": None, "range": None, "value": None}  # fmt: skip
    text = multirun_page(tmp_path, [row, failed])
    assert "job0/report.html" in Tags(text).addresses
    assert "job1/report.html" not in text
    assert EVIL not in text
    assert "failed: " in text
    assert 'class="strip"' in text
    assert "<svg" not in multirun_page(tmp_path, [failed])


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (1.23456, "1.235"), (-0.5, "-0.500")])
def test_numbers(value, expected):
    assert _environment().from_string("{{ value | num }}").render(value=value) == expected


def test_the_page_marks_what_was_delivered():
    result = run()
    other = {**result["best"], "profile": "net_91.yaml", "score": 0.5}
    text = page({**result, "candidates": [*result["candidates"], other], "delivered": other}, saved())
    tile = f"<span>fixed-point score, {other['profile']}</span>"
    assert tile in text
    line = next(line for line in text.splitlines() if line.startswith('<tr class="best">'))
    assert other["profile"] in line
    assert "delivered" in line


def test_the_network_is_drawn_and_each_box_leads_to_its_row():
    layer = saved()["layers"][0]
    rows = [
        {**layer, "tensor": name, "layer": f"Conv_{name}", "sqnr": sqnr} for name, sqnr in (("a", 5.0), ("b", 45.0))
    ]
    network = [
        {"layer": f"Conv_{name}", "kind": "Conv", "node": f"{name}{EVIL}", "tensor": name, "bits": bits, "reads": reads}
        for name, bits, reads in (("a", 8, []), ("b", 16, [0]), ("c", 0, [0, 1]))
    ]
    text = page(run(), saved(layers=rows, network=network))
    ids = set(re.findall(r'id="(layer-\d+)"', text))
    assert set(re.findall(r'<a href="#(layer-\d+)">', text)) == ids == {"layer-1", "layer-2"}
    assert re.findall(r'<rect class="(s. b\d+)', text) == ["s0 b8", "s4 b16", "sx b0"]
    assert EVIL not in text


def test_one_candidate_has_no_chart_and_several_have_their_intervals():
    row = run()["best"]
    text = page(run(candidates=[row]), saved())
    assert 'aria-label="score against' not in text
    assert "95 % interval 0.850 to 0.950, float 0.9200" in text
    assert "float lies within the interval" in text
    other = {**row, "profile": "net_91.yaml", "range": 91.0, "score": 0.5, "latency_ms": 2.0}
    assert text.count("<svg") + 2 == page(run(candidates=[row, other]), saved()).count("<svg")


def test_warnings_and_lines_to_paste_are_on_the_page():
    row = {**saved()["suspects"][0], "node": "Conv_a__1:0", "alone_sqnr": 12.5, "score_loss": 0.02, "paste": "- {a: b}"}
    text = page(run(warnings=["low float score"]), saved(suspects=[row], commands=["x=1"], scored_alone=3))
    for part in ("Warning: low float score", "Conv_a__1:0", "12.5", "-0.0200", "- {a: b}</code>", "x=1</code>"):
        assert part in text, part


def test_a_multirun_marks_its_best_and_says_what_differs(tmp_path):
    row = {"job": 0, "status": "done", "overrides": "a=1 b=2", "float": 0.9, "score": 0.8, "value": 0.8,
           "metric": "top1", "interval": [0.7, 0.85], "profile": "n.yaml", "level": 1, "range": 98.0, "ms": 2.0,
           "message": ""}  # fmt: skip
    better = {**row, "job": 1, "overrides": "a=1 b=3", "score": 0.85, "interval": [0.8, 0.89]}
    text = multirun_page(tmp_path, [row, better])
    assert "<b>job1</b><span>best job, n.yaml</span>" in text
    assert "All jobs: <code>a=1</code>" in text
    assert "Set by: <code>b=3</code>" in text
    assert "float lies above the interval: a loss" in text
    assert "metric top1" in text
    assert len(re.findall('<tr class="best">', text)) == 1
    other = multirun_page(tmp_path, [row, {**better, "metric": "top5"}])
    assert "best job" not in other
    assert "scores of different metrics are not compared" in other
