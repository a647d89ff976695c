"""An image list never breaks the parser, and a well-formed one comes back as it was written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.data.image_list import parse_image_list

WORD = st.text("abcXYZ0189_-", min_size=1, max_size=8)
ROW = st.tuples(st.lists(WORD, min_size=2, max_size=2), st.lists(WORD, max_size=3))


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode())))
def test_any_bytes_give_samples_or_mistakes(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    path = folder / "fuzzed.txt"
    path.write_bytes(content)
    samples, problems = parse_image_list(path, folder, 3)
    assert samples or problems
    assert all(str(item) for item in problems)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=6),
    newline=st.sampled_from(["\n", "\r\n"]),
    counted=st.booleans(),
    blank=st.booleans(),
)
def test_round_trip(tmp_path_factory, rows, newline, counted, blank):
    folder = tmp_path_factory.getbasetemp()
    lines = [",".join(names) + (" " + ",".join(labels) if labels else "") for names, labels in rows]
    lines = ([str(len(rows))] if counted else []) + lines + ([""] if blank else [])
    path = folder / "rows.txt"
    path.write_bytes(newline.join(lines).encode("utf-8-sig"))
    samples, problems = parse_image_list(path, folder)
    assert [([file.name for file in item.files], list(item.labels)) for item in samples] == rows
    assert {item.message for item in problems} <= {"there is no such file", f"and {len(problems)} more"}
