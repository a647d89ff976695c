"""Rules that span sections or fields. Each rule yields every problem that it finds; none stops another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimai.schema.metric import METRICS, ImageMetric, PlainMetric
from slimai.schema.metric_rules import detection_head, detection_outputs
from slimai.schema.mix_rules import automatic_mix, mixed_precision, one_goal
from slimai.schema.problem import Problem

if TYPE_CHECKING:
    from slimai.schema.sections import Sections


@dataclass(frozen=True)
class Rule:
    """A check and the dotted keys that it reads; it is skipped where one of them is itself wrong."""

    check: Callable[[Sections], Iterator[Problem]]
    reads: tuple[str, ...]


def problems(config: Sections, broken: frozenset[str] = frozenset()) -> list[Problem]:
    """Return every broken rule of `config`; `broken` names dotted keys that are wrong already."""
    sound = [rule for rule in RULES if not any(touches(key, broken) for key in rule.reads)]
    return [problem for rule in sound for problem in rule.check(config)]


def touches(key: str, broken: frozenset[str]) -> bool:
    """Return whether `key`, a key above it or a key in it is among `broken`."""
    return any(key == bad or key.startswith(bad + ".") or bad.startswith(key + ".") for bad in broken)


def _warn(key: str, message: str, cure: str = "") -> Problem:
    return Problem(key, message, cure, severity="warning")


def single_shot(config: Sections) -> Iterator[Problem]:
    """Single-shot calibration ignores the range; a calibration method without it does nothing."""
    quantization = config.quantization
    given = quantization.model_fields_set
    if quantization.single_shot and "range" in given:
        yield _warn("quantization.range", "is ignored: histogram_bins asks for single-shot calibration", "remove one")
    if quantization.single_shot and "range_mode" in given:
        yield _warn("quantization.range_mode", "is ignored: histogram_bins asks for single-shot calibration")
    if not quantization.single_shot and "calibration" in given and quantization.limits is None:
        yield _warn(
            "quantization.calibration",
            "does nothing without histogram_bins",
            "set histogram_bins: 10240 for single-shot calibration",
        )


def one_list_of_limits(config: Sections) -> Iterator[Problem]:
    """`limits` takes the place of the keys that each give one kind of limits."""
    quantization = config.quantization
    if quantization.limits is None:
        return
    for name in ("range", "range_mode", "calibration"):
        if name in quantization.model_fields_set:
            cure = (
                "remove it, and write its values as entries of limits: 'range R', 'percentile P', ImprovedMSE ... "
                f"(~quantization.{name} takes out what a preset has set)"
            )
            value = getattr(quantization, name)
            shown = list(value) if isinstance(value, tuple) else str(value)
            yield Problem(f"quantization.{name}", "cannot stand beside quantization.limits", cure, shown)


def compile_effort(config: Sections) -> Iterator[Problem]:
    """The effort of the compile stage is the vendor's: here it changes nothing."""
    if config.performance.optimization != "level2":
        yield _warn(
            "performance.optimization",
            f"{config.performance.optimization} changes nothing here: slimai's compile stage has one effort",
            "it is exported for the vendor's compiler",
        )


def pre_quantized(config: Sections) -> Iterator[Problem]:
    """A quantized model is TFLite, at levels 0 to 3 or at 4, without what only calibration can do."""
    network, quantization = config.network, config.quantization
    if network.model_type == "float":
        if quantization.keep_asymmetric_weights:
            yield _warn("quantization.keep_asymmetric_weights", "does nothing with model_type: float")
        return
    if network.input_model.suffix.lower() != ".tflite":
        yield Problem(
            "network.input_model", "model_type: quantized needs a .tflite model", value=str(network.input_model)
        )
    if 4 in quantization.accuracy_level and set(quantization.accuracy_level) != {4}:
        yield Problem(
            "quantization.accuracy_level",
            "a pre-quantized model has 8-bit activations (levels 0 to 3) or 16-bit ones (level 4)",
            "level 3 keeps asymmetric 8-bit activations",
            list(quantization.accuracy_level),
        )
    calibrated = ("range", "histogram_bins", "calibration", "limits")
    rewrites = ("equalization", "bias_absorption", "channel_clustering")
    for name in (*calibrated, *rewrites, "bias_correction", "weight_clipping", "tail_clipping"):
        if name in quantization.model_fields_set:
            yield _warn(f"quantization.{name}", "is ignored: a pre-quantized model is not calibrated")
    if config.metric.adjust:
        yield Problem("metric.adjust", "is not possible with a pre-quantized model: its limits are stored", "remove it")
    if quantization.mix is not False:
        yield Problem("quantization.mix", "is not possible with a pre-quantized model", "set quantization.mix: false")


def weight_rounding(config: Sections) -> Iterator[Problem]:
    """Compensated rounding is for weights of 8 bits that slimai makes itself."""
    quantization = config.quantization
    if "compensated" not in quantization.weight_rounding:
        return
    if config.network.model_type == "quantized":
        cure = "take nearest or auto"
        yield Problem("quantization.weight_rounding", "a pre-quantized model keeps its integer weights", cure)
    elif 4 in quantization.accuracy_level:
        yield Problem(
            "quantization.weight_rounding",
            "compensated is for levels 0 to 3: the weights of level 4 have 16 bits to be near in",
            "leave level 4 out, or take auto, which rounds it to nearest",
            list(quantization.accuracy_level),
        )


def four_bit_weights(config: Sections) -> Iterator[Problem]:
    """Weights of 4 bits are for targets that have them, and levels with 8-bit activations and scales a channel."""
    quantization = config.quantization
    if quantization.weight_bits == 8:
        return
    if 4 not in config.target.weight_bits:
        have = ", ".join(map(str, config.target.weight_bits))
        yield Problem(
            "quantization.weight_bits",
            f"the target {config.target.name} has no weights of 4 bits (its weight_bits: [{have}])",
            "take target=npu, or set target.weight_bits: [8, 4] where the chip has them",
            4,
        )
    for level, why in ((0, "has one weight scale a tensor"), (4, "has 16-bit activations")):
        if level in quantization.accuracy_level:
            yield Problem(
                "quantization.accuracy_level",
                f"weight_bits: 4 is not possible with level {level}, which {why}",
                "take levels 1 to 3",
                list(quantization.accuracy_level),
            )
    if config.network.model_type == "quantized":
        yield Problem("quantization.weight_bits", "a pre-quantized model keeps its integer weights", "remove it", 4)


def model_format(config: Sections) -> Iterator[Problem]:
    """The model's suffix is known, and the legacy `type` agrees with it."""
    suffix = config.network.input_model.suffix.lower()
    known = {".onnx": "ONNX", ".tflite": "Tensorflow"}
    if suffix not in known:
        yield Problem(
            "network.input_model", "should be an .onnx or a .tflite file", value=str(config.network.input_model)
        )
    elif config.network.type != known[suffix]:
        yield Problem("network.type", f"does not fit the model's suffix '{suffix}'", "remove it", config.network.type)


def channel_values(config: Sections) -> Iterator[Problem]:
    """mean, stddev and the pad value have one number, or one a channel, and agree in their number."""
    network = config.network
    channels = 1 if network.channel_order == "GRAY" else 3
    image = network.input_data_layout != "NonImage"
    counts = {"mean": len(network.mean), "stddev": len(network.stddev)}
    for name, count in counts.items():
        if image and network.channel_order == "GRAY" and count > 1:
            yield Problem(f"network.{name}", f"has {count} numbers, and GRAY has {channels} channel", "give one number")
    if min(counts.values()) > 1 and counts["mean"] != counts["stddev"]:
        yield Problem(
            "network.stddev", f"has {counts['stddev']} numbers, and mean has {counts['mean']}", "give one a channel"
        )
    if network.resize is not None and not image:
        yield Problem("network.resize", "does nothing with NonImage inputs", "remove it")


def resize_parts(config: Sections) -> Iterator[Problem]:
    """`short_side` belongs to center_crop."""
    resize = config.network.resize
    if resize is not None and resize.short_side is not None and resize.mode != "center_crop":
        yield Problem("network.resize.short_side", f"belongs to center_crop, not to {resize.mode}", "remove it")


def image_lists(config: Sections) -> Iterator[Problem]:
    """A float model is calibrated; a metric with labels needs the labelled list; counts need their list."""
    dataset = config.dataset
    if config.network.model_type == "float" and dataset.calibration_set is None:
        yield Problem(
            "dataset.calibration_set", "is required by a float network", "name the image list to calibrate on"
        )
    if config.network.model_type == "quantized" and dataset.calibration_set is None and dataset.validation_set is None:
        yield Problem("dataset", "needs an image list", "name dataset.validation_set")
    for name in ("calibration", "validation"):
        if getattr(dataset, f"{name}_set") is None and getattr(dataset, f"{name}_count") is not None:
            yield Problem(f"dataset.{name}_count", f"counts a list that is not there: {name}_set", f"set {name}_set")


def labelled_list(config: Sections) -> Iterator[Problem]:
    """A metric with a truth needs the validation list."""
    metric = config.metric
    free = isinstance(metric, PlainMetric) or (isinstance(metric, ImageMetric) and metric.metric_input.use_float)
    if config.dataset.validation_set is None and not free:
        yield Problem(
            "dataset.validation_set", f"is required by metric_cls {metric.metric_cls}", "name the list to score on"
        )


def metric_class(config: Sections) -> Iterator[Problem]:
    """A metric usually belongs to a class of networks."""
    name, found = config.metric.metric_cls, config.network.network_class
    row = METRICS.get(name or "")
    fitting = row.classes if row else ()
    if fitting and found not in (*fitting, "Other"):
        yield _warn("network.class", f"is {found}, and metric {name} is for {' or '.join(fitting)}")


def sequences_scored(config: Sections) -> Iterator[Problem]:
    """Of the metrics that slimai brings, only those that compare whole outputs know what a sequence is."""
    name = config.metric.metric_cls
    stepwise = any(node.seq for node in config.network.input_node_name.values())
    if not stepwise or name not in METRICS or METRICS[name].section is PlainMetric:
        return
    plain = " or ".join(known for known, row in METRICS.items() if row.section is PlainMetric)
    yield Problem(
        "metric.metric_cls",
        "this metric scores one output a sample, and a sequence (seq: true) has one a step",
        f"use {plain}, or a metric plug-in, which gets [1, steps, ...]",
        name,
    )


def search_needs_score(config: Sections) -> Iterator[Problem]:
    """Several settings are compared by their score."""
    if config.metric.metric_cls == "NoMetric" and config.quantization.candidates > 1:
        yield Problem(
            "metric.metric_cls",
            f"NoMetric cannot rank {config.quantization.candidates} settings",
            "take one accuracy level and one range, or a metric",
            "NoMetric",
        )


def score_range(config: Sections) -> Iterator[Problem]:
    """The two ends of a score range differ."""
    ends = config.metric.score_range
    if ends is not None and ends[0] == ends[1]:
        yield Problem("metric.score_range", "has two equal ends", "give the values of score 0 and score 1", list(ends))


def adjusting(config: Sections) -> Iterator[Problem]:
    """Edited limits are applied to one level and one range."""
    if config.metric.adjust and config.quantization.candidates > 1:
        yield _warn(
            "metric.adjust",
            "writes the limits of the best setting and applies none: edits need one level and one range",
            "set one accuracy_level and one range",
        )


def stages_deliver(config: Sections) -> Iterator[Problem]:
    """Scoring happens in `use_quant_profile`."""
    if "use_quant_profile" not in config.stages and config.search_on:
        yield _warn("stages", "stop before use_quant_profile: nothing is scored, so nothing is searched")


def unique_outputs(config: Sections) -> Iterator[Problem]:
    """Outputs are named once each."""
    names = config.metric.replace_output
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        yield Problem("metric.replace_output", f"names {', '.join(doubles)} twice", "name each output once")


def local_memory(config: Sections) -> Iterator[Problem]:
    """What the system keeps leaves some local memory."""
    target = config.target
    kept = target.tcm_reserve_low + target.tcm_reserve_high
    if kept >= target.local_memory_bytes:
        yield Problem(
            "target.local_memory_bytes", f"is not above the {kept} bytes reserved", value=target.local_memory_bytes
        )


def search_bounds(config: Sections) -> Iterator[Problem]:
    """One bound decides which candidate is delivered."""
    search = config.smart_search
    if search is not None and search.max_drop is not None and search.latency_limit is not None:
        yield Problem("smart_search.latency_limit", "cannot stand beside max_drop", "keep one of the two bounds")
    if search is not None and search.strategy != "racing" and "tolerance" in search.model_fields_set:
        yield _warn("smart_search.tolerance", "does nothing with strategy: exhaustive")
    if search is not None and search.strategy != "racing" and search.guarantee != "none":
        yield _warn("smart_search.guarantee", "does nothing with strategy: exhaustive, which scores all")
    if search is not None and search.guarantee == "none" and "error" in search.model_fields_set:
        yield _warn("smart_search.error", "does nothing without guarantee: certified")


def portable_c(config: Sections) -> Iterator[Problem]:
    """C is written by the last stage, in integers alone."""
    if config.codegen.language == "none":
        return
    if config.target.arithmetic == "ort_f32":
        yield Problem(
            "codegen.language",
            "c has integers alone: ort_f32 is float by definition",
            "choose another target.arithmetic",
        )
    if "gen_code" not in config.stages:
        yield _warn("codegen.language", "does nothing without the stage gen_code", "let stages end in gen_code")


RULES = (
    Rule(single_shot, ("quantization.range", "quantization.range_mode", "quantization.histogram_bins")),
    Rule(
        one_list_of_limits,
        ("quantization.limits", "quantization.range", "quantization.range_mode", "quantization.calibration"),
    ),
    Rule(
        mixed_precision,
        (
            *("quantization.mix", "quantization.mix_goal", "quantization.accuracy_level"),
            *("quantization.nodename_datatypes", "quantization.nodekind_datatypes"),
        ),
    ),
    Rule(automatic_mix, ("quantization", "metric.metric_cls", "metric.adjust", "stages", "smart_search")),
    Rule(one_goal, ("quantization.mix_goal",)),
    Rule(compile_effort, ("performance.optimization",)),
    Rule(
        pre_quantized,
        (
            *("network.model_type", "network.input_model", "metric.adjust"),
            *("quantization.accuracy_level", "quantization.mix"),
        ),
    ),
    Rule(weight_rounding, ("quantization.weight_rounding", "quantization.accuracy_level", "network.model_type")),
    Rule(
        four_bit_weights,
        ("quantization.weight_bits", "target.weight_bits", "quantization.accuracy_level", "network.model_type"),
    ),
    Rule(model_format, ("network.input_model", "network.type")),
    Rule(channel_values, ("network.mean", "network.stddev", "network.channel_order", "network.input_data_layout")),
    Rule(resize_parts, ("network.resize",)),
    Rule(image_lists, ("dataset", "network.model_type")),
    Rule(labelled_list, ("dataset.validation_set", "metric.metric_cls", "metric.metric_input")),
    Rule(metric_class, ("metric.metric_cls", "network.class")),
    Rule(detection_head, ("metric.metric_cls", "metric.metric_input")),
    Rule(detection_outputs, ("metric.metric_cls", "metric.metric_input", "metric.replace_output")),
    Rule(sequences_scored, ("metric.metric_cls", "network.input_node_name")),
    Rule(search_needs_score, ("metric.metric_cls", "quantization")),
    Rule(score_range, ("metric.score_range",)),
    Rule(adjusting, ("metric.adjust", "quantization")),
    Rule(unique_outputs, ("metric.replace_output",)),
    Rule(stages_deliver, ("stages", "smart_search", "quantization.accuracy_level")),
    Rule(local_memory, ("target.local_memory_bytes", "target.tcm_reserve_low", "target.tcm_reserve_high")),
    Rule(search_bounds, ("smart_search",)),
    Rule(portable_c, ("codegen.language", "target.arithmetic", "stages")),
)
