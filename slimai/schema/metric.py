"""The metrics, one row each (`METRICS`), and the section `metric`: a union that `metric_cls` decides.

Every other list of metrics is made from the rows: what `metric_cls` accepts, the tag of the union, the typed input
of a legacy line, the classes of networks, the builders, what the vendor's compiler reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    GetPydanticSchema,
    Tag,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import core_schema

from slimai.schema.base import Int, Real, Section, also, legacy, wrong
from slimai.schema.metric_specs import (
    CocoInput,
    CustomInput,
    Fit,
    ImageInput,
    MetricSpec,
    NoInput,
    SegInput,
    TopKInput,
    VocInput,
)
from slimai.schema.metric_text import parse_metric_input
from slimai.schema.values import Flag, FlagOrPath


def _reader(spec: type[MetricSpec]) -> BeforeValidator:
    """Return the validator that turns a legacy string (or nothing) into the mapping of `spec`."""

    def read(value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, str):
            return parse_metric_input(value, spec.positional, bare=spec.bare)
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
        description="Output names in the order that the metric wants; those left out are not scored; "
        "empty = all, in the graph's order.",
        json_schema_extra=legacy("metric.replace_output"),
    )
    adjust: FlagOrPath = Field(
        default=False,
        description="Write `Adjust_yaml/<name>.yaml` for editing limits by hand, or apply the edited one. A path: the "
        "file to apply, such as a run's `suggested_adjust.yaml`.",
        json_schema_extra=legacy("metric.Adjust"),
    )
    score_range: Annotated[
        tuple[Real, Real] | None,
        BeforeValidator(lambda value: None if value is None else _score_range(value)),
        WithJsonSchema({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
    ] = Field(
        default=None, description="[lo, hi]: metric values that become score 0 and 1 (lo > hi: smaller is better)."
    )
    fail_under: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        default=None, description="A delivered score below it ends the finished run with exit code 3: a gate for CI."
    )
    allow_low_float_score: Flag = Field(
        default=False,
        description="Go on where the float score cannot be right: exactly 0 with 10 images or more; one class for all "
        "of 50 or more; top-1 that is chance within 99 % on 100 or more. false = the run ends before the search.",
    )


def _cls(description: str) -> Any:
    return Field(description=description, json_schema_extra=legacy("metric.metric_cls"))


def _named(kind: str) -> GetPydanticSchema:
    """Return the annotation of a `metric_cls`: one of the names whose rows are of this `kind`."""
    # called when the model is built, on first use: the rows, which name the models, stand below them
    return GetPydanticSchema(lambda _source, _handler: core_schema.literal_schema(list(names_of(kind))))


def _input(*, required: bool) -> Any:
    text = "Settings of the metric: a mapping, or the one-line legacy string."
    extra = legacy("metric.metric_input") | also(type=["string", "null"])
    if required:
        return Field(description=text, json_schema_extra=extra)
    return Field(default={}, validate_default=True, description=text, json_schema_extra=extra)


class AnnotatedMetric(MetricBase):
    """What the metrics with annotated places have beside."""

    annotation_exif: Literal["turned", "stored"] = Field(
        default="turned",
        description="Whether annotations belong to the picture as its EXIF orientation turns it, or as it is stored; "
        "only where sizes do not tell (orientation 2..4, square pictures), with a warning.",
    )


class DetectionMetric(AnnotatedMetric):
    """What the metrics with annotated boxes have beside."""

    annotation_fit: Fit = Field(
        default="auto",
        description="How a picture was made of the annotated one, when their sizes differ. auto: the same aspect ratio "
        "within 2 %: scaled; else a picture of the network's input size: stretched, with a warning; else an error.",
    )


class VocMetric(DetectionMetric):
    """Mean average precision against VOC xml."""

    metric_cls: Annotated[str, _named("voc")] = _cls("Mean average precision at IoU 0.5, VOC devkit.")
    metric_input: Annotated[VocInput, _reader(VocInput)] = _input(required=True)


class CocoMetric(DetectionMetric):
    """COCO average precision."""

    metric_cls: Annotated[str, _named("coco")] = _cls("AP@[.5:.95] of pycocotools.")
    metric_input: Annotated[CocoInput, _reader(CocoInput)] = _input(required=True)


class SegMetric(AnnotatedMetric):
    """Segmentation statistics over one confusion matrix."""

    metric_cls: Annotated[str, _named("segmentation")] = _cls(
        "SegStats = MIU: mean IU; PxAcc: pixel accuracy; MAcc: mean class accuracy; FrWIU: frequency weighted IU."
    )
    metric_input: Annotated[SegInput, _reader(SegInput)] = _input(required=True)


class ImageMetric(MetricBase):
    """Difference of images."""

    metric_cls: Annotated[str, _named("image")] = _cls("Difference of the output image from its truth.")
    metric_input: Annotated[ImageInput, _reader(ImageInput)] = _input(required=False)


class TopKMetric(MetricBase):
    """Classification accuracy."""

    metric_cls: Annotated[str, _named("topk")] = _cls("Share of images whose class is the first, or among five.")
    metric_input: Annotated[TopKInput, _reader(TopKInput)] = _input(required=False)


class PlainMetric(MetricBase):
    """Metrics that need no settings."""

    metric_cls: Annotated[str, _named("plain")] = _cls(
        "cosine: mean similarity of the outputs with float; NoMetric: no scoring."
    )
    metric_input: Annotated[NoInput, _reader(NoInput)] = _input(required=False)


def _custom_name(value: Any) -> Any:
    if not isinstance(value, str) or not value.isidentifier():
        raise wrong("metric_cls should be the name of a metric, or of a plug-in class", f"one of {', '.join(METRICS)}")
    near = {name.lower(): name for name in METRICS}.get(value.lower())
    if near is not None:
        raise wrong(f"unknown metric '{value}'", f"did you mean '{near}'?")
    return value


def _not_built_in(_source: Any, _handler: Any) -> dict[str, Any]:
    return {"type": "string", "not": {"enum": list(METRICS)}}


class CustomMetric(MetricBase):
    """A metric plug-in of the user."""

    metric_cls: Annotated[
        str, BeforeValidator(_custom_name), GetPydanticSchema(get_pydantic_json_schema=_not_built_in)
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


MetricSection = (
    VocMetric | CocoMetric | SegMetric | ImageMetric | TopKMetric | PlainMetric | CustomMetric | DefaultMetric
)

_BUILDERS = "slimai.metrics.builders"


@dataclass(frozen=True)
class MetricRow:
    """What slimai knows of one metric, all in one place.

    name: its `metric_cls`. kind: the tag of its section in the union. section: the model that reads the section.
    spec: the model of its `metric_input`. build: function of slimai.metrics.builders that makes it. classes: the
    classes of networks that it is for, () = all. legacy: how a cfg for the vendor's compiler says it: its name there,
    "" = by naming no metric, None = not at all.
    """

    name: str
    kind: str
    section: type[MetricSection]
    spec: type[MetricSpec]
    build: str
    classes: tuple[str, ...]
    legacy: str | None

    @property
    def builder(self) -> str:
        """Return the ``module:function`` that makes the metric."""
        return f"{_BUILDERS}:{self.build}"


_DET, _SEG, _CLS = ("Detection",), ("Segmentation",), ("Classification",)
_PIC = ("Segmentation", "Other")

METRICS: dict[str, MetricRow] = {
    row.name: row
    for row in (
        MetricRow("voc_det_AP", "voc", VocMetric, VocInput, "build_voc", _DET, "voc_det_AP"),
        MetricRow("coco_det_AP", "coco", CocoMetric, CocoInput, "build_coco", _DET, "coco_det_AP"),
        MetricRow("SegStats", "segmentation", SegMetric, SegInput, "build_segmentation", _SEG, "SegStats"),
        MetricRow("PxAcc", "segmentation", SegMetric, SegInput, "build_segmentation", _SEG, "PxAcc"),
        MetricRow("MAcc", "segmentation", SegMetric, SegInput, "build_segmentation", _SEG, "MAcc"),
        MetricRow("MIU", "segmentation", SegMetric, SegInput, "build_segmentation", _SEG, "MIU"),
        MetricRow("FrWIU", "segmentation", SegMetric, SegInput, "build_segmentation", _SEG, "FrWIU"),
        MetricRow("psnr", "image", ImageMetric, ImageInput, "build_difference", _PIC, "psnr"),
        MetricRow("ssim", "image", ImageMetric, ImageInput, "build_difference", _PIC, "ssim"),
        MetricRow("l1", "image", ImageMetric, ImageInput, "build_difference", _PIC, "l1"),
        MetricRow("l2", "image", ImageMetric, ImageInput, "build_difference", _PIC, "l2"),
        MetricRow("top1", "topk", TopKMetric, TopKInput, "build_top_k", _CLS, None),
        MetricRow("top5", "topk", TopKMetric, TopKInput, "build_top_k", _CLS, None),
        MetricRow("top1_5", "topk", TopKMetric, TopKInput, "build_top_k", _CLS, "top1_5"),
        MetricRow("cosine", "plain", PlainMetric, NoInput, "build_cosine", (), ""),
        MetricRow("NoMetric", "plain", PlainMetric, NoInput, "build_none", (), None),
    )
}

BUILT_IN = tuple(METRICS)
SPECS: dict[str, type[MetricSpec]] = {row.kind: row.spec for row in METRICS.values()}
"""The typed input of each kind of metric; the kinds that are not here take theirs as it is."""

SECTIONS: dict[str, type[MetricSection]] = {
    **{row.kind: row.section for row in METRICS.values()},
    "custom": CustomMetric,
    "default": DefaultMetric,
}
"""The model of each tag of the union."""


def names_of(kind: str) -> tuple[str, ...]:
    """Return the metrics of a kind, in the order of their rows."""
    return tuple(row.name for row in METRICS.values() if row.kind == kind)


def default_metric(network_class: str, *, labelled: bool) -> str:
    """Return the metric of a job that names none; `labelled`: its validation images have labels."""
    return "top1_5" if network_class == "Classification" and labelled else "cosine"


def metric_kind(value: Any) -> str:
    """Return the tag of the model that reads a metric section."""
    name = value.get("metric_cls") if isinstance(value, Mapping) else getattr(value, "metric_cls", None)
    if name is None:
        return "default"
    row = METRICS.get(name) if isinstance(name, str) else None
    return row.kind if row else "custom"


def _read_section(value: Any, info: ValidationInfo) -> MetricSection:
    section: MetricSection = SECTIONS[metric_kind(value)].model_validate(value, context=info.context)
    return section


class _ByName:
    """The section that `metric_cls` decides: only its model is built, as building all takes a third of the start."""

    @staticmethod
    def __get_pydantic_core_schema__(_source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        # the errors of the section stand below its key: pydantic takes them over from the one that is raised
        return core_schema.with_info_plain_validator_function(_read_section)

    @staticmethod
    def __get_pydantic_json_schema__(_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kind_of = {section: kind for kind, section in SECTIONS.items()}
        tagged = tuple(Annotated[section, Tag(kind_of[section])] for section in get_args(MetricSection))
        whole = Annotated[Union[tagged], Discriminator(metric_kind)]  # type: ignore[valid-type]  # noqa: UP007 - made of the list of sections
        return handler(TypeAdapter(whole).core_schema)


if TYPE_CHECKING:
    MetricUnion = MetricSection
else:
    MetricUnion = Annotated[MetricSection, _ByName]
