"""`bias_correction: empirical`: the winner's biases are corrected after the search, scored, told and resumed."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.e2e.results import result_files

pytestmark = pytest.mark.slow
WORDS = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.validation_count=96",
    "quantization.bias_correction=empirical",
)


def run_of(slimai, output, cache_dir, *words):
    """Return what the run told, its run.json, and its result files by name."""
    done = slimai(*WORDS, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", *words)
    assert done.returncode == 0, done.stderr
    found = result_files(output)
    return done.stderr, json.loads(found["run.json"]), found


def corrected_row(document):
    return next(row for row in document["candidates"] if row["variant"] == "empirical")


@pytest.fixture(scope="module", params=(("0", "100"), ("3", "100")), ids=("level0", "level3"))
def corrected(request, slimai, tmp_path_factory, cache_dir):
    level, percent = request.param
    output = tmp_path_factory.mktemp("empirical")
    words = (f"quantization.accuracy_level={level}", f"quantization.range={percent}")
    return output, words, *run_of(slimai, output, cache_dir, *words)


def test_the_corrected_winner_is_scored_and_delivered_unless_it_is_worse(corrected):
    output, _, told, document, files = corrected
    row, facts = corrected_row(document), document["empirical_bias_correction"]
    before = next(item for item in document["candidates"] if item["variant"] == "")
    assert row["key"] != before["key"], "the correction must change the integers"
    assert (facts["score_before"], facts["score"]) == (before["score"], row["score"])
    assert facts["delivered"] is (row["score"] >= before["score"])
    line = re.search(r"^empirical bias correction: score (\S+) -> (\S+), (taken|worse)", told, flags=re.MULTILINE)
    assert line is not None, told
    assert line[3] == ("taken" if facts["delivered"] else "worse")
    assert (float(line[1]), float(line[2])) == (round(before["score"], 4), round(row["score"], 4))
    best = files["BestProfile.txt"].decode().strip()
    assert best.endswith("_empirical.yaml") is facts["delivered"]
    assert (output / best).exists()
    assert document["best"]["profile"] == best


def test_started_again_it_scores_nothing_and_leaves_the_same_bytes(corrected, slimai, cache_dir):
    output, words, _, _, before = corrected
    journal = (output / ".slimai" / "journal.jsonl").read_text().count('"outcome"')
    *_, after = run_of(slimai, output, cache_dir, *words)
    assert (output / ".slimai" / "journal.jsonl").read_text().count('"outcome"') == journal
    assert set(after) == set(before)
    assert [name for name in after if after[name] != before[name]] == []


def test_the_tables_are_those_of_what_is_delivered(corrected, slimai, tmp_path, cache_dir):
    """Beside a run with the analytic correction alone: other biases, and nothing else; or the same bytes."""
    output, words, _, document, files = corrected
    name = "mobilenet_digits_quant.npz"
    _, plain, others = run_of(slimai, tmp_path, cache_dir, *words, "quantization.bias_correction=analytic")
    assert plain["empirical_bias_correction"] is None
    if not document["empirical_bias_correction"]["delivered"]:
        assert files[name] == others[name]
        return
    ours, theirs = np.load(output / name), np.load(tmp_path / name)
    differing = {key for key in ours.files if not np.array_equal(ours[key], theirs[key])}
    assert {key.rsplit("/", 1)[1] for key in differing} == {"bias"}
