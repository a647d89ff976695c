"""What a run has saved for its page, altered by hand or cut by a full disk: a page or one message with the file."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.app.commands.report import main, rebuild
from slimai.errors import InputError
from slimai.report.document import PLACE
from tests.unit.report.test_page import run, saved


def write(folder, run_values, saved_values):
    (folder / ".slimai").mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run_values))
    (folder / PLACE).write_text(json.dumps(saved_values))


def test_the_whole_documents_make_a_page(tmp_path):
    write(tmp_path, run(), saved())
    assert main([str(tmp_path)]) == 0


@pytest.mark.parametrize("changes", [{"cost": 3}, {"layers": [{}]}, {"histograms": None}, {"pictures": [1]}])
def test_the_message(tmp_path, changes):
    write(tmp_path, run(), saved(**changes))
    with pytest.raises(InputError, match=r"report\.json: is damaged, no page can be built of it \(.*\); run the job"):
        rebuild(tmp_path)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


OTHERS = st.sampled_from([None, -1, 1e308, "x", [], {}, True, "\x1b[0m", [None], {"a": 1}, 10**30])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # of matplotlib, for numbers and letters that no run writes
def test_any_damage(tmp_path, data):
    documents = [run(), saved()]
    for _ in range(data.draw(st.integers(1, 3))):
        document = copy.deepcopy(documents[which := data.draw(st.integers(0, 1))])
        path = data.draw(st.sampled_from([place for place in places(document) if place]))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = data.draw(OTHERS)
        documents[which] = document
    write(tmp_path, *documents)
    try:
        rebuild(tmp_path)
    except InputError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - there may be none
