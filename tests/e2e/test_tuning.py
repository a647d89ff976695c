"""Tuning by hand: edited limits, and 16-bit nodes by rules."""

from __future__ import annotations

import json
import re

import pytest

BASE = ("+model=mobilenet_digits", "quantization.weight_rounding=nearest", "quantization.range=100")


@pytest.fixture(scope="module")
def first_run(slimai, tmp_path_factory, cache_dir):
    output = tmp_path_factory.mktemp("adjust")
    words = (*BASE, f"path.output_dir={output}", f"path.tmp_dir={cache_dir}", "metric.adjust=true")
    done = slimai(*words)
    assert done.returncode == 0, done.stderr
    return words, output, output / "Adjust_yaml" / "mobilenet_digits.yaml"


def edited(text, key, value, kind="Conv"):
    """Return the text with `key` of the second entry of this kind set to `value`, and the entry's name."""
    items = text.split("- NodeOutputName: ")
    index = [i for i, item in enumerate(items) if f"Kind:           {kind}\n" in item][1]
    name = items[index].split('"')[1]
    items[index] = re.sub(rf"(?m)^(  {key}:\s*)\S+$", rf"\g<1>{value}", items[index])
    return "- NodeOutputName: ".join(items), name


def test_an_edited_limit_changes_what_depends_on_it_and_is_reported(first_run, slimai):
    words, output, path = first_run
    original = path.read_text()
    text, name = edited(original, "Max", "0.05")
    path.write_text(text)
    try:
        done = slimai(*words)
        assert done.returncode == 0, done.stderr
        changes = re.findall(r"^adjust: (\S+): .* -> .*$", done.stderr, flags=re.MULTILINE)
        assert name in changes
        assert re.search(r"adjust: metric: 0\.\d+ -> 0\.\d+", done.stderr)
        assert "similarity of logits" in done.stderr
        assert path.read_text() == text, "the file is never overwritten"
        assert "Max:            0.05" in (output / "mobilenet_digits_100.yaml").read_text()
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("Max", ".nan", "Max should be a finite number"), ("Min", "999.0", "Min"), ("Max", "abc", "finite number")],
)
def test_a_broken_edit_is_refused_by_name(first_run, slimai, key, value, message):
    words, output, path = first_run
    original = path.read_text()
    before = (output / "run.json").read_bytes()
    text, name = edited(original, key, value)
    path.write_text(text)
    try:
        done = slimai(*words)
        assert done.returncode == 2
        assert name in done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert (output / "run.json").read_bytes() == before
    finally:
        path.write_text(original)


def test_a_file_of_another_level_is_refused(first_run, slimai):
    words, _, path = first_run
    done = slimai(*words, "quantization.accuracy_level=2")
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "another level" in done.stderr


def test_rules_raise_nodes_to_sixteen_bit(slimai, tmp_path, cache_dir):
    rules = tmp_path / "mobilenet_digits.yaml"
    rules.write_text("- nodes: [XIConvolution]\n  intypes: [s16]\n  outtypes: [s16]\n")
    output = tmp_path / "out"
    done = slimai(
        *BASE,
        f"path.output_dir={output}",
        f"path.tmp_dir={cache_dir}",
        "quantization.mix=true",
        f"quantization.nodekind_datatypes={rules}",
    )
    assert done.returncode == 0, done.stderr
    assert "mix: XIConvolution is " in done.stderr
    profile = (output / "mobilenet_digits_100.yaml").read_text()
    assert profile.count("Dtype:          s16") > 3
    dots = sorted(path.name for path in (output / "dot_path").iterdir())
    assert dots[-1].endswith("_before_requantization.dot")
    run = json.loads((output / "run.json").read_text())
    assert run["best"]["score"] >= run["float"]["score"] - 0.02


def test_a_rule_that_matches_nothing_is_refused_with_the_nearest_names(slimai, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("- nodes: [Convolutoin]\n  intypes: [s16]\n")
    done = slimai(
        *BASE,
        f"path.output_dir={tmp_path / 'out'}",
        "quantization.mix=true",
        f"quantization.nodekind_datatypes={rules}",
    )
    assert done.returncode == 2
    assert "Convolutoin" in done.stderr
    assert "nearest" in done.stderr
    assert not (tmp_path / "out" / "run.json").exists()
