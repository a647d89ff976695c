"""The YAML text of settings: quoting, comments, and what OmegaConf and PyYAML read back."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from slimai.config.legacy.yaml_text import Comments, comment_lines, yaml_text


def through_omegaconf(tree):
    return OmegaConf.to_container(OmegaConf.create(yaml_text(tree, Comments())), resolve=True)


def test_nested_settings_with_comments_read_as_written():
    comments = Comments(
        above={("path",): ["folders"], ("path", "image_dir"): ["one", "two"]},
        beside={("path", "output_dir"): "results"},
        after={("path",): ["end of path"]},
    )
    tree = {"path": {"output_dir": "out", "image_dir": "../img"}, "mean": [0.0, 1.5]}
    assert yaml_text(tree, comments) == (
        "# folders\n"
        "path:\n"
        "  output_dir: out  # results\n"
        "  # one\n"
        "  # two\n"
        '  image_dir: "../img"\n'
        "  # end of path\n"
        "mean: [0.0, 1.5]\n"
    )


def test_a_wide_list_takes_one_line_an_item():
    tree = {"anchors": [[[10 * index, index] for index in range(6)] for _ in range(3)]}
    lines = yaml_text(tree, Comments()).splitlines()
    assert lines[:2] == ["anchors:", "  - [[0, 0], [10, 1], [20, 2], [30, 3], [40, 4], [50, 5]]"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("96:99:1", '"96:99:1"'),
        ("no", '"no"'),
        ("1e5", '"1e5"'),
        ("out/x-1.yaml", "out/x-1.yaml"),
        ("a #b", '"a #b"'),
        ("${HOME}/x", r'"\\${HOME}/x"'),
        (True, "true"),
        (None, "null"),
        (0.5, "0.5"),
    ],
)
def test_scalars(value, text):
    assert yaml_text({"k": value}, Comments()) == f"k: {text}\n"


def test_comments_hold_no_character_that_ends_them():
    assert list(comment_lines(["a\x00b\x85c\u2028d\ne"], "  ")) == ["  # a b c d", "  # e"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("${}\\a:#'\"[]\n ", max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = scalars | st.lists(scalars, max_size=4) | st.lists(st.lists(scalars, max_size=3), max_size=40)
keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=4), max_size=4))
def test_omegaconf_reads_back_the_same_values(tree):
    assert through_omegaconf(tree) == tree


@settings(max_examples=100, deadline=None)
@given(texts, texts, texts)
def test_a_comment_never_changes_a_value(above, beside, after):
    tree = {"path": {"output_dir": "x"}, "b": 1}
    comments = Comments({("path", "output_dir"): [above]}, {("path", "output_dir"): beside}, {("path",): [after]})
    assert yaml.safe_load(yaml_text(tree, comments)) == tree
