"""A journal keeps whole lines through any crash."""

import pytest

from slimai.artifacts.journal import Journal


def test_entries_come_back_in_order(tmp_path):
    journal = Journal(tmp_path / "state" / "journal.jsonl")
    journal.append({"n": 1})
    journal.append({"n": 2, "text": "größe"})
    assert list(Journal(journal.path).entries()) == [{"n": 1}, {"n": 2, "text": "größe"}]


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_torn_last_line_is_ignored_and_does_not_spoil_the_next(tmp_path, cut):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"n": 1})
    whole = journal.path.read_bytes()
    journal.append({"n": 22222})
    journal.path.write_bytes(whole + journal.path.read_bytes()[len(whole) :][:cut])
    assert list(journal.entries()) == [{"n": 1}]
    journal.append({"n": 3})
    assert list(journal.entries()) == [{"n": 1}, {"n": 3}]


def test_no_file_is_no_entries(tmp_path):
    assert list(Journal(tmp_path / "none.jsonl").entries()) == []


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal(tmp_path / "j").append({"x": float("nan")})
