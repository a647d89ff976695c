"""The rules file of `mix: auto`, its goal as bounds, and the noise of layers."""

from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

import pytest

from slimai.app.run.mix_file import rules_text
from slimai.app.run.mix_ranking import output_noise
from slimai.config.diagnose import judge_values
from slimai.quantizer.mix_rules import parse_rules
from slimai.search.candidate import Candidate, Outcome, Variant, outcome_from_json

VALUES = {
    "path": {"output_dir": "out", "image_dir": "images"},
    "network": {"input_model": "net.onnx", "name": "net", "class": "Classification"},
    "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
    "quantization": {"accuracy_level": 3, "mix": "auto", "mix_goal": {"max_drop": 0.01}},
    "metric": {"metric_cls": "top1"},
}


@pytest.fixture(scope="module")
def config():
    found, problems = judge_values(VALUES)
    assert problems == []
    return found


def outcome(*raised, score=0.9, method=None):
    percent = None if method else Decimal("99.50")
    return Outcome(
        Candidate(3, percent, method, frozenset({Variant.MIX} if raised else ()), raised), "full", score, score, 1.25
    )


def test_the_file_tells_goal_scores_and_estimates(config):
    base, mixed = outcome(score=0.8), outcome("a", "b", score=0.8951)
    text = rules_text(config, "max_drop 0.01, reached", mixed, base, 0.905)
    assert text == (
        "# net, level 3, range 99.5: nodes in 16 bit, found by mix=auto.\n"
        "# goal:  max_drop 0.01, reached\n"
        "# float: score 0.9050\n"
        "# 8 bit: score 0.8000, 1.250 ms a frame (estimate)\n"
        "# mixed: score 0.8951, 1.250 ms a frame (estimate), 2 nodes\n"
        "# To use it, edited or not: the same command, with the words for mix and mix_goal replaced by\n"
        "#   quantization.mix=true quantization.nodename_datatypes=mix_auto.yaml\n"
        '- nodes:\n    - "a"\n    - "b"\n'
        "  intypes: [s16]\n  outtypes: [s16]\n"
    )


def test_a_goal_that_is_missed_is_told_and_no_node_is_an_empty_list(config):
    base = outcome(method="ImprovedMSE")
    text = rules_text(config, "score 0.95, NOT reached", base, base, None)
    assert "# goal:  score 0.95, NOT reached\n" in text
    assert "calibration ImprovedMSE" in text
    assert "# mixed: none: no node is in 16 bit\n" in text
    assert parse_rules(text, "f").rules == ()


@pytest.mark.parametrize(
    "name", ["/a/conv.0/Conv", "x[1]", "*", "a?b", 'quo"te', "line\nbreak", "tab\t", "Füße: #1", "!"]
)
def test_any_node_name_is_read_back_as_itself_alone(config, name):
    (rule,) = parse_rules(rules_text(config, "score 0.5", outcome(name), outcome(), 0.9), "f").rules
    assert (rule.reads, rule.writes) == (16, 16)
    (pattern,) = rule.patterns
    assert fnmatchcase(name, pattern)
    assert not any(fnmatchcase(other, pattern) for other in ("other", "x1", "axb", name + "x"))


def test_the_raised_nodes_survive_the_journal():
    item = outcome("a", "b")
    assert outcome_from_json(item.to_json("net")) == item
    earlier = {key: value for key, value in outcome().to_json("net").items() if key != "raised"}
    assert outcome_from_json(earlier).candidate.raised == ()


@dataclass
class Row:
    layer: str
    tensor: str
    single_sqnr: float | None
    own: float = 0.0


@dataclass
class Reads:
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def test_a_layer_counts_as_the_costliest_tensor_that_it_touches():
    steps = (Reads("first", ("x",), ("a",)), Reads("second", ("a",), ("b",)), Reads("host", ("b",), ("c",)))
    assert output_noise((), {"x": 0.1, "a": 0.3, "b": 0.2}, {}, steps) == {"first": 0.3, "second": 0.3, "host": 0.2}


def test_noise_of_weights_is_carried_to_the_outputs_as_that_of_the_grid():
    steps = (Reads("conv", ("x",), ("a",)), Reads("host", ("a",), ("b",)))
    rows = (Row("L1", "a", 20.0, own=0.001), Row("L2", "b", None))
    found = output_noise(rows, {"x": 0.0, "a": 0.005}, {"L1": "conv", "L2": "host"}, steps)
    assert found == pytest.approx({"conv": 0.005 * 0.01 / 0.001, "host": 0.005}, rel=1e-12)
