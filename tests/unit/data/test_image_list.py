from __future__ import annotations

import pytest

from slimai.data.image_list import MORE_COLUMNS, parse_image_list
from slimai.encodings import CURE


@pytest.fixture
def pictures(tmp_path):
    for name in ("a.png", "b.png", "c.png", "b.v2.png"):
        (tmp_path / name).touch()
    return tmp_path


def parse(folder, text, count=None):
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    samples, problems = parse_image_list(path, folder, count)
    return samples, [str(item).replace(str(path), "LIST").replace(str(folder), "DIR") for item in problems]


def test_count_line_paths_and_labels(pictures):
    samples, problems = parse(pictures, "2\na.png 3\nb.png,c.png 1,2\n")
    assert problems == ["LIST:3: 2 inputs, but line 2 has 1 (got 'b.png,c.png 1,2')"]
    assert [(item.index, item.files, item.labels, item.line) for item in samples] == [
        (0, (pictures / "a.png",), ("3",), 2)
    ]


@pytest.mark.parametrize(
    "text",
    ["a.png 0\nb.png 1", "\ufeff2\r\na.png 0\r\n\r\nb.png 1\r\n", "\n2\n\n  a.png\t0 \nb.png   1\nc.png 9\n"],
    ids=["no count line", "BOM, CRLF, blank line", "more lines than the count"],
)
def test_forms_of_one_list(pictures, text):
    samples, problems = parse(pictures, text)
    assert problems == []
    assert [(item.files[0].name, item.labels) for item in samples] == [("a.png", ("0",)), ("b.png", ("1",))]


def test_several_inputs_and_labels(pictures):
    samples, problems = parse(pictures, "1\na.png,b.png 4,x.xml\n")
    assert problems == []
    assert samples[0].files == (pictures / "a.png", pictures / "b.png")
    assert samples[0].labels == ("4", "x.xml")
    assert samples[0].stem == "a"


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("3\na.png\nb.png\n", None, ["LIST:1: the list says 3 samples, but 2 lines follow; correct the first line"]),
        ("2\na.png\nb.png\n", 5, ["LIST: 5 samples are asked for, but the list holds 2; ask for at most 2"]),
        ("1\na.png\nb.png\n", 2, ["LIST: 2 samples are asked for, but the list holds 1; ask for at most 1"]),
        ("", None, ["LIST: the list holds no samples"]),
        ("0\n", None, ["LIST: the list holds no samples"]),
        (
            "2\nx.png\ny.png\n",
            None,
            [
                "LIST:2: there is no such file (got 'DIR/x.png')",
                "LIST:3: there is no such file (got 'DIR/y.png')",
            ],
        ),
        (
            "a.png 1 2\n",
            None,
            [f"LIST:1: {MORE_COLUMNS} (got 'a.png 1 2')"],
        ),
        ("a.png,,b.png\n", None, ["LIST:1: an empty name between commas (got 'a.png,,b.png')"]),
        (
            b"a.png\n\xff\xfe",
            None,
            [f"LIST: the list is not UTF-8 text (byte 6), nor GBK; {CURE}"],
        ),
        (
            "b.v2.png\n",
            None,
            ["LIST:1: 'b.v2.png': a dot inside the stem, which the vendor's tools refuse"],
        ),
    ],
)
def test_messages(pictures, text, count, expected):
    assert parse(pictures, text, count)[1] == expected


def test_all_mistakes_at_once(pictures):
    _, problems = parse(pictures, "9\na.png 1 2\nnone.png\nb.v2.png\n", 7)
    assert len(problems) == 5


def test_only_the_first_lines_are_checked(pictures):
    samples, problems = parse(pictures, "3\na.png\nnone.png\nnone2.png\n", 1)
    assert (len(samples), problems) == (1, [])


def test_many_missing_images_are_shortened(pictures):
    _, problems = parse(pictures, "".join(f"x{number}.png\n" for number in range(30)))
    assert len(problems) == 21
    assert problems[-1] == "LIST: and 10 more mistakes like these"


def test_dot_is_a_warning(pictures):
    (pictures / "list.txt").write_text("b.v2.png\n")
    _, (problem,) = parse_image_list(pictures / "list.txt", pictures)
    assert problem.severity == "warning"


def test_missing_list(tmp_path):
    samples, (problem,) = parse_image_list(tmp_path / "none.txt", tmp_path)
    assert samples == ()
    assert str(problem) == f"{tmp_path}/none.txt: the list cannot be read: No such file or directory"
