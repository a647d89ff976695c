"""What stands beside the bar: the candidate that runs, its score so far, the best one."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.artifacts.journal import Journal
from slimai.search.loop import search
from slimai.search.stopwatch import Stopwatch
from tests.unit.search.fakes import Loud, setup

TABLES = [np.full(16, 0.75), np.concatenate([np.full(4, 0.25), np.full(12, 0.5)])]


def notes_of(tmp_path, strategy, seconds):
    """Return the notes of a search whose batches of four images take `seconds` of a fake clock."""
    now = [0.0]

    def on_run():
        now[0] += seconds

    watch = Stopwatch(Journal(tmp_path / "journal.jsonl"), "t", clock=lambda: now[0])
    plan, _ = setup(tmp_path, TABLES, strategy=strategy, reporter=Loud(), watch=watch, on_run=on_run)
    search(plan)
    return plan.reporter.notes


def test_the_candidate_its_score_so_far_and_the_best(tmp_path):
    notes = notes_of(tmp_path, "exhaustive", 1.0)
    assert list(dict.fromkeys(notes)) == [
        "net_91 L1",
        "net_91 L1 0.2500",
        "net_91 L1 0.3750",
        "net_91 L1 0.4167",
        "net_91 L1 0.4375",
        "net_91 L1 0.4375; best net_91 L1 0.4375",
        "net_90 L1; best net_91 L1 0.4375",
        "net_90 L1 0.7500; best net_91 L1 0.4375",
        "net_90 L1 0.7500; best net_90 L1 0.7500",
    ]


def test_scores_so_far_are_not_shown_more_often_than_people_read(tmp_path):
    notes = notes_of(tmp_path, "exhaustive", 0.01)
    assert "net_90 L1; best net_91 L1 0.4375" in notes
    assert "net_91 L1 0.4167" not in notes


@pytest.mark.parametrize("seconds", [0.01, 1.0])
def test_a_race_names_each_candidate_of_a_rung(tmp_path, seconds):
    notes = notes_of(tmp_path, "racing", seconds)
    assert notes[0] == "net_90 L1"
    assert any(note.startswith("net_91 L1") for note in notes)
    assert notes[-1] == ("net_90 L1 0.7500" if seconds > 0.5 else "net_90 L1") + "; best net_90 L1 0.7500"
