"""The typed `metric_input` of every metric: one spec model a metric."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from slimai.schema.base import Int, Real, Section, wrong
from slimai.schema.percent import base60_message
from slimai.schema.values import AbsPath, Flag, Size

Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Fit = Literal["auto", "stretch", "letterbox", "center_crop"]
Fraction = Annotated[Real, Field(ge=0, le=1)]


class MetricSpec(Section):
    """Base of the typed inputs.

    `positional` names the fields that a legacy string gives by position; `bare` tells whether it may hold words
    without a value (``use_float``, a layout).
    """

    positional: ClassVar[tuple[str, ...]] = ()
    bare: ClassVar[bool] = False


def _anchors(value: Any) -> Any:
    """Return brackets of (width, height) pairs; one flat list of pairs is one bracket."""
    if not isinstance(value, list | tuple):
        raise wrong("Anchors are lists of [width, height] pairs, one list a scale", "like [[[81, 82], [135, 169]]]")
    flat = all(_is_pair(item) for item in value) and bool(value)
    brackets = [value] if flat else value
    for bracket in brackets:
        if isinstance(bracket, int | float):
            raise wrong(f"Anchors are [width, height] pairs; {base60_message(bracket)}", "write [w, h]")
        if not isinstance(bracket, list | tuple) or not bracket:
            raise wrong("Each scale of the anchors is a list of [width, height] pairs", "like [[81, 82], [135, 169]]")
        for pair in bracket:
            if isinstance(pair, int | float):
                raise wrong(f"Anchors are [width, height] pairs; {base60_message(pair)}", "write [w, h]")
    return tuple(tuple(tuple(p) if isinstance(p, list) else p for p in bracket) for bracket in brackets)


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, list | tuple)
        and len(item) == 2
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in item)
    )


def _at_most_three(brackets: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(brackets) > 3:
        raise wrong("Anchors have at most three scales", "one bracket a detection head, in the order of the outputs")
    return brackets


_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_ANCHOR_FORMS: list[dict[str, Any]] = [
    {"type": "array", "maxItems": 3, "items": {"type": "array", "items": _PAIR}},
    {"type": "array", "items": _PAIR},
]
AnchorPair = tuple[Positive, Positive]
Anchors = Annotated[
    tuple[tuple[AnchorPair, ...], ...],
    BeforeValidator(_anchors),
    AfterValidator(_at_most_three),
    WithJsonSchema({"anyOf": _ANCHOR_FORMS}),
]


def _strides(value: Any) -> Any:
    """Return the numbers of a list, of one number, or of the legacy ``[8;16;32]``."""
    if isinstance(value, str):
        return tuple(part for part in value.strip("[]").split(";") if part)
    return (value,) if isinstance(value, int) else value


Strides = Annotated[
    tuple[Annotated[Int, Field(ge=1, le=1024)], ...],
    Field(min_length=1, max_length=8),
    BeforeValidator(_strides),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": ["integer", "string"]}]}),
]


class DetectionInput(MetricSpec):
    """Options that the two detection metrics share; the names are the guide's own."""

    center: Flag = Field(default=False, description="Boxes are centre and size, not corners.")
    yfirst: Flag = Field(default=False, description="y comes before x (and height before width).")
    threshold: Fraction = Field(default=0.0, description="Only confidences above it are kept.")
    data_offset: Int = Field(default=0, description="Added to the network's class index.")
    scale_width: Positive = Field(default=1.0, description="Factor of x and widths.")
    scale_height: Positive = Field(default=1.0, description="Factor of y and heights.")
    div_width: NotNegative = Field(default=0.0, description="Divisor of x and widths in place of scale_width; 0 = off.")
    div_height: NotNegative = Field(
        default=0.0, description="Divisor of y and heights in place of scale_height; 0 = off."
    )
    custom_pp: Literal["yolo", "ssd", "yolox", "yolov8", "gfl", "yunet", "facebox", "decoded", "fastestdet"] | None = (
        Field(default=None, description="Head decoded here; null = the outputs are boxes, confidences, class indices.")
    )
    input_size: Size | None = Field(default=None, description="Network input [width, height], in pixels.")
    voc_labels: tuple[str, ...] = Field(default=(), description="Class names in the order of the network's classes.")
    iou_threshold: Fraction | None = Field(
        default=None, description="Overlap above which a weaker box is suppressed; null = the head's usual one."
    )
    layout: Literal["HWC", "CHW"] = Field(
        default="CHW", description="Layout of the network's detection outputs: 255x13x13 is CHW, 13x13x255 is HWC."
    )
    anchors: Anchors = Field(
        default=(), description="yolo: [[[w, h], ...], ...] in pixels, one list a scale in the order of the outputs."
    )
    yolo: Literal["v2", "v3"] | None = Field(
        default=None, description="v2 = softmax, v3 = sigmoid classes; null = v2 for one scale, v3 for several."
    )
    strides: Strides = Field(
        default=(8, 16, 32),
        description="gfl, yunet: strides of the grids in input pixels, in the order of the outputs.",
    )
    reg_max: Annotated[Int, Field(ge=1, le=64)] = Field(
        default=7, description="gfl: the largest distance of a distribution, in strides; it has reg_max + 1 bins."
    )
    cell_offset: Fraction = Field(
        default=0.5, description="gfl: place in a cell that distances start from, in strides; NanoDet-Plus has 0."
    )
    logits: Flag = Field(default=False, description="gfl: class scores are logits: a sigmoid is applied.")
    ap: Literal["area", "11point"] = Field(default="area", description="Area under the curve, or 11 points of it.")
    annotation_fit: Fit | None = Field(
        default=None,
        description="How the pictures were made of those that were annotated; null = as `metric.annotation_fit` says.",
    )
    priors: AbsPath | None = Field(
        default=None, description="ssd: file of priors and variances; null = anchor.txt beside the annotations."
    )


class VocInput(DetectionInput):
    """Input of voc_det_AP."""

    positional: ClassVar[tuple[str, ...]] = ("annotations",)
    annotations: AbsPath = Field(description="Folder of the VOC xml files.")
    difficult: Literal["ignore", "count"] = Field(
        default="ignore",
        description="Objects marked difficult: ignore = neither counted nor punished; count = ordinary objects.",
    )


class CocoInput(DetectionInput):
    """Input of coco_det_AP."""

    positional: ClassVar[tuple[str, ...]] = ("instances", "classes")
    instances: AbsPath = Field(description="COCO instances json.")
    classes: Annotated[Int, Field(ge=1, le=100_000)] = Field(description="Number of classes without background.")


class MapResize(Section):
    """Resizing of a predicted label map to the size of its truth."""

    method: Literal["NN", "Bi", "Cu"] = Field(description="Nearest neighbour, bilinear or bicubic.")
    size: Size = Field(description="[width, height] in pixels.")


def _transpose(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool | str) else value


def _label_numbers(value: Any) -> Any:
    """Return the numbers of a list, of one number, or of the legacy ``11`` or ``[0;11]``."""
    if isinstance(value, str):
        return tuple(part for part in value.strip("[]").split(";") if part)
    return (value,) if isinstance(value, int) else value


class SegInput(MetricSpec):
    """Input of the segmentation metrics."""

    positional: ClassVar[tuple[str, ...]] = ("labels",)
    labels: AbsPath = Field(
        description="List of label images in the order of the validation list, or `image label` pairs."
    )
    axis: Annotated[Int, Field(ge=0, le=2)] = Field(
        default=0, description="Axis of the blob that holds the classes: 0 = C, 1 = H, 2 = W."
    )
    threshold: Fraction | None = Field(
        default=None, description="Binary segmentation: larger values are 1; null = values are class numbers."
    )
    resize: MapResize | None = Field(default=None, description="Resizing of the predicted map; null = none.")
    transpose: Annotated[
        Literal["auto", "true", "false"],
        BeforeValidator(_transpose),
        WithJsonSchema({"enum": ["auto", "true", "false", True, False]}),
    ] = Field(default="auto", description="Whether the map is turned to the orientation of its truth.")
    ignore: Annotated[
        tuple[Annotated[Int, Field(ge=0, le=255)], ...],
        BeforeValidator(_label_numbers),
        WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": ["integer", "string"]}]}),
    ] = Field(default=(), description="Labels of the truth that are not counted, beside 255; no pixel is given one.")


class ImageInput(MetricSpec):
    """Input of psnr, ssim, l1 and l2."""

    bare: ClassVar[bool] = True
    use_float: Flag = Field(default=False, description="The float network's outputs are the truth; no labels needed.")
    layout: Literal["chw", "whc", "cwh", "hwc"] | None = Field(
        default=None, description="Layout that the truth is brought to; null = the output's own."
    )
    range: Positive = Field(default=1.0, description="Values lie in 0..range; negative ones are clipped to 0.")


class TopKInput(MetricSpec):
    """Input of top1, top5 and top1_5."""

    positional: ClassVar[tuple[str, ...]] = ("labels",)
    labels: AbsPath | None = Field(
        default=None, description="File of class numbers; null = the labels of the image list."
    )
    data_offset: Int = Field(
        default=0, description="Added to the network's class index; -1 for one whose class 0 is a background."
    )


class NoInput(MetricSpec):
    """Metrics without settings: cosine, NoMetric."""


def _custom(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, str | dict):
        raise wrong("The input of a custom metric is a string, or a mapping", "it is passed to init_params as it is")
    return value


CustomInput = Annotated[
    str | dict[str, Any], BeforeValidator(_custom), WithJsonSchema({"type": ["string", "object", "number", "null"]})
]

__all__ = [
    "Anchors",
    "CocoInput",
    "CustomInput",
    "DetectionInput",
    "ImageInput",
    "MapResize",
    "MetricSpec",
    "NoInput",
    "SegInput",
    "TopKInput",
    "VocInput",
]
