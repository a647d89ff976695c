"""The text of an exported cfg, tuned values, and what a cfg cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimai.config.legacy.export import Tuned, export_cfg, tuned_from
from slimai.schema.network import InputNode
from slimai.schema.root import SlimaiConfig


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def build(**sections) -> SlimaiConfig:
        values = {
            "path": {"output_dir": "out", "image_dir": "data"},
            "network": {"name": "net", "input_model": "net.onnx", "class": "Detection", "mean": [0, 0.5, 1]},
            "dataset": {
                "calibration_set": "calib.txt",
                "calibration_count": 8,
                "validation_set": "val.txt",
                "validation_count": 9,
            },
        }
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
        return SlimaiConfig.model_validate(values)

    return build


VOC = {"metric_cls": "voc_det_AP", "metric_input": {"annotations": "data/xml", "center": True}}


def test_the_text_of_a_cfg(config):
    search = {"accuracy_level": [0, 2], "range": "96:99:1"}
    export = export_cfg(config(quantization=search, metric=VOC, smart_search={"time_limit": 60}), Path("npu/net.cfg"))
    assert export.diagnostics == ()
    assert export.text == (
        "# Written by `slimai export`.\n\n"
        "[path]\noutput_dir = ../out\nimage_dir = ../data\n\n"
        "[network]\nname = net\ninput_model = ../net.onnx\nclass = Detection\ninput_data_layout = NCHW\n"
        "channel_order = RGB\nmean = 0,0.5,1\nstddev = 1\n\n"
        "[dataset]\ncalibration_set = calib.txt\ncalibration_count = 8\n"
        "validation_set = val.txt\nvalidation_count = 9\n\n"
        "[quantization]\naccuracy_level = 0,2\nrange = 96:99\n\n"
        "[smart_search]\nsmart_search_level = 0\ntime_limit = 60\n\n"
        "[metric]\nmetric_cls = voc_det_AP\nmetric_input = ../data/xml center=True\n\n"
        "[performance]\noptimization = level2\n"
    )


def test_tuned_values_end_the_search(config):
    built = config(quantization={"accuracy_level": [0, 2], "range": "96:99:1"}, smart_search={"time_limit": 60})
    text = export_cfg(built, Path("net.cfg"), Tuned(2, "97.5")).text
    assert "[quantization]\naccuracy_level = 2\nrange = 97.5:97.5\n" in text
    assert "[smart_search]" not in text


def test_a_tuned_single_shot_run_names_its_method(config):
    built = config(quantization={"histogram_bins": 10240, "calibration": ["ImprovedMSE", "ImprovedKL"]})
    text = export_cfg(built, Path("net.cfg"), Tuned(3, None, "ImprovedKL")).text
    assert "[quantization]\naccuracy_level = 3\nhistogram_bins = 10240\ncalibration = ImprovedKL\n" in text


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        ("range 98.5", "range = 98.5:98.5\n"),
        ("ImprovedKL", "histogram_bins = 10240\ncalibration = ImprovedKL\n"),
        ("MeanExtrema", "histogram_bins = 10240\ncalibration = ImprovedMSE\n"),
    ],
)
@pytest.mark.parametrize("tuned", [False, True])
def test_an_entry_of_limits_is_written_in_the_old_words(config, limits, lines, tuned):
    section = {"accuracy_level": 3, "limits": "auto" if tuned else [limits]}
    name, _, percent = limits.partition(" ")
    found = (Tuned(3, percent) if percent else Tuned(3, None, name)) if tuned else None
    export = export_cfg(config(quantization=section), Path("net.cfg"), found)
    assert f"[quantization]\naccuracy_level = 3\n{lines}\n" in export.text
    told = [str(item) for item in export.diagnostics if "quantization" in str(item)]
    swap = "MeanExtrema is not known to the vendor's compiler, ImprovedMSE is written in its place"
    assert told == ([f"quantization.calibration: {swap}"] if limits == "MeanExtrema" else [])


@pytest.mark.parametrize(
    ("limits", "tuned", "message"),
    [
        (["percentile 99.9"], None, "(got 'percentile 99.9')"),
        ("auto", Tuned(1, "99.9", central=True), "(got 'percentile 99.9')"),
        ("auto", None, "give --from RUN_DIR"),
    ],
)
def test_limits_that_a_cfg_cannot_say_are_refused(config, limits, tuned, message):
    export = export_cfg(config(quantization={"limits": limits}), Path("net.cfg"), tuned)
    assert export.failed
    (told,) = [str(item) for item in export.diagnostics if item.severity == "error"]
    assert told.startswith("quantization.limits: ")
    assert message in told


@pytest.mark.parametrize(
    ("best", "tuned"),
    [
        ({"accuracy_level": 1, "range": 99.9, "range_mode": "percentile"}, Tuned(1, "99.9", central=True)),
        ({"accuracy_level": 1, "range": 99, "variant": "percentile_clip"}, Tuned(1, "99", central=True)),
        ({"profile": "n_98.yaml", "accuracy_level": 1, "range": 98.0, "calibration": None}, Tuned(1, "98", None)),
        ({"profile": "n_99.5.yaml", "accuracy_level": 4, "range": 99.5}, Tuned(4, "99.5", None)),
        ({"accuracy_level": 3, "range": None, "calibration": "ImprovedKL"}, Tuned(3, None, "ImprovedKL")),
        (None, None),
    ],
)
def test_the_best_of_a_run(best, tuned):
    assert tuned_from({"best": best}) == tuned


def test_what_a_cfg_cannot_say_is_listed(config):
    built = config(
        quantization={"range_mode": "percentile", "level4_weights": "s8", "calibration": ["ImprovedMSE"]},
        network={"channel_order": "GRAY", "mean": 0, "resize": "stretch"},
        target={"acc_bits": 24},
        dataset={"validation_count": None},
        metric={**VOC, "metric_input": {**VOC["metric_input"], "ap": "11point"}},
        smart_search={"strategy": "racing"},
    )
    export = export_cfg(built, Path("net.cfg"))
    assert not export.failed
    assert {str(item) for item in export.diagnostics} == {
        "network: resize: without a legacy key, left out of the cfg",
        "quantization: range_mode, level4_weights: without a legacy key, left out of the cfg",
        "smart_search: strategy: without a legacy key, left out of the cfg",
        "target: acc_bits: without a legacy key, left out of the cfg",
        "dataset.validation_count: is not set; the vendor's compiler wants it",
        (
            "network.channel_order: is written, but the vendor's compiler is not known to read it (got 'GRAY'); "
            "check what it makes of this line"
        ),
        (
            "metric.metric_input.ap: is written, but the vendor's compiler is not known to read it (got '11point'); "
            "check what it makes of this line"
        ),
    }


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"path": {"output_dir": "a #b"}}, ("[path] output_dir: cannot be written in a cfg: a line break, a quote or a "
         "comment sign would change it (got 'a #b')")),
        ({"path": {"output_dir": "a\nb"}}, ("[path] output_dir: cannot be written in a cfg: a line break, a quote or a "
         "comment sign would change it (got 'a\\nb')")),
        ({"network": {"input_node_name": {"a,b": {}}}}, ("[network] input_node_name: an input whose name has a comma "
         "or outer blanks cannot be written in a cfg (got 'a,b')")),
        ({"metric": {"replace_output": ["a b", "c", "d"], **VOC}}, ("[metric] replace_output: an output whose name has "
         "blanks, commas or brackets cannot be written in a cfg (got 'a b')")),
        ({"metric": {**VOC, "metric_input": {"annotations": "my xml"}}}, ("[metric] metric_input: cannot be written in "
         "one line: blanks and the signs , ; = [ ] separate its items (got 'my xml')")),
    ],
)  # fmt: skip
def test_what_would_be_read_back_differently_is_refused(config, sections, message):
    export = export_cfg(config(**sections), Path("net.cfg"))
    assert export.failed
    assert [str(item) for item in export.diagnostics if item.severity == "error"] == [message]


def test_inputs_with_layouts_of_their_own(config):
    nodes = {"left": {}, "right": {"input_data_layout": "NHWC"}}
    text = export_cfg(config(network={"input_node_name": nodes}), Path("net.cfg")).text
    assert "input_node_name = left,right\n" in text
    assert text.endswith("[graph]\ntensor = right, DWH\n")


@pytest.mark.parametrize("name", [name for name in InputNode.model_fields if name != "input_data_layout"])
def test_of_an_input_what_is_set_is_left_out_by_name_and_defaults_are_not(config, name):
    """`column` is kept where it is the input's own place."""
    chosen = {"column": 0, "shape": [1, 3], "channel_order": "BGR", "mean": [1.0], "stddev": [2.0], "resize": "stretch"}
    chosen |= {"state": False, "seq": True}
    default = InputNode.model_fields[name].default
    nodes = {"left": {}, "right": {name: default}, "third": {name: chosen[name]}}
    export = export_cfg(config(network={"input_node_name": nodes}), Path("net.cfg"))
    said = [str(item) for item in export.diagnostics if "input_node_name" in item.key]
    assert said == [f"network.input_node_name.third: {name}: without a legacy key, left out of the cfg"]


def test_a_path_outside_the_current_folder_stays_absolute(config):
    text = export_cfg(config(path={"output_dir": "/srv/out", "input_dir": "models"}), Path("npu/net.cfg")).text
    assert "output_dir = /srv/out\n" in text
    assert "input_dir = ../models\n" in text
    assert "input_model = net.onnx\n" in text


def test_a_rules_file_has_to_go_with_the_cfg(config, tmp_path):
    rules = {"mix": True, "nodename_datatypes": "rules.yaml"}
    export = export_cfg(config(quantization=rules, metric=VOC), Path("net.cfg"))
    assert [str(item) for item in export.diagnostics if "nodename" in item.key] == [
        (
            "quantization.nodename_datatypes: the vendor's compiler reads it beside the cfg, under the cfg's name; "
            f"copy {tmp_path}/rules.yaml there as <cfg's stem>.yaml"
        )
    ]
