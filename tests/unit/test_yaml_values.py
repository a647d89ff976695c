"""Values of YAML with their places: every mistake at its line, all at once, never another exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.errors import InputError
from slimai.quantizer.adjust import AdjustHeader, read_adjust
from slimai.quantizer.mix_rules import parse_rules
from slimai.quantizer.profile import Entry, read_profile

GOOD = '- NodeOutputName: "a"\n  Min: -1e-5\n  Max: 2\n  Kind: Conv\n  Scale: 0.5\n  Offset: -3\n'


def test_a_profile_is_read_with_numbers_as_people_write_them():
    assert read_profile(GOOD, "p") == (Entry("a", -1e-5, 2.0, "Conv", "", 0.5, -3),)


def test_every_mistake_of_a_profile_stands_at_its_line():
    text = (
        GOOD
        + '- NodeOutputName: "b"\n  Min: 3\n  Max: 2\n  Offset: 1.5\n  Scal: 1\n'
        + "- Min: .nan\n  Kind: [x]\n"
        + '- 5\n- NodeOutputName: "a"\n  Min: 0\n  Max: 1\n'
    )
    with pytest.raises(InputError) as caught:
        read_profile(text, "p")
    assert str(caught.value).splitlines() == [
        "p:14:3: should be an entry with NodeOutputName, Min and Max",
        "p:11:3: b: unknown key 'Scal'; did you mean 'Scale'?",
        "p:8:8: b: Min is above Max (3.0 > 2.0)",
        "p:10:11: b: Offset should be an integer (got '1.5')",
        "p:12:3: NodeOutputName is missing",
        "p:12:8: Min should be a finite number (got '.nan')",
        "p:12:3: Max is missing",
        "p:15:3: a: is given twice",
    ]


@pytest.mark.parametrize("text", ["", "a: 1\n", "5\n"])
def test_what_is_no_profile_is_refused(text):
    with pytest.raises(InputError, match=r"^p(:1:1)?: (is empty|should be a list of entries)"):
        read_profile(text, "p")


KEYS = st.sampled_from(
    ["NodeOutputName", "Min", "Max", "Kind", "Offset", "Scale", "Fixed", "nodes", "intypes", "GeneratedMin", "Nope"]
)
VALUES = st.sampled_from(
    ["1", "1.5", "1e-5", "x", '"a"', ".nan", ".inf", "true", "[s8]", "[s8, s16]", "{a: 1}", "~", "", "!!int x", "0x1F",
     "2001-01-01", "1:30", "9" * 300]
)  # fmt: skip
DOCUMENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=4)


def mistakes(read):
    try:
        read()
    except InputError as error:
        return error.diagnostics
    return ()


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_any_list_of_mappings_is_read_or_refused_line_by_line(tmp_path_factory, rows):
    items = "".join("- {" + ", ".join(f"{key}: {value}" for key, value in row.items()) + "}\n" for row in rows)
    path = tmp_path_factory.mktemp("x") / "f.yaml"
    path.write_text(f'Model: m\nLevel: 1\nRange: "100"\nNodes:\n{items}')
    for read in (
        lambda: read_profile(items, "f.yaml"),
        lambda: parse_rules(items, "f.yaml"),
        lambda: read_adjust(path, AdjustHeader("m", 1, "100"), ["a", "x"]),
    ):
        assert all(item.file and item.line and item.column for item in mistakes(read))
