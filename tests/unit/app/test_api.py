"""The Python face: load_config, validate, run."""

from __future__ import annotations

import pytest

import slimai
import slimai.app.run.pipeline
from slimai.errors import InputError
from slimai.schema.root import SlimaiConfig


def test_load_config_returns_the_frozen_configuration():
    config = slimai.load_config("+model=yolo", "quantization.accuracy_level=[1,3]")
    assert isinstance(config, SlimaiConfig)
    assert config.quantization.accuracy_level == (1, 3)
    assert config.network.name == "yolo"


def test_load_config_raises_every_mistake_with_its_place():
    with pytest.raises(InputError) as error:
        slimai.load_config("+model=yolo", "quantization.accuracy_level=9", "metric.output_debug=7")
    assert [(item.override, item.key) for item in error.value.diagnostics] == [
        ("quantization.accuracy_level=9", "quantization.accuracy_level"),
        ("metric.output_debug=7", "metric.output_debug"),
    ]


def test_validate_returns_diagnostics():
    assert slimai.validate("+model=yolo") == []
    [item] = slimai.validate("+model=yolo", "network.input_model=/nope.onnx")
    assert (item.key, item.message, item.override) == (
        "network.input_model",
        "there is no such file",
        "network.input_model=/nope.onnx",
    )
    [item] = slimai.validate("+model=nope")
    assert "there is no model 'nope'" in item.message


def test_run_takes_a_configuration_or_overrides(monkeypatch):
    seen = []

    def run_job(config, *, reporter):
        seen.append((config, reporter))

    monkeypatch.setattr(slimai.app.run.pipeline, "run_job", run_job)
    slimai.run(slimai.load_config("+model=yolo"))
    slimai.run(["+model=yolo"])
    assert seen[0] == seen[1]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        slimai.nope  # noqa: B018
