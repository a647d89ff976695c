"""The result files, byte for byte."""

import json
from decimal import Decimal

from slimai.search.candidate import Candidate, Outcome
from slimai.search.choice import Choice
from slimai.search.results import results_text, write_results

OUTCOMES = [
    Outcome(Candidate(1, Decimal(96)), "full", 0.912345678, 0.912345678, 1.5, 128),
    Outcome(Candidate(1, Decimal("99.99")), "partial", 0.5, 0.5, 1.5, 24),
    Outcome(Candidate(3, method="ImprovedKL"), "failed", note="no kernel"),
]

CHOICE = Choice(OUTCOMES[0], OUTCOMES[0])

GOLDEN = """\
# profile\taccuracy_level\trange\tvalue\tscore\testimated_ms\timages
# cut short: time limit
net_96.yaml\t1\t96\t0.912346\t0.912346\t1.500\t128
net_99.99.yaml\t1\t99.99\t0.500000\t0.500000\t1.500\tpartial, 24 images
net_ImprovedKL.yaml\t3\t-\t-\tfailed\t-\t0
"""


def test_fixed_point_results_text():
    assert results_text("net", OUTCOMES, "time limit") == GOLDEN


def test_files_of_a_run(tmp_path):
    write_results(
        tmp_path, "net", OUTCOMES, CHOICE, facts={"float": {"value": 0.95, "score": 0.95}}, cut_short="time limit"
    )
    assert (tmp_path / "BestProfile.txt").read_bytes() == b"net_96.yaml\n"
    assert (tmp_path / "ProfileList.txt").read_bytes() == b"net_96.yaml\nnet_99.99.yaml\nnet_ImprovedKL.yaml\n"
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["float"] == {"value": 0.95, "score": 0.95}
    assert run["cut_short"] is True
    assert run["best"]["profile"] == "net_96.yaml"
    assert [item["status"] for item in run["candidates"]] == ["full", "partial", "failed"]


def test_no_best_profile_without_a_measured_candidate(tmp_path):
    write_results(tmp_path, "net", OUTCOMES[1:], Choice(None, None), facts={})
    assert not (tmp_path / "BestProfile.txt").exists()
    assert json.loads((tmp_path / "run.json").read_text())["best"] is None


def test_equal_names_of_several_levels_are_told_apart(tmp_path):
    outcomes = [Outcome(Candidate(level, Decimal(96)), "full", 0.1 * level, 0.1 * level, images=4) for level in (1, 2)]
    write_results(tmp_path, "net", outcomes, Choice(outcomes[1], outcomes[1]), facts={}, several_levels=True)
    assert (tmp_path / "BestProfile.txt").read_text() == "acc2/net_96.yaml\n"
    assert (tmp_path / "ProfileList.txt").read_text() == "acc1/net_96.yaml\nacc2/net_96.yaml\n"
