"""Builds each built-in metric from its typed input: reads labels, resolves defaults, checks the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from slimai.errors import InputError
from slimai.metrics.base import Metric, MetricContext
from slimai.metrics.classification import TopK
from slimai.metrics.detection.decode_ssd import read_priors
from slimai.metrics.detection.detections import ClassTable
from slimai.metrics.detection.heads import check_heads
from slimai.metrics.detection.options import DetectionOptions
from slimai.metrics.detection.voc import VocAP, truths
from slimai.metrics.image import Difference, Layout
from slimai.metrics.labels.annotation_fit import AnnotationFit
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.imagelist import class_numbers, label_paths
from slimai.metrics.labels.voc import find_xml, read_voc_labels
from slimai.metrics.segmentation import IGNORED, MapOptions, SegStats
from slimai.metrics.similarity import Cosine, NoMetric
from slimai.schema.metric_specs import (
    CocoInput,
    DetectionInput,
    ImageInput,
    MetricSpec,
    SegInput,
    TopKInput,
    VocInput,
)

__all__ = [
    "build_coco",
    "build_cosine",
    "build_difference",
    "build_none",
    "build_segmentation",
    "build_top_k",
    "build_voc",
    "detection_options",
]


def _need(spec: MetricSpec | None, kind: type[MetricSpec], metric_cls: str) -> None:
    if not isinstance(spec, kind):
        cure = f"{metric_cls} needs {', '.join(kind.positional)}" if kind.positional else "see the metric's page"
        raise InputError.at("metric.metric_input", f"not the input of {metric_cls}", spec, cure=cure)


def detection_options(spec: DetectionInput, beside: Path, context: MetricContext) -> DetectionOptions:
    """Return how the outputs are read; `beside` is the folder of the annotations, where anchor.txt may be."""
    priors = None
    if spec.custom_pp == "ssd":
        priors = read_priors(spec.priors or beside / "anchor.txt")
    return DetectionOptions(
        head=spec.custom_pp,
        center=spec.center,
        yfirst=spec.yfirst,
        threshold=spec.threshold,
        data_offset=spec.data_offset,
        scale=(
            1.0 / spec.div_width if spec.div_width else spec.scale_width,
            1.0 / spec.div_height if spec.div_height else spec.scale_height,
        ),
        input_size=spec.input_size or context.input_size,
        iou_threshold=spec.iou_threshold,
        layout=spec.layout,
        anchors=spec.anchors,
        yolo=spec.yolo,
        priors=priors,
        strides=spec.strides,
        reg_max=spec.reg_max,
        cell_offset=spec.cell_offset,
        logits=spec.logits,
    )


def _annotation_fit(
    told: Mapping[int, tuple[int, int] | None],
    files: Mapping[int, str],
    spec: DetectionInput,
    context: MetricContext,
    options: DetectionOptions,
) -> AnnotationFit:
    how = spec.annotation_fit or context.annotation_fit
    return AnnotationFit(told, files, how, options.input_size, context.annotation_exif)


def build_voc(metric_cls: str, spec: VocInput, context: MetricContext) -> Metric:
    """Return `voc_det_AP` with the objects of every picture read."""
    _need(spec, VocInput, metric_cls)
    options = detection_options(spec, spec.annotations, context)
    table = ClassTable.voc(spec.voc_labels)
    if spec.voc_labels:
        options = replace(options, classes=table.size - options.data_offset)
    check_heads(options, table, context.outputs, context.shapes, exact=bool(spec.voc_labels))
    labels = read_voc_labels(spec.annotations, context.samples)
    found = truths(labels, table, count_difficult=spec.difficult == "count")
    objects = {sample.index: truth for sample, truth in zip(context.samples, found, strict=True)}
    told = {sample.index: label.size for sample, label in zip(context.samples, labels, strict=True)}
    files = {sample.index: str(find_xml(spec.annotations, sample)) for sample in context.samples}
    fit = _annotation_fit(told, files, spec, context, options)
    return VocAP(context.outputs, options, table, objects, spec.ap, fit)


def build_coco(metric_cls: str, spec: CocoInput, context: MetricContext) -> Metric:
    """Return `coco_det_AP` with the instances read."""
    from slimai.metrics.detection.coco import CocoAP  # noqa: PLC0415 - spares pycocotools

    _need(spec, CocoInput, metric_cls)
    if spec.ap != "area":
        raise InputError.at("metric.metric_input.ap", "coco_det_AP has its own curve of 101 points", spec.ap)
    instances = read_instances(spec.instances, spec.classes, context.samples)
    table = ClassTable(instances.names, background=True)
    options = detection_options(spec, spec.instances.parent, context)
    options = replace(options, classes=table.size - options.data_offset)
    check_heads(options, table, context.outputs, context.shapes, exact=True)
    files = dict.fromkeys(instances.sizes, str(spec.instances))
    fit = _annotation_fit(instances.sizes, files, spec, context, options)
    return CocoAP(context.outputs, options, table, instances, context.input_size, fit)


def build_segmentation(metric_cls: str, spec: SegInput, context: MetricContext) -> Metric:
    """Return `SegStats`, `MIU`, `PxAcc`, `MAcc` or `FrWIU` with every label image found."""
    _need(spec, SegInput, metric_cls)
    folders = (spec.labels.parent, context.image_dir)
    shape = context.shapes[0] if context.shapes else ()
    options = MapOptions(
        axis=spec.axis,
        threshold=spec.threshold,
        resize=(spec.resize.method, spec.resize.size) if spec.resize else None,
        transpose=None if spec.transpose == "auto" else spec.transpose == "true",
        # (1, h, w), and in NCHW (1, c, h, w), keep rows before columns, which axis 1 of the blob turns round
        rows_first=spec.axis == 1 and (context.input_layout in ("NCHW", "") or len(shape) == 3),
        ignored=(IGNORED, *spec.ignore),
        turn=context.exif == "apply",
    )
    return SegStats(
        context.outputs,
        label_paths(context.samples, spec.labels, folders, "label image"),
        options,
        metric_cls,
        context.annotation_exif,
    )


def build_difference(metric_cls: str, spec: ImageInput | None, context: MetricContext) -> Metric:
    """Return `psnr`, `l1`, `l2` or `ssim`, against pictures or against the float network."""
    spec = spec or ImageInput()
    _need(spec, ImageInput, metric_cls)
    layout: Layout | None = spec.layout
    if layout is None and context.input_layout:
        layout = "hwc" if context.input_layout == "NHWC" else "chw"
    labels = None
    if not spec.use_float:
        labels = label_paths(context.samples, None, (context.image_dir,), "true picture")
    return Difference(metric_cls, context.outputs, labels, layout, spec.range, turn=context.exif == "apply")


def build_top_k(metric_cls: str, spec: TopKInput | None, context: MetricContext) -> Metric:
    """Return `top1`, `top5` or `top1_5` with every label read."""
    spec = spec or TopKInput()
    _need(spec, TopKInput, metric_cls)
    classes = int(np.prod(context.shapes[0])) + spec.data_offset if context.shapes else None
    labels = class_numbers(context.samples, spec.labels, classes)
    return TopK(context.outputs, labels, metric_cls, spec.data_offset)


def build_cosine(metric_cls: str, spec: MetricSpec | None, context: MetricContext) -> Metric:
    """Return `cosine`; it has no input."""
    del metric_cls, spec
    return Cosine(context.outputs)


def build_none(metric_cls: str, spec: MetricSpec | None, context: MetricContext) -> Metric:
    """Return `NoMetric`; it has no input."""
    del metric_cls, spec
    return NoMetric(context.outputs)
