"""Errors inside `metric` stand at the key that was written, whatever kind of metric it is."""

from __future__ import annotations

import pytest

from slimai.config.diagnose import judge_values
from slimai.schema.metric import METRICS, SECTIONS


@pytest.mark.parametrize("name", [*METRICS, "my_metric"])
@pytest.mark.parametrize("key", SECTIONS)
def test_an_unknown_key_that_is_called_like_a_kind_keeps_its_name(name, key):
    values = {"path": {}, "network": {"input_model": "a.onnx"}, "metric": {"metric_cls": name, key: 1}}
    _, found = judge_values(values)
    [item] = [item for item in found if item.key.startswith("metric.") and item.message == "unknown key"]
    assert item.key == f"metric.{key}"
