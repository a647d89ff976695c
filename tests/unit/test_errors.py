"""Mistakes travel between processes unchanged."""

import pickle

import pytest

from slimai.errors import Diagnostic, InputError


@pytest.mark.parametrize("mistake", [Diagnostic("is wrong"), Diagnostic("is wrong", key="a.b", value=None)])
def test_a_mistake_from_another_process_reads_as_it_was_told(mistake):
    again = pickle.loads(pickle.dumps(InputError([mistake, mistake])))  # noqa: S301 - what a process pool does
    assert str(again) == f"{mistake}\n{mistake}"
    assert [str(item) for item in again.diagnostics] == [str(mistake)] * 2
    assert again.diagnostics[0].has_value == mistake.has_value


def test_a_terminal_is_given_no_escape_byte():
    mistake = Diagnostic("is \x1b]0;owned\x07", key="a\x1b[2J", value="\x1b", file="x\x9b1m\udcff.yaml")
    assert str(mistake) == r"x\x9b1m\udcff.yaml: a\x1b[2J: is \x1b]0;owned\x07 (got '\x1b')"


def test_a_number_that_python_does_not_print_is_still_told():
    assert str(Diagnostic("is large", value=10**5000)) == "is large (got a number of more than 4300 digits)"
