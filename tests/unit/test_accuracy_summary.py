"""The means that benchmarks/accuracy.py prints, against figures worked out by hand."""

import pytest


@pytest.fixture
def summary(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(str(repo_root / "benchmarks"))
    import accuracy_summary

    return accuracy_summary


def _row(summary, network, aids, method, score, halves):
    return {
        "network": network,
        "float": summary.Score(0.8, 300.0, (0.5, 1.0)),
        "aids": aids,
        "method": method,
        "3": summary.Score(score, 30.0, halves),
    }


def test_best_is_the_largest_score_over_the_float_score(summary):
    rows = [_row(summary, "a", "ort", "MinMax", 0.4, (0, 0)), _row(summary, "a", "ort", "Entropy", 0.6, (0, 0))]
    assert summary.best(rows) == pytest.approx(0.75, abs=1e-12)


def test_the_other_half_does_not_choose(summary):
    rows = [
        _row(summary, "a", "ort", "MinMax", 0.0, (0.5, 0.2)),  # best on even images: reported 0.2 / 1.0
        _row(summary, "a", "ort", "Entropy", 0.0, (0.1, 0.9)),  # best on odd images: reported 0.1 / 0.5
    ]
    assert summary.other_half(rows) == pytest.approx(0.2, abs=1e-12)


def test_ours_stands_beside_a_peer_over_the_peers_networks(summary, capsys):
    rows = [
        _row(summary, "a", "default", "100", 0.8, (0.5, 1.0)),
        _row(summary, "b", "default", "100", 0.4, (0.5, 1.0)),
        _row(summary, "a", "nncf", "mixed", 0.6, (0.5, 1.0)),
        {**_row(summary, "b", "nncf", "mixed", 0.0, (0, 0)), "failed": "no such operator"},
    ]
    del rows[-1]["3"]
    summary.print_summary(rows)
    shown = capsys.readouterr().out
    assert "b: nncf mixed failed: no such operator" in shown
    assert "slimai                     0.7500  (2 networks)" in shown
    assert "nncf                       0.7500  (1 networks, ours there 1.0000)" in shown


def test_rows_survive_a_json_file(summary):
    import json

    row = _row(summary, "a", "ort", "MinMax", 0.4, (0.25, 0.5))
    read = summary.as_row(json.loads(json.dumps(row)))
    assert read["3"].score == 0.4
    assert tuple(read["3"].halves) == (0.25, 0.5)
    assert read["float"].score == 0.8
