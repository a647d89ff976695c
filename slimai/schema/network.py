"""Section `network`: the model, its inputs and how a picture becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from slimai.schema.base import Int, Section, also, legacy, wrong
from slimai.schema.values import AnyPath, ChannelOrder, Flag, InputLayout, NetworkClass, Numbers


def _resize_form(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str) else value


class Resize(Section):
    """What is done with an image whose size is not the network's. Without it such an image is an error."""

    mode: Literal["stretch", "letterbox", "center_crop"] = Field(
        description="stretch: to width x height; letterbox: keep the aspect ratio and pad; "
        "center_crop: scale the short side to `short_side`, then cut the middle.",
    )
    short_side: Annotated[Int, Field(ge=1, le=65536)] | None = Field(
        default=None, description="Pixels of the shorter side before a center_crop; null = the network's own size."
    )
    pad_value: Numbers = Field(
        default=(114.0,), description="Value 0..255 of the padding of a letterbox: one number, or one a channel."
    )
    anchor: Literal["center", "top_left"] = Field(
        default="center", description="Where the picture lies in a letterbox (pads split floor / ceil)."
    )
    interpolation: Literal["bilinear", "bilinear_cv2", "bicubic", "nearest"] = Field(
        default="bilinear",
        description="bilinear as Pillow does it (antialiased); bilinear_cv2 as OpenCV does it (no antialiasing).",
    )


def _state_form(value: Any) -> Any:
    if value is True or value == "":
        raise wrong("state should be the name of an output, or false", "write {h: {state: hn}}")
    return value


class InputNode(Section):
    """One graph input of a network with several; what is null is as in `network`."""

    column: Annotated[Int, Field(ge=0)] | None = Field(
        default=None, description="Which file of an image list line feeds this input, from 0; null = its position here."
    )
    shape: tuple[Annotated[Int, Field(ge=1)], ...] | None = Field(
        default=None, description="Shape at batch 1, for an input with dynamic dimensions other than the batch."
    )
    input_data_layout: InputLayout | None = Field(default=None, description="Layout of this input.")
    channel_order: ChannelOrder | None = Field(default=None, description="Channel order of this input.")
    mean: Numbers | None = Field(default=None, description="Mean of this input, in pixel units.")
    stddev: Numbers | None = Field(default=None, description="Divisor of this input, in pixel units.")
    resize: Annotated[Resize, BeforeValidator(_resize_form)] | None = Field(
        default=None, description="Resize of this input."
    )
    state: Annotated[Literal[False] | str | None, BeforeValidator(_state_form)] = Field(
        default=None,
        description="Output that this input takes over from the step before; it begins with zeros, or with a file of "
        "the list. null = recognized by its name (h and hn, cache_in and cache_out); false = it is no state.",
    )
    seq: Flag = Field(
        default=False,
        description="Whether a file holds one array a step, along an axis in front: a sample is then a sequence.",
    )


def _tensors(value: Any) -> Any:
    """Return the names of a list, or of a text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, list | tuple):
        if any(not isinstance(name, str) or not name for name in value):
            raise wrong("should be names of tensors", "write [name, name]")
        if len(set(value)) < len(value):
            raise wrong("names a tensor twice", "name each once")
        return tuple(value)
    return value


def _nodes_form(value: Any) -> Any:
    """Return ``{name: settings}`` of a name, a list of names, or a mapping to columns or settings."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, list | tuple):
        strange = next((name for name in value if not isinstance(name, str)), None)
        if strange is not None:
            raise wrong("should be names of inputs", f"{strange!r} is none; write [name, name]")
        return {name: {} for name in value}
    if isinstance(value, Mapping):
        return {
            name: {"column": item} if isinstance(item, int) else ({} if item is None else item)
            for name, item in value.items()
        }
    return value


def _nonzero(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise wrong("A divisor should be above 0", "x = (pixel - mean) / stddev")
    return values


def _some(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values:
        raise wrong("The list is empty", "give one number, or one a channel")
    return values


_NAME_OR_MAPPING = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": ["integer", "object", "null"]}},
        ]
    }
)


class NetworkSection(Section):
    """The float (or pre-quantized) network and its preprocessing: x = (pixel - mean) / stddev."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)] = Field(
        default="network",
        description="Name used in file names; by default the configuration's own name.",
        json_schema_extra=legacy("network.name"),
    )
    input_model: AnyPath = Field(
        description="Model file: .onnx, or a .tflite, float or fully quantized. "
        "A relative path starts from `path.input_dir`.",
        json_schema_extra=legacy("network.input_model"),
    )
    model_type: Literal["float", "quantized"] = Field(
        default="float",
        description="float: to be quantized here; quantized: a TFLite network of integers, with 8-bit weights.",
        json_schema_extra=legacy("network.model_type"),
    )
    network_class: NetworkClass = Field(
        default="Other",
        alias="class",
        description="Kind of network; Segmentation also means any network whose output is an image.",
        json_schema_extra=legacy("network.class"),
    )
    type: Literal["ONNX", "Tensorflow"] | None = Field(
        default=None,
        description="Format of the model file; derived from its suffix.",
        json_schema_extra=legacy("network.type"),
    )
    input_data_layout: InputLayout = Field(
        default="NCHW",
        description="Layout of the network's input; NonImage = arrays (.npy) passed as they are.",
        json_schema_extra=legacy("network.input_data_layout"),
    )
    channel_order: ChannelOrder = Field(
        default="RGB",
        description="Channel order that the network expects.",
        json_schema_extra=legacy("network.channel_order"),
    )
    mean: Annotated[Numbers, AfterValidator(_some)] = Field(
        default=(0.0,),
        description="Mean, on 0..255 values: one number, or one a channel.",
        json_schema_extra=legacy("network.mean"),
    )
    stddev: Annotated[Numbers, AfterValidator(_some), AfterValidator(_nonzero)] = Field(
        default=(1.0,),
        description="Divisor, on 0..255 values, above 0: one number, or one a channel.",
        json_schema_extra=legacy("network.stddev"),
    )
    resize: Annotated[Resize, BeforeValidator(_resize_form)] | None = Field(
        default=None,
        description="What to do with images of another size: a mapping, or a mode; null = they are an error.",
        json_schema_extra=also(type="string", enum=["stretch", "letterbox", "center_crop"]),
    )
    exif: Literal["apply", "ignore"] = Field(
        default="apply",
        description="apply: pictures are turned as EXIF says, as viewers do; ignore: they are read as they are stored.",
    )
    input_node_name: Annotated[dict[str, InputNode], BeforeValidator(_nodes_form), _NAME_OR_MAPPING] = Field(
        default_factory=dict,
        description="Graph inputs: a name, a list in the order of the image list's columns, or a mapping "
        "name -> column or settings. Empty = the graph's own inputs in their order.",
        json_schema_extra=legacy("network.input_node_name"),
    )
    cut_outputs: Annotated[
        tuple[str, ...],
        BeforeValidator(_tensors),
        WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
    ] = Field(
        default=(),
        description="Tensors of the model file that the network ends at, as its outputs in this order: what comes "
        "behind (custom post-processing) is left out. Empty = the whole network.",
    )
