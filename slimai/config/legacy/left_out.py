"""What a legacy cfg cannot say: settings without a legacy key, and values that the vendor's compiler does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from slimai.config.legacy.mapping import KEYS
from slimai.errors import Diagnostic
from slimai.schema.metric import METRICS
from slimai.schema.metric_specs import MetricSpec
from slimai.schema.network import InputNode
from slimai.schema.root import SlimaiConfig

_TARGETS = frozenset(key.target for key in KEYS if key.fate == "mapped")
_SAID = frozenset({"quantization.limits"})  # `limit_words` writes it in other words, or says why it cannot
_VENDOR_HEADS = frozenset({None, "yolo", "ssd"})
_OWN_OPTIONS = frozenset({"annotation_fit", "transpose", "ap", "yolo", "priors", "ignore"})


def left_out(config: SlimaiConfig, *, searched: bool) -> Iterator[Diagnostic]:
    """Yield a warning for each section with settings that the cfg does not hold, or the vendor does not know.

    `searched` tells whether [smart_search] is written at all.
    """
    for name in type(config).model_fields:
        section = getattr(config, name)
        if isinstance(section, BaseModel) and (searched or name != "smart_search"):
            lost = list(_without_key(name, section))
            if lost:
                yield _warning(name, f"{', '.join(lost)}: without a legacy key, left out of the cfg")
    if config.stages != type(config).model_fields["stages"].default:
        yield _warning("stages", "without a legacy key, left out of the cfg")
    yield from _inputs(config)
    yield from _foreign(config)
    yield from _rules_files(config)


def _without_key(section: str, model: BaseModel) -> Iterator[str]:
    for name, info in type(model).model_fields.items():
        dotted = f"{section}.{info.alias or name}"
        if (
            dotted not in _TARGETS
            and dotted not in _SAID
            and getattr(model, name) != info.get_default(call_default_factory=True)
        ):
            yield info.alias or name


def _inputs(config: SlimaiConfig) -> Iterator[Diagnostic]:
    for index, (name, node) in enumerate(config.network.input_node_name.items()):
        kept = {"input_data_layout"} | ({"column"} if node.column in {None, index} else set())
        lost = [field for field in _settings(node) if field not in kept]
        if node.input_data_layout == "NonImage":
            lost.append("input_data_layout")
        if lost:
            key = f"network.input_node_name.{name}"
            yield _warning(key, f"{', '.join(lost)}: without a legacy key, left out of the cfg")


def _settings(node: InputNode) -> Iterator[str]:
    """Yield the fields of an input that are not at their default."""
    for name, info in InputNode.model_fields.items():
        if getattr(node, name) != info.get_default(call_default_factory=True):
            yield name


def _foreign(config: SlimaiConfig) -> Iterator[Diagnostic]:
    """Yield the values that are written, and that only slimai reads; and those that only slimai can do without."""
    for name in ("calibration_set", "calibration_count", "validation_set", "validation_count"):
        if getattr(config.dataset, name) is None:
            yield _warning(f"dataset.{name}", "is not set; the vendor's compiler wants it")
    if config.network.channel_order == "GRAY":
        yield _unknown("network.channel_order", "GRAY")
    if config.quantization.mix == "auto":
        yield _unknown("quantization.mix", "auto")
    if len(config.quantization.calibration) > 1:
        yield _unknown("quantization.calibration", list(config.quantization.calibration))
    metric, spec = config.metric, config.metric.metric_input
    row = METRICS.get(metric.metric_cls or "")
    if row is not None and row.legacy is None:
        yield _unknown("metric.metric_cls", metric.metric_cls)
    if isinstance(spec, dict) and spec:
        yield _warning("metric.metric_input", "a mapping for a plug-in has no legacy form, left out of the cfg")
    if isinstance(spec, MetricSpec):
        yield from _options(spec)


def _rules_files(config: SlimaiConfig) -> Iterator[Diagnostic]:
    """Yield what has to go with the cfg."""
    for name in ("nodename_datatypes", "nodekind_datatypes"):
        path = getattr(config.quantization, name)
        if path is not None:
            message = "the vendor's compiler reads it beside the cfg, under the cfg's name"
            cure = f"copy {path} there as <cfg's stem>.yaml"
            yield Diagnostic(message, key=f"quantization.{name}", suggestion=cure, severity="warning")


def _options(spec: MetricSpec) -> Iterator[Diagnostic]:
    head = getattr(spec, "custom_pp", None)
    if head not in _VENDOR_HEADS:
        yield _unknown("metric.metric_input.custom_pp", head)
    for name in sorted(_OWN_OPTIONS & set(type(spec).model_fields)):
        value = getattr(spec, name)
        if value != type(spec).model_fields[name].default:
            yield _unknown(f"metric.metric_input.{name}", str(value))


def _unknown(key: str, value: Any) -> Diagnostic:
    cure = "check what it makes of this line"
    message = "is written, but the vendor's compiler is not known to read it"
    return Diagnostic(message, key=key, value=value, suggestion=cure, severity="warning")


def _warning(key: str, message: str) -> Diagnostic:
    return Diagnostic(message, key=key, severity="warning")
