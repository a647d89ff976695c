"""The sections `metric` that outputs and labels of a network allow, the most particular first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from math import prod
from pathlib import Path
from typing import Any

from slimai.app.draft.anchors import usual_anchors
from slimai.app.draft.labels import Labels
from slimai.app.draft.model import ModelFacts
from slimai.metrics.detection.detections import VOC_NAMES
from slimai.metrics.detection.recognize import likely_heads
from slimai.schema.detection_heads import HEADS

Shape = tuple[int, ...]
THRESHOLD = 0.01
FITS = ("auto", "stretch", "letterbox", "center_crop")
LEAST_MAP = 8  # pixels of a side of a map of classes
MOST_VECTORS = 100_000
_OPTION = re.compile(r"(\w+)=(\[[^\]]*\]|\w+)")
_CLASSES = re.compile(r"(\d+) (?:classes|columns of scores)")

__all__ = ["Task", "network_class", "picture_tasks", "tasks"]


@dataclass(frozen=True)
class Task:
    """One reading of a network. metric: the section as it is written. why: what it rests on.

    heads: outputs whose anchors are to be found, in the order of the metric.
    """

    network_class: str
    metric: Mapping[str, Any]
    why: str
    heads: tuple[str, ...] = field(default=())

    @property
    def input(self) -> Mapping[str, Any]:
        """Return `metric_input`."""
        found: Mapping[str, Any] = self.metric.get("metric_input", {})
        return found


def tasks(facts: ModelFacts, labels: Labels, val_list: str) -> list[Task]:
    """Return every reading of the network that its outputs and labels allow; none where no metric can use the labels.

    val_list: path of the validation list as the preset writes it.
    """
    make = {"coco": _detection, "voc": _detection, "classes": _classification, "masks": _segmentation}.get(labels.kind)
    return [] if make is None else list(make(facts, labels, val_list))


def picture_tasks(facts: ModelFacts, labels: Labels) -> list[Task]:
    """Return the readings of the one output as a picture, where the labels are pictures: its truth."""
    shape = next(iter(facts.outputs.values()), ())
    if labels.kind != "masks" or len(facts.outputs) != 1 or len(shape) != 4 or shape[0] != 1:
        return []
    if not {shape[1], shape[3]} & {1, 3}:
        return []
    why = f"true pictures, the output is {list(shape)}"
    ranges: tuple[dict[str, Any], ...] = ({}, {"range": 255})
    return [Task("Segmentation", {"metric_cls": "psnr", "metric_input": dict(extra)}, why) for extra in ranges]


def network_class(facts: ModelFacts) -> tuple[str, str]:
    """Return the class that the outputs alone look like, and why."""
    shapes = list(facts.outputs.values())
    vector = prod(shapes[0]) if shapes else 0
    if len(shapes) == 1 and 2 <= vector <= MOST_VECTORS and max(shapes[0]) == vector:
        return "Classification", f"one output of {vector} numbers"
    heads = likely_heads(shapes, facts.inputs[0].size) if facts.inputs else ()
    pixels = facts.inputs[0].size if facts.inputs else None
    if pixels is not None and len(shapes) == 1 and any(_is_map(shapes[0], pixels)):
        return "Segmentation", "the output is a map as large as the picture"
    if heads:
        return "Detection", f"the outputs look like {heads[0]}"
    return "Other", "its outputs look like nothing known"


def _is_map(shape: Shape, size: tuple[int, int]) -> Iterator[bool]:
    height, width = size[1], size[0]
    yield len(shape) == 4 and (shape[2:] == (height, width) or shape[1:3] == (height, width))
    yield len(shape) == 3 and shape[1:] == (height, width)


def _classification(facts: ModelFacts, labels: Labels, val_list: str) -> Iterator[Task]:
    del val_list
    for order, name in enumerate(facts.graph.outputs):
        shape = facts.outputs[name]
        count = prod(shape)
        if not 2 <= count <= MOST_VECTORS or max(shape) != count:
            continue
        highest = max((int(text) for text in labels.texts.values()), default=0)
        lowest = min((int(text) for text in labels.texts.values()), default=0)
        known = len(labels.names) or highest + 1
        offsets = [0, *([-1] if known < count else []), *([1] if lowest >= 1 else [])]
        if len(labels.names) == count - 1:
            offsets = [-1, 0]
        for offset in offsets:
            if highest - offset >= count or lowest - offset < 0:
                continue
            metric: dict[str, Any] = {"metric_cls": "top1"}
            if len(facts.graph.outputs) > 1:
                metric["replace_output"] = [name]
            if offset:
                metric["metric_input"] = {"data_offset": offset}
            yield Task("Classification", metric, f"class labels, output '{name}' of {count} numbers")
        if order:
            return


def _segmentation(facts: ModelFacts, labels: Labels, val_list: str) -> Iterator[Task]:
    del labels
    size = facts.inputs[0].size
    for name, shape in facts.outputs.items():
        for axis, count, (height, width) in _map_axes(shape):
            if size is None or min(height, width) < LEAST_MAP or abs(width * size[1] - height * size[0]) > max(size):
                continue
            options: dict[str, Any] = {"labels": val_list, "axis": axis}
            if (width, height) != size:
                options["resize"] = {"method": "NN", "size": list(size)}
            metric: dict[str, Any] = {"metric_cls": "SegStats", "metric_input": options}
            if len(facts.outputs) > 1:
                metric["replace_output"] = [name]
            why = f"mask pictures, output '{name}' is a map of {count} channels"
            yield Task("Segmentation", metric, why)
            if count == 1:
                for threshold in (0.5, 0.0):  # a probability, and a logit
                    binary = {**options, "threshold": threshold}
                    yield Task("Segmentation", {**metric, "metric_input": binary}, why)


def _map_axes(shape: Shape) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield `axis` of the metric, the number of channels and (height, width), for each way to read a map."""
    if len(shape) == 4 and shape[0] == 1:
        yield 1, shape[1], (shape[2], shape[3])
        yield 0, shape[3], (shape[1], shape[2])
    if len(shape) == 3 and shape[0] == 1:
        yield 1, 1, (shape[1], shape[2])


def _detection(facts: ModelFacts, labels: Labels, val_list: str) -> Iterator[Task]:
    del val_list
    size = facts.inputs[0].size
    if size is None:
        return
    shapes = list(facts.outputs.values())
    for text in likely_heads(shapes, size):
        for head in text.partition(":")[0].split(" with priors, or "):
            yield from _head_tasks(facts, labels, size, head, text)


def _head_tasks(facts: ModelFacts, labels: Labels, size: tuple[int, int], head: str, text: str) -> Iterator[Task]:
    options: dict[str, Any] = {key: _value(value) for key, value in _OPTION.findall(head)}
    kind = options.get("custom_pp")
    found = _CLASSES.search(text)
    classes = int(found[1]) if found else None
    names = list(facts.outputs)
    if kind in ("ssd", "facebox") or kind is None:
        names = sorted(names, key=lambda name: facts.outputs[name][-1] != 4)
    if kind == "ssd":
        priors = _priors(facts.file, labels.place)
        if priors is None:
            return
        options["priors"] = str(priors)
    if kind == "yolo":
        number = int(re.search(r"(\d+) anchors", text)[1]) if "anchors" in text else 3  # type: ignore[index]
        options["anchors"] = usual_anchors([facts.outputs[name] for name in names], options["layout"], size, number)
    for order in permutations(names[1:]) if kind is None else (tuple(names[1:]),):
        outputs = [names[0], *order]
        for extra in _box_forms(kind, size):
            for table in _class_tables(labels, classes):
                metric = _section(labels, {**options, **extra, **table}, size, kind)
                if outputs != list(facts.graph.outputs):
                    metric["replace_output"] = outputs
                why = f"{'COCO json' if labels.kind == 'coco' else 'VOC xml'}; outputs like {text}"
                yield Task("Detection", metric, why, tuple(outputs) if kind == "yolo" else ())


def _section(labels: Labels, options: dict[str, Any], size: tuple[int, int], kind: str | None) -> dict[str, Any]:
    truth: dict[str, Any] = {"annotations": str(labels.place)}
    if labels.kind == "coco":
        truth = {"instances": str(labels.place), "classes": len(labels.names)}
    needs = HEADS[kind].needs if kind else ()
    measured = {"input_size": list(size)} if "input_size" in needs else {}
    whole = {**truth, **options, "threshold": THRESHOLD, **measured}
    return {"metric_cls": "coco_det_AP" if labels.kind == "coco" else "voc_det_AP", "metric_input": whole}


def _box_forms(kind: str | None, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Yield how boxes that the network has decoded may be written: in shares or pixels, by corner or centre."""
    if kind not in (None, "facebox", "decoded"):
        yield {}
        return
    shares = {"scale_width": size[0], "scale_height": size[1]}
    for scale in (shares, {}):
        for center in (False, True) if kind != "decoded" else (True, False):
            for yfirst in (False, True):
                yield {**({"center": True} if center else {}), **({"yfirst": True} if yfirst else {}), **scale}


def _class_tables(labels: Labels, classes: int | None) -> Iterator[dict[str, Any]]:
    """Yield the options that bring the network's classes to those of the labels."""
    count = len(labels.names)
    background = classes == count + 1
    if classes is not None and not count <= classes <= count + 1:
        return
    if labels.kind == "coco" or labels.names == VOC_NAMES:
        yield {"data_offset": 0 if background else 1}
        if classes is None:
            yield {"data_offset": 0}
        return
    yield {**({"data_offset": -1} if background else {}), "voc_labels": list(labels.names)}
    if classes is None:
        yield {"data_offset": -1, "voc_labels": list(labels.names)}


def _priors(model: Path, place: Path | None) -> Path | None:
    """Return a file of priors beside the model, of its name or the only one, or anchor.txt with the labels."""
    own = model.with_name(f"{model.stem}.anchor.txt")
    beside = sorted(path for path in model.parent.glob("*.txt") if re.search("anchor|prior", path.name))
    alone = beside if len(beside) == 1 else []
    labelled = [] if place is None else [(place if place.is_dir() else place.parent) / "anchor.txt"]
    return next((path for path in (own, *labelled, *alone) if path.is_file()), None)


def _value(text: str) -> Any:
    """Return the value of an option as YAML writes it."""
    if text.startswith("["):
        return [int(part) for part in re.split("[;,]", text.strip("[]")) if part]
    return int(text) if text.isdigit() else text


def fitted(task: Task, fit: str) -> Task:
    """Return the task for pictures that were made of the annotated ones in the way `fit`."""
    if fit == "auto":
        return task
    return Task(task.network_class, {**task.metric, "annotation_fit": fit}, task.why, task.heads)


def with_anchors(task: Task, anchors: Sequence[Any]) -> Task:
    """Return the task with other anchors."""
    inside = {**task.input, "anchors": list(anchors)}
    return Task(task.network_class, {**task.metric, "metric_input": inside}, task.why, task.heads)
