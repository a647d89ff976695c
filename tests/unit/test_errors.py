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
