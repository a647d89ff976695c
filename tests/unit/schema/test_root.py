"""The whole configuration: settled paths and defaults, one shape of unions, the content key."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from slimai.schema.metric import PlainMetric, TopKMetric
from slimai.schema.root import SlimaiConfig

BASE = {
    "path": {"output_dir": "out", "image_dir": "images"},
    "network": {"input_model": "net.onnx"},
    "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
}


def build(base="/job", **sections):
    values = {name: {**BASE.get(name, {}), **sections.get(name, {})} for name in {*BASE, *sections}}
    return SlimaiConfig.model_validate(values, context={"base": Path(base)})


def test_relative_paths_start_from_the_base_lists_from_image_dir_the_model_from_input_dir():
    config = build(path={"input_dir": "nets", "tmp_dir": "../tmp"}, network={"input_model": "a/net.onnx"})
    assert config.path.output_dir == Path("/job/out")
    assert config.path.tmp_dir == Path("/tmp")  # noqa: S108 - what ../tmp means below /job
    assert config.dataset.calibration_set == Path("/job/images/calib.txt")
    assert config.network.input_model == Path("/job/nets/a/net.onnx")


def test_absolute_and_home_paths_stay(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = build(path={"image_dir": "~/pictures"}, dataset={"calibration_set": "/lists/c.txt"})
    assert config.path.image_dir == Path("/home/me/pictures")
    assert config.dataset.calibration_set == Path("/lists/c.txt")


@pytest.mark.parametrize("written", [2, [2], "2"])
def test_one_level_has_one_shape(written):
    assert build(quantization={"accuracy_level": written}).quantization.accuracy_level == (2,)


def test_levels_as_list_or_legacy_string_switch_the_search_on():
    for written in ([0, 1, 2], "0,1,2"):
        config = build(quantization={"accuracy_level": written})
        assert config.quantization.accuracy_level == (0, 1, 2)
        assert config.search_on
    assert not build().search_on
    assert build(smart_search={}).search_on


def test_documented_defaults():
    config = build()
    assert config.quantization.accuracy_level == (1,)
    assert config.quantization.range.values() == (Decimal(100),)
    assert (config.search.strategy, config.search.workers, config.search.seed) == ("exhaustive", 1, 0)
    assert (config.search.resume, config.search.time_limit, config.search.memory_limit) == (True, None, None)
    assert (config.performance.dsp_frequency, config.performance.read_delay) == (748.0, 150)


@pytest.mark.parametrize(
    ("network_class", "dataset", "expected"),
    [
        ("Classification", {}, "top1_5"),
        ("Classification", {"validation_set": None}, "cosine"),
        ("Detection", {}, "cosine"),
        ("Other", {}, "cosine"),
    ],
)
def test_the_default_metric(network_class, dataset, expected):
    metric = build(network={"class": network_class}, dataset=dataset, metric={"output_debug": 2}).metric
    assert metric.metric_cls == expected
    assert isinstance(metric, TopKMetric if expected == "top1_5" else PlainMetric)
    assert metric.output_debug == 2


def test_the_name_is_the_given_one_else_the_configuration_files_else_the_models():
    assert build(network={"name": "mine"}).network.name == "mine"
    assert build().network.name == "net"
    values = {**BASE, "config_file": "/conf/my net.yaml"}
    assert SlimaiConfig.model_validate(values).network.name == "my_net"


def test_the_legacy_type_is_derived():
    assert build().network.type == "ONNX"
    quantized = {"input_model": "n.tflite", "model_type": "quantized"}
    assert build(network=quantized).network.type == "Tensorflow"


@pytest.mark.parametrize(
    ("written", "number"), [("4GiB", 4 << 30), ("500 MB", 500_000_000), ("1.5kib", 1536), (4096, 4096), ("64", 64)]
)
def test_amounts_of_memory(written, number):
    assert build(smart_search={"memory_limit": written}).search.memory_limit == number


@pytest.mark.parametrize("written", ["4 gigs", "GiB", "-1GB", True, "0"])
def test_wrong_amounts_of_memory(written):
    with pytest.raises(ValidationError):
        build(smart_search={"memory_limit": written})


def test_mean_is_one_number_or_one_a_channel():
    assert build(network={"mean": 1}).network.mean == (1.0,)
    assert build(network={"mean": "0.5, 1,2"}).network.mean == (0.5, 1.0, 2.0)


def test_outputs_of_the_legacy_bracket_form():
    for written in (["a b"], "[a b]", "a,b", ["a", "b"]):
        assert build(metric={"replace_output": written}).metric.replace_output == ("a", "b")


def test_several_inputs():
    nodes = build(network={"input_node_name": {"left": 1, "right": {"column": 0, "mean": 3}}}).network.input_node_name
    assert [(name, node.column, node.mean) for name, node in nodes.items()] == [("left", 1, None), ("right", 0, (3.0,))]
    assert list(build(network={"input_node_name": "x"}).network.input_node_name) == ["x"]


def test_the_whole_is_frozen():
    config = build()
    with pytest.raises(ValidationError, match="frozen"):
        config.quantization.mix = True


def test_the_key_is_about_what_is_computed_not_where():
    key = build().key()
    assert len(key) == 16
    assert build(path={"output_dir": "elsewhere"}, smart_search={"workers": 8}).key() != key  # the search is on
    assert build(path={"output_dir": "elsewhere"}).key() == key
    assert build(quantization={"accuracy_level": 2}).key() != key


def test_a_validated_configuration_dumps_to_values_that_validate_to_the_same():
    config = build(quantization={"accuracy_level": [1, 3], "range": "96:99.5:0.5"}, metric={"metric_cls": "psnr"})
    again = SlimaiConfig.model_validate(config.model_dump(mode="json", by_alias=True))
    assert again == config
