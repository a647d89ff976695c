"""Tables of the terminal: aligned, whole, as wide as the screen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimai.app.screen.table import render

ROWS = [("yolo_" + "a" * 90, "1", "[red]2.5", "best"), ("b", "100", "3", "")]
HEADER = ("profile", "level", "ms", "")


def test_nothing_is_cut_where_there_is_no_screen():
    lines = render(HEADER, ROWS).splitlines()
    assert lines[2] == f"{ROWS[0][0]}      1  [red]2.5  best"
    assert lines[3].split() == ["b", "100", "3"]
    assert lines[1].split() == ["-" * 95, "-" * 5, "-" * 8, "-" * 4]


def test_a_narrow_screen_folds_the_name():
    lines = render(HEADER, ROWS, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    names = [line[:17].strip() for line in lines[2:]]
    assert "".join(names) == ROWS[0][0] + "b"
    assert lines[2].endswith("  [red]2.5  best")


def test_columns_without_a_character_are_left_out_and_a_rule_on_demand():
    assert render(("a", ""), [("1", ""), ("2", "")]) == "a\n-\n1\n2"
    assert render(("a", "b"), [("1", "2")], rule=False, left=(0, 1)) == "a  b\n1  2"


CELL = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=5))
def test_every_cell_is_there_and_lines_are_aligned(rows):
    header = ("one", "two", "three")
    first, rule, *others = render(header, rows).splitlines()
    assert first.split() == list(header)
    assert set(rule) <= {"-", " "}
    assert [tuple(line.split()) for line in others] == rows
    assert {len(line) for line in (first, rule, *others)} == {len(rule)}
