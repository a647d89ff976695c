"""Rules inside the options of the detection metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slimai.schema.detection_heads import HEADS, OWNED, owners
from slimai.schema.metric import CocoMetric, VocMetric
from slimai.schema.metric_specs import DetectionInput
from slimai.schema.problem import Problem

if TYPE_CHECKING:
    from slimai.schema.sections import Sections


def detection_input(config: Sections) -> DetectionInput | None:
    """Return the options of a detection metric, or None for another metric."""
    return config.metric.metric_input if isinstance(config.metric, VocMetric | CocoMetric) else None


def detection_head(config: Sections) -> Iterator[Problem]:
    """A head needs its input size and anchors; options of a head belong to it."""
    options = detection_input(config)
    if options is None:
        return
    head = options.custom_pp
    if head is not None and "input_size" in HEADS[head].needs and options.input_size is None:
        yield Problem("metric.metric_input.input_size", f"is required by custom_pp {head}", "give the network's [w, h]")
    if head == "yolo" and not options.anchors:
        yield Problem("metric.metric_input.anchors", "are required by custom_pp yolo", "one list of [w, h] a head")
    for name in OWNED:
        heads = " or ".join(owners(name))
        if getattr(options, name) != type(options).model_fields[name].default and head not in owners(name):
            yield Problem(
                f"metric.metric_input.{name}", f"belongs to custom_pp {heads}", f"set custom_pp: {heads}, or remove it"
            )
    outer = getattr(config.metric, "annotation_fit", "auto")
    if (
        options.annotation_fit
        and "annotation_fit" in config.metric.model_fields_set
        and options.annotation_fit != outer
    ):
        yield Problem("metric.annotation_fit", f"metric_input says {options.annotation_fit}", "say it once", outer)
    if options.yolo == "v2" and len(options.anchors) > 1:
        yield Problem("metric.metric_input.yolo", f"v2 has one scale of anchors, not {len(options.anchors)}", "take v3")
    doubles = sorted({name for name in options.voc_labels if options.voc_labels.count(name) > 1})
    if doubles:
        yield Problem("metric.metric_input.voc_labels", f"names {', '.join(doubles)} twice", "name each class once")


def detection_outputs(config: Sections) -> Iterator[Problem]:
    """The outputs that are named fit what the metric reads."""
    options, names = detection_input(config), config.metric.replace_output
    if options is None or not names:
        return
    needed = {"ssd": 2, "facebox": 2, "yolo": len(options.anchors)}.get(options.custom_pp or "", 0)
    if options.custom_pp is None and len(names) < 3:
        yield Problem(
            "metric.replace_output",
            f"names {len(names)} outputs; boxes, confidences and class indices are needed, in that order",
            "name the three, or set custom_pp for a head that is decoded here",
            list(names),
        )
    elif needed and len(names) != needed:
        what = HEADS[options.custom_pp or ""].outputs
        yield Problem(
            "metric.replace_output", f"names {len(names)} outputs; {needed} are needed: {what}", "", list(names)
        )
