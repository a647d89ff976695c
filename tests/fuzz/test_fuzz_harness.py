"""Hostile inputs of every kind: `SLIMAI_FUZZ_SECONDS=N python -m pytest -m fuzz -s`; SLIMAI_FUZZ_SEED repeats a run."""

from __future__ import annotations

import os
import secrets
import sys

import pytest

from tests.fuzz.harness import FEWEST, fuzz
from tests.fuzz.kinds import NAMES

SECONDS = float(os.environ.get("SLIMAI_FUZZ_SECONDS", "60"))
LONG = 900.0  # seconds: from here on the counts are asked for


def seed() -> int:
    return int(os.environ.get("SLIMAI_FUZZ_SEED", secrets.randbelow(2**31)))


@pytest.mark.fuzz
def test_no_input_ends_in_a_traceback_a_hang_or_a_blow_up(tmp_path, capsys):
    report = fuzz(NAMES, seed(), SECONDS, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{report.text()}\n")
    assert not report.faults, f"{report.text()}\nthe inputs are in {tmp_path}"
    assert report.past >= 0.3 * report.count
    if SECONDS >= LONG:
        assert report.count >= 20_000
        assert min(tally.count for tally in report.tallies.values()) >= FEWEST


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("cure", "names"), [("aliases", ("rules", "adjust", "yaml")), ("scalars", ("adjust", "profile"))]
)
def test_a_cure_that_is_taken_out_is_missed(tmp_path, cure, names):
    report = fuzz(names, 1, max(60.0, SECONDS), tmp_path, most_faults=1, limit=3.0, sabotage=cure)
    assert report.faults, report.text()
    assert list(tmp_path.glob("fault-*"))


def test_a_few_inputs_of_every_kind(tmp_path):
    report = fuzz(NAMES, 20261129, 15.0, tmp_path)
    assert not report.faults, f"{report.text()}\nthe inputs are in {tmp_path}"
    assert all(tally.count for tally in report.tallies.values())
