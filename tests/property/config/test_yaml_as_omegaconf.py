"""Configuration files mean what OmegaConf's own loader, which parses in Python, reads in them."""

from __future__ import annotations

import io
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from slimai.config.yaml_source import checked_text, loaded

WORDS = [
    "1", "-0", "0x1f", "0o17", "017", "1_000", "1e3", "1E-3", "1.5e+10", ".5", "5.", "-.inf", ".nan", "+1", "1:30",
    "1:30:15.5", "0b101", "1__0", "e5", "1e", "0.", "yes", "No", "on", "OFF", "true", "~", "null", "Null", "", "x",
    "${a}", "2001-01-01", "2001-01-01 10:00:00", "'1e3'", '"yes"', "'2001-01-01'", "!!str 12", "!!float 3", "!!int '7'",
    "<<", "=",
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.integers().map(str),
    st.floats().map(str),
    st.from_regex(r"[-+]?[0-9][0-9_.eE:+-]{0,8}", fullmatch=True),
    st.text(st.sampled_from("ab c-é中_."), min_size=1, max_size=6).map(lambda text: f"'{text}'"),
)
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,4}", fullmatch=True)


def flow(inner):
    """Return the strategy of lists and mappings of `inner`, in one line."""
    mappings = st.dictionaries(KEYS, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        mappings.map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"),
    )


INSIDE = SCALARS.filter(lambda text: text not in ("", "<<", "="))
FLOWS = flow(INSIDE | flow(INSIDE))
DOCUMENTS = st.lists(st.tuples(KEYS, FLOWS | SCALARS), max_size=6).map(
    lambda items: "".join(f"{key}: {value}\n" for key, value in items)
)


def values(read):
    """Return what `read` returns as plain values with their types, or the kind of its refusal."""
    try:
        return typed(OmegaConf.to_container(read()))
    except (yaml.YAMLError, ValueError) as error:
        return type(error).__name__


def typed(value):
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    shown = "nan" if isinstance(value, float) and math.isnan(value) else value
    return type(value).__name__, shown


@given(DOCUMENTS)
def test_documents_are_read_as_by_omegaconf(text):
    assert values(lambda: loaded(text)) == values(lambda: OmegaConf.load(io.StringIO(text)))


@pytest.mark.parametrize("word", WORDS)
def test_each_spelling_is_read_as_by_omegaconf(word):
    text = f"a: {word}\n"
    assert values(lambda: loaded(text)) == values(lambda: OmegaConf.load(io.StringIO(text)))


def test_bundled_files_are_read_as_by_omegaconf(repo_root):
    files = sorted((repo_root / "conf").rglob("*.yaml"))
    assert len(files) > 20
    for file in files:
        assert typed(OmegaConf.to_container(loaded(checked_text(file)))) == typed(
            OmegaConf.to_container(OmegaConf.load(file))
        ), file


def test_a_key_given_twice_is_refused_at_its_place():
    with pytest.raises(yaml.YAMLError, match="found duplicate key a") as caught:
        loaded("b: 1\na: 1\na: 2\n")
    assert (caught.value.problem_mark.line, caught.value.problem_mark.column) == (2, 0)
