"""What is said about a cfg: every mistake once, at its own line, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimai.config.legacy.load import judge_cfg, load_cfg
from slimai.errors import InputError
from slimai.schema.root import SlimaiConfig

WHOLE = """[path]
output_dir = out
image_dir = img
[network]
input_model = net.onnx
class = Classification
input_data_layout = NCHW
mean = 0.0,0.0,0.0
stddev = 1.0
[dataset]
calibration_set = calib.txt
calibration_count = 10
validation_set = val.txt
validation_count = 20
[quantization]
range = 100
"""


@pytest.fixture
def cfg(tmp_path):
    def write(text: str, name: str = "net.cfg") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def said(path: Path, severity: str) -> list[str]:
    _, found = load_cfg(path)
    return [str(item).replace(f"{path}:", "") for item in found if item.severity == severity]


def last_line(extra: str) -> int:
    return WHOLE.count("\n") + extra.count("\n") + 1


def test_a_whole_cfg_has_nothing_to_be_said_about(cfg):
    path = cfg(WHOLE)
    values, found = load_cfg(path)
    assert found == []
    config = SlimaiConfig.model_validate(values)
    assert config.path.output_dir == path.parent / "out"
    assert config.network.input_model == path.parent / "net.onnx"
    assert config.network.name == "net"
    assert config.metric.metric_cls == "top1_5"


TWELVE = """[path]
output_dir = out
image_dri = img
[network]
input_model = net.onnx
class = Detecton
input_data_layout = NCHW
channel_order = RBG
mean = 0.0,zero,0.0
stddev = 0
[dataset]
calibration_set = calib.txt
calibration_count = ten
validation_set = val.txt
validation_count = 20
validation_count = 30
[quantization]
accuracy_level = 1,7
range = 99:96:1
[smart_serch]
time_limit = 60
[metric]
metric_cls = voc_det_AP
metric_input = ann treshold=0.5,input_size=416x416
"""


def test_twelve_mistakes_give_twelve_messages_at_their_lines(cfg):
    path = cfg(TWELVE)
    _, found = load_cfg(path)
    assert [(item.line, item.column, item.severity) for item in found] == [
        (3, 1, "error"),
        (6, 9, "error"),
        (8, 17, "error"),
        (9, 12, "error"),
        (10, 10, "error"),
        (13, 21, "error"),
        (16, 1, "error"),
        (18, 20, "error"),
        (19, 9, "error"),
        (20, 1, "error"),
        (24, 20, "error"),
        (24, 33, "error"),
    ]
    assert [str(item).split(": ", 1)[1] for item in found] == [
        "unknown key 'image_dri' in [path] (got 'img'); did you mean 'image_dir'?",
        (
            "network.class: Input should be 'Classification', 'Detection', 'Segmentation' or 'Other' (got 'Detecton'); "
            "did you mean 'Detection'?"
        ),
        "network.channel_order: Input should be 'RGB', 'BGR' or 'GRAY' (got 'RBG'); did you mean 'RGB'?",
        "network.mean.1: Input should be a valid number, unable to parse string as a number (got 'zero')",
        "network.stddev: A divisor should be above 0 (got 0); x = (pixel - mean) / stddev",
        "dataset.calibration_count: Input should be a valid integer, unable to parse string as an integer (got 'ten')",
        "[dataset] validation_count is set twice, first in line 15 to '20' (got '30'); remove one of the two",
        (
            "quantization.accuracy_level.1: An accuracy level is an integer from 0 to 4 (got 7); "
            "a list searches over several: [1, 2, 3]"
        ),
        "quantization.range: The first percentage 99 is above the last 96 (got '99:96:1'); swap them",
        "unknown section [smart_serch]; did you mean [smart_search]?",
        "unknown option 'treshold' of metric_input (got 'treshold=0.5'); did you mean 'threshold'?",
        "metric.metric_input.input_size: Input should be [width, height] (got '416x416'); write [w, h] or \"w:h\"",
    ]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[quantization]\nmixx = True\n", "1: unknown key 'mixx' in [quantization] (got 'True'); did you mean 'Mix'?"),
        ("[performance]\naccuracy_levle = 1\n", ("1: unknown key 'accuracy_levle' in [performance] (got '1'); "
         "did you mean 'accuracy_level' of [quantization]?")),
        ("[performance]\nqqq = 1\n", ("1: unknown key 'qqq' in [performance] (got '1'); "
         "the keys of [performance] are optimization, dsp_frequency, read_delay, write_delay")),
        ("[Metric]\nmetric_cls = psnr\n", "1: section names are lower case, not [Metric]; write [metric]"),
        ("[qqq]\na = 1\n", ("1: unknown section [qqq]; the sections are path, network, dataset, quantization, "
         "smart_search, metric, performance, system, out_cntrl, graph, yolo_parameters")),
        ("[network]\ninput_mean = meanval.txt\n", ("1: [network] input_mean is not supported (got 'meanval.txt'); "
         "write the numbers of the mean file into 'mean', and 'stddev' in units of 0..255")),
        ("[metric]\nmetric_input = a b=1\n", ("16: [metric] metric_input without metric_cls (got 'a b=1'); "
         "name the metric: metric_cls = voc_det_AP, ...")),
        ("[metric]\nreplace_output = a b\n", ("18: [metric] replace_output is not a list of names in brackets "
         "(got 'a b'); write [name name]")),
        ("[graph]\ntensor = image\n", ("10: [graph] tensor gives no layout (got 'image'); "
         "write 'NAME, DWH' (NHWC) or 'NAME, WHD' (NCHW)")),
        ("[network]\ninput_node_name = x\n[graph]\ntensor = x, DWH\n", ("10: [graph] tensor says NHWC, but [network] "
         "input_data_layout says NCHW (got 'x, DWH'); remove one of the two")),
        ('[out_cntrl]\ndescription = "a b save"\n', ("15: [out_cntrl] description is not a list of outputs to save "
         "(got 'a b save'); write \"[name name] save\"")),
        ("[metric]\nmetric_cls = voc_det_ap\nmetric_input = x/y center=True\n", ("14: metric.metric_cls: unknown "
         "metric 'voc_det_ap' (got 'voc_det_ap'); did you mean 'voc_det_AP'?")),
        ("[metric]\nmetric_cls = coco_det_AP\nmetric_input = a.json 80 center\n", ("26: an item of metric_input is not "
         "of the form name=value (got 'center'); options are separated by commas, without spaces")),
        ("[metric]\nmetric_cls = voc_det_AP\nmetric_input = ann center=True,center=False\n", ("32: option 'center' of "
         "metric_input is given twice (got 'center=False'); remove one")),
        ("[metric]\nmetric_cls = psnr\nmetric_input = use_flaot\n", ("16: an item of metric_input is not of the form "
         "name=value (got 'use_flaot'); options are separated by commas, without spaces")),
        ("[metric]\noptimization = level2\n", ("1: 'optimization' is not a key of [metric] (got 'level2'); "
         "move it to [performance]")),
    ],
)  # fmt: skip
def test_one_mistake_one_message(cfg, extra, message):
    (found,) = said(cfg(WHOLE + extra), "error")
    at_its_header = extra.startswith(("[Metric]", "[qqq]"))
    line = last_line(extra) - 1 - (at_its_header or "voc_det_ap" in extra)
    assert found == f"{line}:{message}"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[system]\nxtensa_core = vision_dsp\n", ("1: [system] xtensa_core is dropped: no compiler of the target is "
         "called; the chip is section 'target' (got 'vision_dsp')")),
        ("[system]\ndsp_frequency = 748\n", ("1: [system] dsp_frequency is dropped: it belongs to [performance] and is "
         "not read here (got '748')")),
        ("[path]\ntmp_dir =\n", "1: [path] tmp_dir is empty and taken as not set"),
        ("[network]\nstddev = 1.0\n", ("1: [network] stddev is set twice to the same value, "
         "first in line 9 (got '1.0')")),
        ("[graph]\ntensor = y, WHD\n", ("10: [graph] tensor is dropped: [network] input_node_name names no such "
         "input, and only inputs have layouts (got 'y, WHD')")),
        ("[quantization]\nMix = True\naccuracy_level = 1\nnodename_datatype = rules.yaml\n", ("21: [quantization] "
         "nodename_datatypes should lie beside the cfg and bear its name, net.yaml (got 'rules.yaml'); "
         "slimai reads it from any place, the vendor's compiler does not")),
        ("[metric]\nmetric_cls = faces_map\nmetric_input = faces/list threshold=0.6\n", ("16: the plug-in gets "
         "metric_input as it stands, so its path starts from the current directory (got 'faces/list threshold=0.6')")),
    ],
)  # fmt: skip
def test_what_is_dropped_is_said(cfg, extra, message):
    path = cfg(WHOLE + extra)
    assert said(path, "error") == []
    assert said(path, "warning") == [f"{last_line(extra) - 1}:{message}"]


def test_a_rule_across_sections_points_at_the_line_that_breaks_it(cfg):
    path = cfg(WHOLE + "[quantization]\nMix = True\naccuracy_level = 0\n")
    (found,) = [item for item in load_cfg(path)[1] if item.severity == "error"]
    assert found.line in {WHOLE.count("\n") + 2, WHOLE.count("\n") + 3}
    assert "mix" in found.key or "accuracy_level" in found.key


def test_keys_that_a_job_needs_are_errors_at_their_section(cfg):
    path = cfg("[path]\nimage_dir = img\n[network]\nclass = Other\n[dataset]\ncalibration_set = x\n")
    assert said(path, "error") == [
        "1:1: path.output_dir: is required; add 'output_dir = ...' to [path]",
        "3:1: network.input_model: is required; add 'input_model = ...' to [network]",
    ]
    assert judge_cfg(path).missing == ("path.output_dir", "network.input_model")


def test_keys_are_read_in_any_case_and_old_spellings(cfg):
    text = WHOLE + "[quantization]\nmix = true\nACCURACY_LEVEL = 2\nnodekind_datatype = net.yaml\n"
    values, found = load_cfg(cfg(text))
    assert found == []
    assert values["quantization"] == {
        "range": "100",
        "mix": True,
        "accuracy_level": 2,
        "nodekind_datatypes": str(cfg(text).parent / "net.yaml"),
    }


def test_an_empty_smart_search_section_turns_the_search_on(cfg):
    values, _ = load_cfg(cfg(WHOLE + "[smart_search]\n"))
    assert SlimaiConfig.model_validate(values).search_on


def test_layouts_of_several_inputs(cfg):
    text = WHOLE + "[network]\ninput_node_name = left,right\n[graph]\ntensor = right, DWH\n"
    values, found = load_cfg(cfg(text))
    assert found == []
    assert values["network"]["input_node_name"] == {"left": {}, "right": {"input_data_layout": "NHWC"}}


def test_an_output_description_gives_order_and_metric(cfg):
    text = (
        WHOLE.replace("Classification", "Detection")
        + '[out_cntrl]\ndescription = "\n[c:c b a] save voc_det_AP ann center=True\n[c] save\n"\n'
    )
    values, found = load_cfg(cfg(text))
    assert values["metric"]["replace_output"] == ["c", "b", "a"]
    assert values["metric"]["metric_cls"] == "voc_det_AP"
    assert values["metric"]["metric_input"] == {"annotations": str(cfg(text).parent / "ann"), "center": True}
    assert [str(item).split(": ", 1)[1] for item in found] == [
        "only the first line of [out_cntrl] description is read; this one is dropped (got '[c] save')"
    ]


def test_paths_start_from_the_cfg_and_input_dir_from_itself(cfg):
    values, _ = load_cfg(cfg(WHOLE.replace("[network]", "input_dir = models\n[network]")))
    config = SlimaiConfig.model_validate(values)
    assert config.network.input_model == cfg("").parent / "models" / "net.onnx"


def test_nothing_in_a_cfg_is_evaluated(cfg):
    text = WHOLE.replace("out\n", "${oc.env:HOME}/$(id)\n", 1)
    path = cfg(text)
    values, found = load_cfg(path)
    assert found == []
    assert values["path"]["output_dir"] == str(path.parent / "${oc.env:HOME}/$(id)")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("accuracy_level =", "1: [quantization] accuracy_level is empty; give a value, or remove the line"),
        ("histogram_bins = #number#", ("1: [quantization] histogram_bins is empty: 'number#' behind it is read as a "
         "comment; give a value, or remove the line")),
        ("calibration =   ; soon", ("1: [quantization] calibration is empty: 'soon' behind it is read as a comment; "
         "give a value, or remove the line")),
        ("Mix =", "1: [quantization] Mix is empty; give a value, or remove the line"),
    ],
)  # fmt: skip
def test_an_empty_value_is_no_choice(cfg, line, message):
    (found,) = said(cfg(f"{WHOLE}{line}\n"), "error")
    assert found == f"{WHOLE.count(chr(10)) + 1}:{message}"


@pytest.mark.parametrize("text", ["", "[quantization]\n"])
def test_a_cfg_that_chooses_nothing_says_what_it_runs_with(cfg, text):
    (found,) = said(cfg(WHOLE.replace("[quantization]\nrange = 100\n", text)), "warning")
    assert found.endswith(
        "no [quantization]: the defaults are taken, accuracy_level 1, range 100, no single-shot calibration; "
        "add the section to choose"
    )


@pytest.mark.parametrize("line", ["ann center=True, threshold=0.3", "ann center=True threshold=0.3"])
def test_a_blank_inside_the_options(cfg, line):
    text = WHOLE.replace("Classification", "Detection") + f"[metric]\nmetric_cls = voc_det_AP\nmetric_input = {line}\n"
    (found,) = said(cfg(text), "error")
    column = len("metric_input = ") + line.index("threshold") + 1
    assert found == (
        f"{text.count(chr(10))}:{column}: a blank inside the options of metric_input (got 'threshold=0.3'); "
        "separate them with commas alone"
    )


@pytest.mark.parametrize(("text", "value"), [("1", True), ("0", False), ("True", True), ("false", False)])
def test_switches_read_alike(cfg, text, value):
    values, found = load_cfg(cfg(f"{WHOLE}Mix = {text}\n[metric]\nAdjust = {text}\n"))
    assert [item for item in found if item.severity == "error"] == []
    assert values["quantization"]["mix"] is value
    assert values["metric"]["adjust"] is value


def test_a_file_that_is_too_large_names_the_line(tmp_path):
    path = tmp_path / "net.cfg"
    path.write_text("# a comment\n" * 400_000)
    with pytest.raises(InputError) as caught:
        load_cfg(path)
    line = (1 << 20) // len("# a comment\n") + 1
    assert str(caught.value) == (
        f"{path}:{line}: is larger than 1048576 bytes, which end in line {line}: no cfg file is; "
        "take out what is no setting"
    )
