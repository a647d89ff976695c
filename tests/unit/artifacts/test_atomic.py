"""Files are whole or absent."""

import stat

import pytest

from slimai.artifacts.atomic import atomic_file, write_text


def write_half(path):
    with atomic_file(path) as file:
        file.write("half")
        raise RuntimeError("stop")


def test_an_error_keeps_the_earlier_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "earlier\n")
    with pytest.raises(RuntimeError, match="stop"):
        write_half(path)
    assert path.read_text() == "earlier\n"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "中文\n")
    assert (tmp_path / "a.txt").read_bytes() == "中文\n".encode()


def test_results_are_readable_as_other_new_files_are(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert mode[0] == mode[1]
