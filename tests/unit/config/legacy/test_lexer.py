"""The legacy lexer: places, comments, repeated sections, encodings, broken lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from slimai.config.legacy.lexer import MAX_BYTES, Comment, Entry, Header, Place, decode, lex, read_lines, split_comment
from slimai.errors import InputError


def entries(text: str) -> list[tuple[str, str, str]]:
    lines = lex(text, "x.cfg")
    assert [str(problem) for problem in lines.problems] == []
    return [(entry.section, entry.key, entry.value) for entry in lines.entries]


def problems(text: str) -> list[str]:
    return [str(problem) for problem in lex(text, "x.cfg").problems]


def test_every_item_has_its_line_and_column():
    text = "# top\n[path]\n  output_dir  =  out   # where\n"
    assert lex(text, "x.cfg").items == (
        Comment("top", Place(1, 1)),
        Header("path", Place(2, 1)),
        Entry("path", "output_dir", "out", Place(3, 3), Place(3, 18), "where"),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_do_not_matter(end, last):
    text = end.join(["[path]", "output_dir = out", "", "image_dir = img"]) + (end if last else "")
    assert entries(text) == [("path", "output_dir", "out"), ("path", "image_dir", "img")]


@pytest.mark.parametrize(
    ("raw", "value", "comment"),
    [
        ("7200   #max", "7200", "max"),
        ("7200 ; max", "7200", "max"),
        ("7200#max", "7200#max", ""),
        ("out;put", "out;put", ""),
        ("[10:14;23:27][81:82] # three", "[10:14;23:27][81:82]", "three"),
        ("[a ;b] ;c", "[a ;b]", "c"),
        ("[a ;b", "[a", "b"),
        ("[a] [b ;c", "[a] [b", "c"),
        ("# nothing", "", "nothing"),
        ("x ## note", "x", "note"),
        ("\u3000x\u3000# 注释", "x", "注释"),
    ],
)
def test_inline_comments(raw, value, comment):
    assert split_comment(raw) == (value, comment)


def test_full_width_and_padding_blanks_are_not_part_of_keys_or_values():
    assert entries("[path]\n\u3000output_dir\u3000=\u3000out\u3000\n\tname\t=\u00a0x") == [
        ("path", "output_dir", "out"),
        ("path", "name", "x"),
    ]


def test_sections_and_keys_may_repeat():
    text = "[system]\na = 1\na = 2\n[path]\nb = 1\n[system]\nc = 3"
    assert entries(text) == [("system", "a", "1"), ("system", "a", "2"), ("path", "b", "1"), ("system", "c", "3")]


def test_a_value_may_hold_an_equals_sign_or_be_empty():
    assert entries("[metric]\nmetric_input = d a=1,b=2\ninput_graph =\nx=") == [
        ("metric", "metric_input", "d a=1,b=2"),
        ("metric", "input_graph", ""),
        ("metric", "x", ""),
    ]


def test_quotes_protect_comment_signs_and_blanks():
    assert entries('[path]\na = "x # y"  # z\nb = \'p ;q\'\nc = ""') == [
        ("path", "a", "x # y"),
        ("path", "b", "p ;q"),
        ("path", "c", ""),
    ]


def test_a_quoted_value_runs_over_lines_and_the_next_line_counts_right():
    lines = lex('[out_cntrl]\ndescription = "\n  [a b] save\n  [c] save\n"  # end\nx = 1\n', "x.cfg")
    first, second = lines.entries
    assert (first.value, first.comment, first.place) == ("[a b] save\n[c] save", "end", Place(2, 1))
    assert second.place == Place(6, 1)
    assert lines.problems == ()


def test_an_unclosed_quote_costs_one_message_and_no_settings():
    text = '[out_cntrl]\ndescription = "\n[a b] save\n[path]\noutput_dir = out\nname = "x\nimage_dir = img\n'
    lines = lex(text, "x.cfg")
    assert [str(problem).split(" (got")[0] for problem in lines.problems] == [
        "x.cfg:2:15: the quoted value has no closing '\"'",
        "x.cfg:6:8: the quoted value has no closing '\"'",
    ]
    assert [entry.key for entry in lines.entries] == ["description", "output_dir", "name", "image_dir"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("output_dir", ("x.cfg:2:1: the line is neither a [section] nor 'key = value' (got 'output_dir'); "
         "write 'key = value', or begin the line with '#'")),
        ("  a: b", ("x.cfg:2:3: the line is neither a [section] nor 'key = value' (got 'a: b'); "
         "write 'key = value' with '=', not ':'")),
        ("a ＝ b", ("x.cfg:2:1: the line is neither a [section] nor 'key = value' (got 'a ＝ b'); "
         "the full-width '＝' is not '='; type it in half-width")),
        ("= b", "x.cfg:2:1: a value without a key (got '= b'); write 'key = value'"),
        ("[metric", "x.cfg:2:1: the section header has no ']' (got '[metric'); write [metric]"),
        ("[metric # m", "x.cfg:2:1: the section header has no ']' (got '[metric # m'); write [metric]"),
        ("[metric] a = 1", "x.cfg:2:1: text after the section header (got 'a = 1'); put it on a line of its own"),
        ('a = "x\ny" z', "x.cfg:3:3: text after the closing quote (got 'z'); remove it"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named_with_its_place_and_cure(line, message):
    assert problems(f"[path]\n{line}\n") == [message]


def test_a_broken_header_still_opens_its_section():
    lines = lex("[metric\nmetric_cls = psnr\n", "x.cfg")
    assert [entry.section for entry in lines.entries] == ["metric"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_encodings(tmp_path: Path, encoding):
    path = tmp_path / "x.cfg"
    path.write_bytes("[path]\r\noutput_dir = 输出  # 结果\r\n".encode(encoding))
    (entry,) = read_lines(path).entries
    assert (entry.value, entry.comment, entry.place) == ("输出", "结果", Place(2, 1))


@pytest.mark.parametrize("data", [b"\xff\xff\x00", b"[path]\x00", b"\x89PNG\r\n\x1a\n\x00"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(InputError) as caught:
        decode(data, "x.cfg")
    assert str(caught.value) == "x.cfg: is not a text file; save it as UTF-8 (GBK is read too)"


def test_bytes_of_no_known_encoding_are_refused():
    with pytest.raises(InputError) as caught:
        decode(b"\xff\xff", "x.cfg")
    assert str(caught.value) == ("x.cfg: is not UTF-8 text (byte 0), nor GBK; save it as UTF-8 (GBK is read too)")


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read the cfg file: No such file or directory"):
        read_lines(tmp_path / "x.cfg")
    with pytest.raises(InputError, match="cannot read the cfg file: Is a directory"):
        read_lines(tmp_path)
    (tmp_path / "big.cfg").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="is larger than 1048576 bytes, which end in line 1: no cfg file is"):
        read_lines(tmp_path / "big.cfg")


@pytest.mark.parametrize("text", ["[" * 300_000, "a = " + "[;" * 150_000, 'a = "x\n' * 40_000, "[a]\n" * 60_000])
def test_hostile_text_takes_linear_time(text):
    start = time.process_time()
    lex(text, "x.cfg")
    assert time.process_time() - start < 5.0
