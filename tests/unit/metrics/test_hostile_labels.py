"""Labels that no tool writes: one message with file and entry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slimai.blobs.reader import parse_blob
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.harness import Dump, _read
from slimai.metrics.labels.coco import read_instances


@pytest.mark.parametrize("value", [{}, [], None, "1", True, 1.0])
def test_a_category_that_is_no_whole_number(tmp_path, value):
    path = tmp_path / "instances.json"
    entry = {"image_id": 1, "category_id": value, "bbox": [0, 0, 1, 1]}
    images = [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}]
    path.write_text(json.dumps({"images": images, "annotations": [entry], "categories": [{"id": 1, "name": "a"}]}))
    with pytest.raises(InputError, match=r"annotations\[0\]: category_id .* is not among the categories"):
        read_instances(path, 1, [Sample(0, (Path("a.png"),))])


@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "1e300"])
def test_a_blob_that_is_not_finite_names_its_file(tmp_path, number):
    (tmp_path / "a_y.blob").write_text(f"1.0 2 1 1 1 F32\n1.5 {number}\n")
    assert np.isfinite(parse_blob(b"1.0 2 1 1 1 F32\n1.5 2.5\n", "x").real()).all()
    with pytest.raises(InputError, match=r"a_y\.blob: 1 of 2 values are not finite, so it has no score") as caught:
        _read(tmp_path, Sample(0, (Path("a.png"),)), Dump(("y",), tmp_path))
    assert caught.value.exit_code == 2
