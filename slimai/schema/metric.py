"""Section `metric`: a union discriminated by `metric_cls`, so that `metric_input` is typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from slimai.schema.base import Int, Real, Section, also, legacy, wrong
from slimai.schema.metric_specs import (
    CocoInput,
    CustomInput,
    ImageInput,
    MetricSpec,
    NoInput,
    SegInput,
    TopKInput,
    VocInput,
)
from slimai.schema.metric_text import parse_metric_input
from slimai.schema.values import Flag

VOC = ("voc_det_AP",)
COCO = ("coco_det_AP",)
SEGMENTATION = ("SegStats", "PxAcc", "MAcc", "MIU", "FrWIU")
IMAGE = ("psnr", "ssim", "l1", "l2")
TOP_K = ("top1", "top5", "top1_5")
PLAIN = ("cosine", "NoMetric")
BUILT_IN = (*VOC, *COCO, *SEGMENTATION, *IMAGE, *TOP_K, *PLAIN)
DETECTION = (*VOC, *COCO)

Spec = TypeVar("Spec", bound=MetricSpec)


def _reader(spec: type[MetricSpec], *, bare: bool = False) -> BeforeValidator:
    """Return the validator that turns a legacy string (or nothing) into the mapping of `spec`."""

    def read(value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, str):
            return parse_metric_input(value, spec.positional, bare=bare)
        if not isinstance(value, Mapping | MetricSpec):
            raise wrong("metric_input should be a mapping of options, or the one-line legacy string")
        return value

    return BeforeValidator(read)


def _outputs(value: Any) -> Any:
    """Return the output names of a list, or of the legacy ``[a b]``."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]  # Hydra reads [a b] as a list of one string
    if isinstance(value, str):
        return tuple(value.strip().strip("[]").replace(",", " ").split())
    return tuple(value) if isinstance(value, list) else value


def _score_range(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wrong("score_range should be [lo, hi]", "the values that become score 0 and score 1")
    return tuple(value)


class MetricBase(Section):
    """What every metric section has."""

    output_debug: Annotated[Int, Field(ge=0, le=3)] = Field(
        default=0,
        description="Files written: 0 results; 1 + float outputs; 2 + every profile and fixed-point output; "
        "3 + per-layer outputs and similarity.",
        json_schema_extra=legacy("metric.output_debug"),
    )
    replace_output: Annotated[
        tuple[str, ...],
        BeforeValidator(_outputs),
        WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
    ] = Field(
        default=(),
        description="Output names in the order that the metric wants; empty = the graph's order.",
        json_schema_extra=legacy("metric.replace_output"),
    )
    adjust: Flag = Field(
        default=False,
        description="Write `Adjust_yaml/<name>.yaml` for editing limits by hand, or apply the edited one.",
        json_schema_extra=legacy("metric.Adjust"),
    )
    score_range: Annotated[
        tuple[Real, Real] | None,
        BeforeValidator(lambda value: None if value is None else _score_range(value)),
        WithJsonSchema({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
    ] = Field(
        default=None, description="[lo, hi]: metric values that become score 0 and 1 (lo > hi: smaller is better)."
    )


def _cls(description: str) -> Any:
    return Field(description=description, json_schema_extra=legacy("metric.metric_cls"))


def _input(*, required: bool) -> Any:
    text = "Settings of the metric: a mapping, or the one-line legacy string."
    extra = legacy("metric.metric_input") | also(type=["string", "null"])
    if required:
        return Field(description=text, json_schema_extra=extra)
    return Field(default={}, validate_default=True, description=text, json_schema_extra=extra)


class VocMetric(MetricBase):
    """Mean average precision against VOC xml."""

    metric_cls: Literal["voc_det_AP"] = _cls("Mean average precision at IoU 0.5, VOC devkit.")
    metric_input: Annotated[VocInput, _reader(VocInput)] = _input(required=True)


class CocoMetric(MetricBase):
    """COCO average precision."""

    metric_cls: Literal["coco_det_AP"] = _cls("AP@[.5:.95] of pycocotools.")
    metric_input: Annotated[CocoInput, _reader(CocoInput)] = _input(required=True)


class SegMetric(MetricBase):
    """Segmentation statistics over one confusion matrix."""

    metric_cls: Literal["SegStats", "PxAcc", "MAcc", "MIU", "FrWIU"] = _cls(
        "SegStats = MIU: mean IU; PxAcc: pixel accuracy; MAcc: mean class accuracy; FrWIU: frequency weighted IU."
    )
    metric_input: Annotated[SegInput, _reader(SegInput)] = _input(required=True)


class ImageMetric(MetricBase):
    """Difference of images."""

    metric_cls: Literal["psnr", "ssim", "l1", "l2"] = _cls("Difference of the output image from its truth.")
    metric_input: Annotated[ImageInput, _reader(ImageInput, bare=True)] = _input(required=False)


class TopKMetric(MetricBase):
    """Classification accuracy."""

    metric_cls: Literal["top1", "top5", "top1_5"] = _cls("Share of images whose class is the first, or among five.")
    metric_input: Annotated[TopKInput, _reader(TopKInput)] = _input(required=False)


class PlainMetric(MetricBase):
    """Metrics that need no settings."""

    metric_cls: Literal["cosine", "NoMetric"] = _cls(
        "cosine: mean similarity of the outputs with float; NoMetric: no scoring."
    )
    metric_input: Annotated[NoInput, _reader(NoInput)] = _input(required=False)


def _custom_name(value: Any) -> Any:
    if not isinstance(value, str) or not value.isidentifier():
        raise wrong("metric_cls should be the name of a metric, or of a plug-in class", f"one of {', '.join(BUILT_IN)}")
    near = {name.lower(): name for name in BUILT_IN}.get(value.lower())
    if near is not None:
        raise wrong(f"unknown metric '{value}'", f"did you mean '{near}'?")
    return value


class CustomMetric(MetricBase):
    """A metric plug-in of the user."""

    metric_cls: Annotated[
        str, BeforeValidator(_custom_name), WithJsonSchema({"type": "string", "not": {"enum": list(BUILT_IN)}})
    ] = _cls("Class of a plug-in `<metric_cls>.py`.")
    metric_input: CustomInput = Field(
        default="",
        description="Passed to the plug-in as it is.",
        json_schema_extra=legacy("metric.metric_input"),
    )


class DefaultMetric(MetricBase):
    """No metric named: top1_5 for a classification network with labels, else cosine."""

    metric_cls: None = Field(default=None, description="Not named: top1_5 for class Classification, else cosine.")
    metric_input: None = Field(default=None, description="Belongs to a named metric.")


_KINDS: dict[str, tuple[str, ...]] = {
    "voc": VOC,
    "coco": COCO,
    "segmentation": SEGMENTATION,
    "image": IMAGE,
    "topk": TOP_K,
    "plain": PLAIN,
}


def metric_kind(value: Any) -> str:
    """Return the tag of the model that reads a metric section."""
    name = value.get("metric_cls") if isinstance(value, Mapping) else getattr(value, "metric_cls", None)
    if name is None:
        return "default"
    return next((kind for kind, names in _KINDS.items() if name in names), "custom")


MetricSection = (
    VocMetric | CocoMetric | SegMetric | ImageMetric | TopKMetric | PlainMetric | CustomMetric | DefaultMetric
)
MetricUnion = Annotated[
    Annotated[VocMetric, Tag("voc")]
    | Annotated[CocoMetric, Tag("coco")]
    | Annotated[SegMetric, Tag("segmentation")]
    | Annotated[ImageMetric, Tag("image")]
    | Annotated[TopKMetric, Tag("topk")]
    | Annotated[PlainMetric, Tag("plain")]
    | Annotated[CustomMetric, Tag("custom")]
    | Annotated[DefaultMetric, Tag("default")],
    Discriminator(metric_kind),
]
