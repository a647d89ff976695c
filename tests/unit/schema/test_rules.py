"""Every cross-section rule: one case that breaks it, with the message it gives."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from slimai.config.diagnose import judge_values
from slimai.schema import metric_rules, rules

YOLO = {
    "annotations": "xml",
    "custom_pp": "yolo",
    "input_size": [8, 8],
    "anchors": [[[1, 2]], [[3, 4]]],
}
VALID: dict[str, Any] = {
    "path": {"output_dir": "out", "image_dir": "images"},
    "network": {"input_model": "net.onnx", "class": "Detection"},
    "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
    "quantization": {"accuracy_level": 3},
    "metric": {"metric_cls": "voc_det_AP", "metric_input": YOLO},
}

AUTO = {"quantization.mix": "auto", "quantization.mix_goal": {"score": 0.9}}


@dataclass
class Case:
    """Dotted keys to set on the valid configuration, and the text that must appear as the only diagnostic."""

    rule: str
    change: dict[str, Any]
    text: str
    severity: str = "error"
    drop: tuple[str, ...] = field(default=())


SEQUENCES = {"network.input_node_name": {"x": {"seq": True}}, "network.input_data_layout": "NonImage"}

CASES = [
    *(
        Case(
            "sequences_scored",
            {**SEQUENCES, "metric.metric_cls": name, "network.class": network_class},
            "metric.metric_cls: this metric scores one output a sample, and a sequence (seq: true) has one a step "
            f"(got '{name}'); use cosine or NoMetric, or a metric plug-in, which gets [1, steps, ...]",
            drop=("metric.metric_input",),
        )
        for name, network_class in (("top1", "Classification"), ("top1_5", "Other"))
    ),
    Case(
        "four_bit_weights",
        {"quantization.weight_bits": 4},
        "quantization.weight_bits: the target vision_dsp has no weights of 4 bits (its weight_bits: [8]) (got 4); "
        "take target=npu, or set target.weight_bits: [8, 4] where the chip has them",
    ),
    Case(
        "four_bit_weights",
        {"quantization.weight_bits": 4, "target.weight_bits": [8, 4], "quantization.accuracy_level": [0, 3]},
        "quantization.accuracy_level: weight_bits: 4 is not possible with level 0, which has one weight scale a tensor "
        "(got [0, 3]); take levels 1 to 3",
    ),
    Case(
        "four_bit_weights",
        {"quantization.weight_bits": 4, "target.weight_bits": [8, 4], "quantization.accuracy_level": [3, 4]},
        "quantization.accuracy_level: weight_bits: 4 is not possible with level 4, which has 16-bit activations "
        "(got [3, 4]); take levels 1 to 3",
    ),
    Case(
        "four_bit_weights",
        {
            "quantization.weight_bits": 4,
            "target.weight_bits": [8, 4],
            "network.model_type": "quantized",
            "network.input_model": "net.tflite",
        },
        "quantization.weight_bits: a pre-quantized model keeps its integer weights (got 4); remove it",
    ),
    Case(
        "portable_c",
        {"codegen.language": "c", "target.arithmetic": "ort_f32"},
        "codegen.language: c has integers alone: ort_f32 is float by definition; choose another target.arithmetic",
    ),
    Case(
        "portable_c",
        {"codegen.language": "c", "stages": ["gen_quant_profile", "flt_inference", "use_quant_profile"]},
        "codegen.language: does nothing without the stage gen_code; let stages end in gen_code",
        "warning",
    ),
    Case(
        "single_shot",
        {"quantization.histogram_bins": 10240, "quantization.range": "90:99"},
        "quantization.range: is ignored: histogram_bins asks for single-shot calibration; remove one",
        "warning",
    ),
    Case(
        "single_shot",
        {"quantization.histogram_bins": 10240, "quantization.range_mode": "percentile"},
        "quantization.range_mode: is ignored: histogram_bins asks for single-shot calibration",
        "warning",
    ),
    Case(
        "single_shot",
        {"quantization.calibration": "ImprovedKL"},
        "quantization.calibration: does nothing without histogram_bins; set histogram_bins: 10240",
        "warning",
    ),
    Case(
        "one_list_of_limits",
        {"quantization.limits": "auto", "quantization.range": "90:99"},
        "quantization.range: cannot stand beside quantization.limits (got '90:99'); remove it, and write its values",
    ),
    Case(
        "one_list_of_limits",
        {"quantization.limits": ["ImprovedMSE"], "quantization.calibration": "ImprovedKL"},
        "quantization.calibration: cannot stand beside quantization.limits (got ['ImprovedKL']); remove it",
    ),
    Case(
        "one_list_of_limits",
        {
            "quantization.limits": ["range 90"],
            "quantization.range_mode": "percentile",
            "quantization.histogram_bins": 512,
        },
        "quantization.range_mode: cannot stand beside quantization.limits (got 'percentile'); remove it",
    ),
    Case(
        "automatic_mix",
        {
            "quantization.limits": "auto",
            "quantization.mix": "auto",
            "quantization.mix_goal": {"max_drop": 0.01},
        },
        "quantization.limits: mix: auto raises layers of one setting; keep one entry, as ImprovedMSE",
    ),
    Case(
        "mixed_precision",
        {"quantization.mix": True, "quantization.accuracy_level": [0, 1]},
        "quantization.accuracy_level: mixed precision is not possible with level 0, which has no per-channel weights "
        "(got [0, 1]); take levels 1 to 4",
    ),
    Case("mixed_precision", {"quantization.mix": "auto"}, "quantization.mix_goal: is needed by mix: auto"),
    Case(
        "mixed_precision",
        {"quantization.mix_goal": {"score": 0.9}},
        "quantization.mix_goal: belongs to mix: auto; set quantization.mix: auto, or remove it",
    ),
    Case(
        "mixed_precision",
        {"quantization.mix": True, "quantization.mix_goal": {"score": 0.9}},
        "quantization.mix_goal: belongs to mix: auto",
    ),
    Case(
        "mixed_precision",
        {"quantization.nodename_datatypes": "r.yaml"},
        "quantization.nodename_datatypes: needs mixed precision; set quantization.mix: true, or remove it",
    ),
    Case(
        "mixed_precision",
        {
            "quantization.mix": "auto",
            "quantization.mix_goal": {"score": 0.9},
            "quantization.nodekind_datatypes": "r.yaml",
        },
        "quantization.mix: auto writes the rules itself",
    ),
    Case(
        "automatic_mix",
        AUTO | {"quantization.accuracy_level": [1, 3]},
        "quantization.accuracy_level: mix: auto raises layers of one level (got [1, 3]); set one level, of 1 to 3",
    ),
    Case(
        "automatic_mix",
        AUTO | {"quantization.accuracy_level": 4},
        "quantization.accuracy_level: has no layer to raise: level 4 is all 16 bit (got 4); take 1 to 3",
    ),
    Case(
        "automatic_mix",
        AUTO | {"quantization.range": "98:100"},
        "quantization.range: mix: auto raises layers of one setting; set one range, as 100",
    ),
    Case(
        "automatic_mix",
        AUTO | {"quantization.histogram_bins": 2048, "quantization.calibration": ["ImprovedMSE", "ImprovedKL"]},
        "quantization.calibration: mix: auto raises layers of one setting; set one calibration",
    ),
    Case(
        "automatic_mix",
        AUTO | {"metric": {"metric_cls": "NoMetric"}},
        "metric.metric_cls: mix: auto needs a score (got 'NoMetric'); take a metric",
    ),
    Case(
        "automatic_mix",
        AUTO | {"metric.adjust": True},
        "metric.adjust: cannot stand beside mix: auto; let auto write its rules, then adjust with mix: true",
    ),
    Case(
        "automatic_mix",
        AUTO | {"stages": ["gen_quant_profile", "flt_inference"]},
        "stages: stop before use_quant_profile: mix: auto has no scores; add use_quant_profile",
    ),
    Case(
        "automatic_mix",
        AUTO | {"smart_search": {"max_drop": 0.1}},
        "smart_search.max_drop: cannot stand beside mix: auto; give it as quantization.mix_goal",
    ),
    Case(
        "one_goal",
        {"quantization.mix": "auto", "quantization.mix_goal": {"score": 0.9, "max_drop": 0.1}},
        "quantization.mix_goal: should be exactly one of max_drop, score, latency_ms, weight_bytes, arena_bytes and "
        "max_share",
    ),
    Case(
        "compile_effort",
        {"performance.optimization": "level1"},
        "performance.optimization: level1 changes nothing here: slimai's compile stage has one effort; "
        "it is exported for the vendor's compiler",
        "warning",
    ),
    Case(
        "pre_quantized",
        {"quantization.keep_asymmetric_weights": True},
        "quantization.keep_asymmetric_weights: does nothing with model_type: float",
        "warning",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized"},
        "network.input_model: model_type: quantized needs a .tflite model",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "quantization.accuracy_level": [3, 4]},
        "quantization.accuracy_level: a pre-quantized model has 8-bit activations (levels 0 to 3) or 16-bit ones "
        "(level 4) (got [3, 4])",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "quantization.range": 99},
        "quantization.range: is ignored: a pre-quantized model is not calibrated",
        "warning",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "quantization.mix": True},
        "quantization.mix: is not possible with a pre-quantized model",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "metric.adjust": True},
        "metric.adjust: is not possible with a pre-quantized model: its limits are stored; remove it",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "quantization.equalization": True},
        "quantization.equalization: is ignored: a pre-quantized model is not calibrated",
        "warning",
    ),
    Case(
        "pre_quantized",
        {"network.model_type": "quantized", "network.input_model": "n.tflite", "quantization.bias_absorption": True},
        "quantization.bias_absorption: is ignored: a pre-quantized model is not calibrated",
        "warning",
    ),
    Case(
        "model_format", {"network.input_model": "net.pb"}, "network.input_model: should be an .onnx or a .tflite file"
    ),
    Case(
        "model_format",
        {"network.type": "Tensorflow"},
        "network.type: does not fit the model's suffix '.onnx' (got 'Tensorflow'); remove it",
    ),
    Case(
        "channel_values",
        {"network.mean": [1, 2, 3], "network.stddev": [1, 2]},
        "network.stddev: has 2 numbers, and mean has 3; give one a channel",
    ),
    Case(
        "channel_values",
        {"network.channel_order": "GRAY", "network.mean": [1, 2, 3]},
        "network.mean: has 3 numbers, and GRAY has 1 channel; give one number",
    ),
    Case(
        "channel_values",
        {"network.input_data_layout": "NonImage", "network.resize": "stretch"},
        "network.resize: does nothing with NonImage inputs",
    ),
    Case(
        "resize_parts",
        {"network.resize": {"mode": "letterbox", "short_side": 256}},
        "network.resize.short_side: belongs to center_crop, not to letterbox",
    ),
    Case(
        "image_lists",
        {},
        "dataset.calibration_set: is required by a float network; name the image list to calibrate on",
        drop=("dataset.calibration_set",),
    ),
    Case(
        "image_lists",
        {"dataset.calibration_count": 4, "network.model_type": "quantized", "network.input_model": "n.tflite"},
        "dataset.calibration_count: counts a list that is not there: calibration_set",
        drop=("dataset.calibration_set",),
    ),
    Case(
        "image_lists",
        {
            "network.model_type": "quantized",
            "network.input_model": "n.tflite",
            "metric": {"metric_cls": "NoMetric"},
        },
        "dataset: needs an image list; name dataset.validation_set",
        drop=("dataset.calibration_set", "dataset.validation_set"),
    ),
    Case(
        "labelled_list",
        {},
        "dataset.validation_set: is required by metric_cls voc_det_AP; name the list to score on",
        drop=("dataset.validation_set",),
    ),
    Case(
        "metric_class",
        {"network.class": "Classification"},
        "network.class: is Classification, and metric voc_det_AP is for Detection",
        "warning",
    ),
    Case(
        "detection_head",
        {},
        "metric.metric_input.input_size: is required by custom_pp yolo; give the network's [w, h]",
        drop=("metric.metric_input.input_size",),
    ),
    Case(
        "detection_head",
        {},
        "metric.metric_input.anchors: are required by custom_pp yolo; one list of [w, h] a head",
        drop=("metric.metric_input.anchors",),
    ),
    Case(
        "detection_head",
        {"metric.metric_input.custom_pp": "yolox"},
        "metric.metric_input.anchors: belongs to custom_pp yolo; set custom_pp: yolo, or remove it",
    ),
    Case(
        "detection_head",
        {"metric.metric_input.priors": "p.txt"},
        "metric.metric_input.priors: belongs to custom_pp ssd",
    ),
    Case(
        "detection_head",
        {"metric.metric_input.yolo": "v2"},
        "metric.metric_input.yolo: v2 has one scale of anchors, not 2",
    ),
    Case(
        "detection_head",
        {"metric.metric_input.voc_labels": ["a", "b", "a"]},
        "metric.metric_input.voc_labels: names a twice",
    ),
    Case(
        "detection_outputs",
        {"metric.replace_output": ["one"]},
        "metric.replace_output: names 1 outputs; 2 are needed: one a scale of anchors (got ['one'])",
    ),
    Case(
        "detection_outputs",
        {"metric.metric_input": {"annotations": "a"}, "metric.replace_output": ["boxes", "scores"]},
        "metric.replace_output: names 2 outputs; boxes, confidences and class indices are needed, in that order",
    ),
    Case(
        "search_needs_score",
        {"metric": {"metric_cls": "NoMetric"}, "quantization.range": "98:100"},
        "metric.metric_cls: NoMetric cannot rank 3 settings (got 'NoMetric'); take one accuracy level and one range",
    ),
    Case("score_range", {"metric.score_range": [1, 1]}, "metric.score_range: has two equal ends"),
    Case(
        "adjusting",
        {"metric.adjust": True, "quantization.range": "98:100"},
        "metric.adjust: writes the limits of the best setting and applies none",
        "warning",
    ),
    Case("unique_outputs", {"metric.replace_output": ["a", "a"]}, "metric.replace_output: names a twice"),
    Case(
        "stages_deliver",
        {"stages": ["gen_quant_profile"], "quantization.accuracy_level": [1, 2]},
        "stages: stop before use_quant_profile: nothing is scored, so nothing is searched",
        "warning",
    ),
    Case(
        "weight_rounding",
        {"quantization.weight_rounding": ["nearest", "compensated"], "quantization.accuracy_level": [1, 4]},
        "quantization.weight_rounding: compensated is for levels 0 to 3: the weights of level 4 have 16 bits to be "
        "near in (got [1, 4]); leave level 4 out, or take auto, which rounds it to nearest",
    ),
    Case(
        "weight_rounding",
        {
            "network.model_type": "quantized",
            "network.input_model": "net.tflite",
            "network.type": "Tensorflow",
            "quantization.weight_rounding": "compensated",
        },
        "quantization.weight_rounding: a pre-quantized model keeps its integer weights; take nearest or auto",
    ),
    Case(
        "automatic_mix",
        {
            "quantization.mix": "auto",
            "quantization.mix_goal": {"max_drop": 0.1},
            "quantization.weight_rounding": ["nearest", "compensated"],
        },
        "quantization.weight_rounding: mix: auto raises layers of one setting; set one, as auto",
    ),
    Case(
        "local_memory",
        {"target.local_memory_bytes": 1000},
        "target.local_memory_bytes: is not above the 12928 bytes reserved (got 1000)",
    ),
    Case(
        "search_bounds",
        {"smart_search": {"max_drop": 0.1, "latency_limit": 5}},
        "smart_search.latency_limit: cannot stand beside max_drop; keep one of the two bounds",
    ),
    Case(
        "search_bounds",
        {"smart_search": {"tolerance": 0.1}},
        "smart_search.tolerance: does nothing with strategy: exhaustive",
        "warning",
    ),
]


def changed(change, drop=()):
    values = deepcopy(VALID)
    for dotted, value in change.items():
        *parents, last = dotted.split(".")
        inner = values
        for name in parents:
            inner = inner.setdefault(name, {})
        inner[last] = value
    for dotted in drop:
        *parents, last = dotted.split(".")
        inner = values
        for name in parents:
            inner = inner[name]
        del inner[last]
    return values


def test_the_base_case_is_valid():
    config, found = judge_values(VALID)
    assert config is not None
    assert found == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.text[:30]}")
def test_a_broken_rule_is_the_only_diagnostic(case):
    config, found = judge_values(changed(case.change, case.drop))
    assert [str(item) for item in found if case.text in str(item)], [str(item) for item in found]
    assert len(found) == 1, [str(item) for item in found]
    assert found[0].severity == case.severity
    assert (config is None) == (case.severity == "error")


@pytest.mark.parametrize("name", ["cosine", "NoMetric"])
def test_whole_outputs_of_sequences_are_scored(name):
    change = {**SEQUENCES, "metric.metric_cls": name}
    config, found = judge_values(changed(change, ("metric.metric_input",)))
    assert config is not None
    assert found == []


def test_every_rule_has_a_case():
    assert {rule.check.__name__ for rule in rules.RULES} == {case.rule for case in CASES}
    assert metric_rules.detection_head in {rule.check for rule in rules.RULES}


def test_rules_are_judged_beside_field_errors_but_not_on_wrong_keys():
    values = changed({"quantization.accuracy_level": 9, "quantization.mix": True, "metric.score_range": [2, 2]})
    _, found = judge_values(values)
    assert [item.key for item in found] == ["quantization.accuracy_level", "metric.score_range"]


def test_weight_rounding_is_auto_or_any_of_two_each_once():
    for value, kept in (("auto", ("auto",)), ("compensated", ("compensated",)), (["nearest", "compensated"],) * 2):
        config, found = judge_values(changed({"quantization.weight_rounding": value}))
        assert found == []
        assert config.quantization.weight_rounding == tuple(kept)
    assert config.quantization.candidates == 2
    for value, text in (
        (["auto", "nearest"], "auto stands alone"),
        (["nearest", "nearest"], "twice"),
        ("adaround", "nearest"),
    ):
        config, found = judge_values(changed({"quantization.weight_rounding": value}))
        assert config is None
        assert len(found) == 1
        assert text in str(found[0]), str(found[0])
