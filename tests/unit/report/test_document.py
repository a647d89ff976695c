"""What a run saves for its page: histograms keep every count, and foreign files are refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration.histogram import HistogramBuilder
from slimai.errors import InputError
from slimai.report import document

EMPTY = {
    "config": "", "environment": {}, "arithmetics": [], "layers": [], "suspects": [], "probes": [], "histograms": {},
    "cost": {}, "pictures": [], "notes": [],
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4000), st.floats(1e-6, 1e6))
def test_merged_bins_hold_every_value_where_it_lies(seed, size, spread):
    values = (np.random.default_rng(seed).normal(0, 1, size) * spread).astype(np.float32)
    builder = HistogramBuilder(4096)
    builder.add(values)
    data = document.histogram(builder.result())
    edges = np.ldexp(
        np.arange(data["first"], data["first"] + len(data["counts"]) + 1, dtype=np.float64), data["exponent"]
    )
    assert len(data["counts"]) <= document.BINS
    expected = np.histogram(values.astype(np.float64), edges)[0]
    # numpy closes the last bin on the right, where no value lies
    assert data["counts"] == expected.tolist()
    assert (data["minimum"], data["maximum"]) == (float(values.min()), float(values.max()))


def test_what_is_saved_is_loaded(tmp_path):
    document.save(tmp_path, EMPTY)
    assert document.load(tmp_path) == {"format": document.FORMAT, **EMPTY}


@pytest.mark.parametrize(
    ("text", "part"),
    [(None, "no finished run"), ("{", "cannot be read"), ("[]", "not of this version's format"),
     ('{"format": 1}', "not of this version's format"),
     (json.dumps({"format": 99, **EMPTY}), "not of this version's format"), ("[" * 100000, "cannot be read")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, text, part):
    if text is not None:
        (tmp_path / ".slimai").mkdir()
        (tmp_path / document.PLACE).write_text(text)
    with pytest.raises(InputError, match=part) as error:
        document.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_the_key_of_a_document(tmp_path):
    assert document.saved_key(tmp_path) is None
    document.save(tmp_path, EMPTY)
    assert document.saved_key(tmp_path) is None
    document.save(tmp_path, {**EMPTY, "key": "abc"})
    assert document.saved_key(tmp_path) == "abc"


@pytest.mark.parametrize("text", [None, "{", "{}", '{"candidates": 3}'])
def test_a_folder_without_results_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="is not the result of a run"):
        document.load_run(tmp_path)
