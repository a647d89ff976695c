"""The pure parts of benchmarks/peers.py and peer_times.py: reasons of failures, tables, environments that fail."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import pytest


@pytest.fixture
def peers(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(str(repo_root / "benchmarks"))
    import peers

    return peers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Collecting x\nERROR: No matching distribution found for x\n[notice] a new pip\n",
            "ERROR: No matching distribution found for x",
        ),
        (
            "Traceback (most recent call last):\n  File a, line 1\nonnx.checker.ValidationError: bad node\n",
            "onnx.checker.ValidationError: bad node",
        ),
        ("killed\n\n", "killed"),
        ("it is no Error: this sentence\nthe end", "the end"),
        ("", "it said nothing"),
    ],
)
def test_the_reason_is_the_error_or_the_last_words(peers, text, told):
    assert peers.reason(text) == told


def test_a_peer_that_is_not_known_is_refused_with_those_that_are(peers):
    assert [peer.name for peer in peers.chosen("aimet,ort")] == ["aimet", "ort"]
    with pytest.raises(SystemExit, match=r"no such peer \(got ppq\); take some of ort, nncf, aimet, onnxsim, quark"):
        peers.chosen("ort,ppq")


def test_every_peer_can_be_measured(peers):
    import accuracy_peers
    import accuracy_summary

    for peer in peers.PEERS:
        assert peer.name in accuracy_peers.PEERS
        assert accuracy_peers.PEERS[peer.name][0] in [package.partition("<")[0] for package in peer.packages]
        tries = [methods for kind, methods in accuracy_summary.TRIES.values() if kind == peer.name]
        assert {method for methods in tries for method in methods} == set(peer.methods), "the summary chooses of them"


def _given(**more):
    return argparse.Namespace(images=4, calibration=2, networks="a", no_time=False, **more)


def test_an_installation_that_fails_is_a_row_with_its_reason(peers, tmp_path, monkeypatch):
    monkeypatch.setattr(peers.venv, "create", lambda folder, **_: folder.mkdir(parents=True))

    def run(command, **_):
        assert "pip" in command, "nothing is measured"
        return SimpleNamespace(returncode=1, stdout="", stderr="ERROR: no wheel\n")

    peer = peers.PEERS[1]
    result = peers.measured(peers.Environment(peer, tmp_path, run), _given())
    assert result.failed == "does not install: ERROR: no wheel"
    assert list(peers.table([result]))[2] == "| nncf | - | does not install: ERROR: no wheel |"


def test_what_is_measured_is_kept_by_its_settings(peers, tmp_path, monkeypatch):
    monkeypatch.setattr(peers.venv, "create", lambda folder, **_: folder.mkdir(parents=True))
    ran = []

    def run(command, **_):
        ran.append(command[1].rpartition("/")[2])
        if "--json" in command:
            found = {"what": "ort:MinMax", "quantize": 1.0, "image": 2.0, "forward_ms": 3.0}
            rows = [{"network": "a", "float": [0.9], "aids": "ort", "method": "MinMax", "3": [0.8]}]
            value = rows if "accuracy.py" in command[1] else found
            (tmp_path / "file").write_text(json.dumps(value))
            (tmp_path / "file").rename(command[command.index("--json") + 1])
        return SimpleNamespace(returncode=0, stdout='{"onnxruntime": "1.0"}', stderr="")

    def measured(**more):
        ran.clear()
        given = _given()
        vars(given).update(more)
        return peers.measured(peers.Environment(peers.PEERS[0], tmp_path, run), given)

    first = measured()
    assert (first.failed, first.times["image"], first.versions) == ("", 2.0, {"onnxruntime": "1.0"})
    assert ran == ["-m", "-c", "accuracy.py", "peer_times.py"]
    assert measured().rows == first.rows
    assert ran == ["-c"], "both are known"
    assert measured(images=5).rows == first.rows
    assert ran == ["-c", "accuracy.py"], "other images are measured anew"


def test_the_tables_show_scores_failures_and_times(peers):
    rows = [
        {"network": "a", "float": [0.9, 0, [0, 0]], "aids": "ort", "method": "MinMax", "3": [0.81234, 30, [0, 0]]},
        {"network": "b", "float": [0.5, 0, [0, 0]], "aids": "ort", "method": "MinMax", "failed": "ValueError: x"},
    ]
    times = {"what": "ort:MinMax", "quantize": 9.04, "image": 1.234, "forward_ms": 3.5}
    found = list(peers.table([peers.Result(peers.PEERS[0], {"onnxruntime": "1.32.0"}, rows, times)]))
    assert found[2] == "| ort | onnxruntime 1.32.0 | - |"
    assert found[4:8] == [
        "| tool, method | a | b |",
        "|---|---|---|",
        "| float | 0.9000 | 0.5000 |",
        "| ort MinMax | 0.8123 | failed |",
    ]
    assert found[-1] == "| ort:MinMax | 9.0 | 1.23 | 3.50 |"


def test_seconds_are_split_into_quantizing_and_images(peers):
    import peer_times

    assert peer_times.split(10.0, 16.0, 24) == (9.5, 0.25)
    assert peer_times.split(10.0, 9.0, 24) == (10.0, 0.0), "noise makes no negative times"
