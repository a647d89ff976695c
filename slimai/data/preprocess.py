"""From the files of a sample to the network's inputs: x = (pixel - mean) / stddev, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.data.exif import UPRIGHT, orientation_of, turned_size
from slimai.data.files import decode, open_image, read_array, turned, wrong_file
from slimai.data.picture_file import room_for, too_many
from slimai.data.resize import Placement, Resize, place, resample
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import Diagnostic, InputError
from slimai.graph.samples import sample_shape
from slimai.suggest import suggest

if TYPE_CHECKING:
    from slimai.schema.network import NetworkSection

Array = NDArray[Any]
Layout = Literal["NCHW", "NHWC", "NonImage"]
SHOWN = 20
_CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}


@dataclass(frozen=True)
class InputSpec:
    """How one graph input is made.

    shape: the input's shape, axis 0 the batch of 1. column: which file of a sample feeds it, from 0.
    mean, stddev, resize.pad_value: one number, or one a channel in the network's channel order. exif: whether pictures
    are turned as their EXIF orientation says.
    """

    name: str
    shape: tuple[int, ...]
    column: int = 0
    layout: Layout = "NCHW"
    channel_order: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...] = (0.0,)
    stddev: tuple[float, ...] = (1.0,)
    resize: Resize | None = None
    exif: Literal["apply", "ignore"] = "apply"

    @property
    def channels(self) -> int:
        """Return the number of channels (axis 1, or the last one of NHWC)."""
        if self.layout == "NHWC":
            return self.shape[-1]
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of an image input."""
        height, width = self.shape[2:4] if self.layout == "NCHW" else self.shape[1:3]
        return width, height


class Preprocess:
    """Makes network inputs of samples; has no state, so threads may share it."""

    def __init__(self, inputs: Sequence[InputSpec]) -> None:
        self.inputs = tuple(inputs)
        problems = [problem for spec in self.inputs for problem in _spec_problems(spec)]
        if problems:
            raise InputError(problems)

    def __call__(self, sample: Sample) -> tuple[Sample, dict[str, Array]]:
        """Return the sample with the geometry of its first image, and input name -> [1, ...] float32.

        Where the network's input has no batch axis, one is put in front.
        """
        self._require_columns(sample)
        arrays: dict[str, Array] = {}
        geometry: ImageGeometry | None = None
        for spec in self.inputs:
            arrays[spec.name], found = _input(spec, sample)
            geometry = geometry or found
        return replace(sample, geometry=geometry), arrays

    def check(self, samples: Iterable[Sample], threads: int = 4) -> list[Diagnostic]:
        """Return what is wrong with the files: unreadable ones, other sizes; pixels are decoded only in doubt."""
        return self.survey(samples, threads)[1]

    def survey(
        self, samples: Iterable[Sample], threads: int = 4
    ) -> tuple[dict[tuple[Path, ...], ImageGeometry | None], list[Diagnostic]]:
        """Return the geometry of each sample's first image by the sample's files, and what `check` returns."""
        unique = {sample.files: sample for sample in samples}
        with ThreadPoolExecutor(threads) as pool:
            looked = list(pool.map(self._checked, unique.values()))
        found = [problem for _, problems in looked for problem in problems]
        rest = len(found) - SHOWN
        more = [Diagnostic(f"and {rest} more mistakes like these")] if rest > 0 else []
        placed = {files: geometry for files, (geometry, _) in zip(unique, looked, strict=True)}
        return placed, [*found[:SHOWN], *more]

    def _checked(self, sample: Sample) -> tuple[ImageGeometry | None, list[Diagnostic]]:
        problems: list[Diagnostic] = []
        geometry: ImageGeometry | None = None
        try:
            self._require_columns(sample)
        except InputError as error:
            return None, list(error.diagnostics)
        for spec in self.inputs:
            try:
                found = _check_file(spec, sample)
                geometry = geometry or found
            except InputError as error:
                problems.extend(error.diagnostics)
        return geometry, problems

    def _require_columns(self, sample: Sample) -> None:
        needed = max(spec.column for spec in self.inputs) + 1
        if len(sample.files) != needed:
            names = ", ".join(spec.name for spec in self.inputs)
            message = f"{len(sample.files)} files, but the network's inputs ({names}) need {needed}"
            raise InputError(Diagnostic(message, file=sample.list_file or None, line=sample.line))


def preprocess_for(network: NetworkSection, shapes: Mapping[str, tuple[int, ...]]) -> Preprocess:
    """Return the preprocessing that the `network` section asks for.

    Args:
        network: the validated section, or anything with the same attributes.
        shapes: graph input -> shape at batch 1, in graph order.

    Raises:
        InputError: names, channel counts or sizes do not fit the network; all mistakes at once.
    """
    nodes: Mapping[str, Any] = network.input_node_name or dict.fromkeys(shapes)
    problems = [
        Diagnostic("the network has no such input" + suggest(name, list(shapes)), "network.input_node_name", name)
        for name in nodes
        if name not in shapes
    ]
    problems += [
        Diagnostic("this input of the network is not named", "network.input_node_name", name, "name every input")
        for name in shapes
        if name not in nodes
    ]
    if problems:
        raise InputError(problems)
    return Preprocess([_spec(network, nodes[name], name, shapes[name], place) for place, name in enumerate(nodes)])


def _spec(network: Any, node: Any, name: str, shape: tuple[int, ...], position: int) -> InputSpec:
    def setting(key: str) -> Any:
        own = getattr(node, key, None)
        return getattr(network, key) if own is None else own

    resize, column = setting("resize"), getattr(node, "column", None)
    return InputSpec(
        name=name,
        shape=tuple(shape),
        column=position if column is None else column,
        layout=setting("input_data_layout"),
        channel_order=setting("channel_order"),
        mean=tuple(setting("mean")),
        stddev=tuple(setting("stddev")),
        resize=None if resize is None else _resize(resize),
        exif=getattr(network, "exif", "apply"),
    )


def _resize(section: Any) -> Resize:
    return Resize(section.mode, section.short_side, tuple(section.pad_value), section.anchor, section.interpolation)


def _spec_problems(spec: InputSpec) -> list[Diagnostic]:
    if spec.layout == "NonImage":
        return _length_problems(spec, {"mean": spec.mean, "stddev": spec.stddev})
    if len(spec.shape) == 4 and spec.shape[0] != 1:
        message = f"input '{spec.name}' of the shape {list(spec.shape)} takes {spec.shape[0]} images at once"
        cure = f"give its shape with a batch of 1: network.input_node_name.{spec.name}.shape, or export the model so"
        return [Diagnostic(message, "network.input_model", suggestion=cure)]
    if len(spec.shape) != 4:
        cure = "set network.input_data_layout: NonImage for data that is no image"
        message = f"input '{spec.name}' of the shape {list(spec.shape)} takes no {spec.layout} image"
        return [Diagnostic(message, "network.input_data_layout", spec.layout, cure)]
    problems = []
    if spec.channels in {1, 3} and _CHANNELS[spec.channel_order] != spec.channels:
        other = [order for order, count in _CHANNELS.items() if count == spec.channels]
        message = f"input '{spec.name}' has {spec.channels} channel{'s' * (spec.channels > 1)}"
        cure = f"use {' or '.join(other)}, or correct network.input_data_layout (now {spec.layout})"
        problems.append(Diagnostic(message, "network.channel_order", spec.channel_order, cure))
    lists = {"mean": spec.mean, "stddev": spec.stddev}
    if spec.resize is not None:
        lists["resize.pad_value"] = spec.resize.pad_value
        problems += _crop_problems(spec, spec.resize)
    return problems + _length_problems(spec, lists)


def _length_problems(spec: InputSpec, lists: Mapping[str, tuple[float, ...]]) -> list[Diagnostic]:
    return [
        Diagnostic(
            f"input '{spec.name}' has {spec.channels} channels",
            f"network.{key}",
            list(values),
            "give one or one a channel",
        )
        for key, values in lists.items()
        if len(values) not in {1, spec.channels}
    ]


def _crop_problems(spec: InputSpec, resize: Resize) -> list[Diagnostic]:
    side = resize.short_side
    if resize.mode != "center_crop" or side is None or side >= min(spec.size):
        return []
    message = f"the short side is smaller than the network's input of {spec.size[0]}x{spec.size[1]}"
    return [Diagnostic(message, "network.resize.short_side", side, f"use {max(spec.size)} or more")]


def _check_file(spec: InputSpec, sample: Sample) -> ImageGeometry | None:
    file = sample.files[spec.column]
    if file.suffix.lower() == ".npy":
        _fitted_array(spec, sample, file)
        return _array_geometry(spec)
    image = _open(spec, sample, file)
    try:
        original, orientation = _upright(spec, file, image)
        geometry = _geometry(spec, original, _placement(spec, sample, file, original, orientation), orientation)
        if not _looks_whole(file, image.format or ""):
            with room_for(image.size):
                decode(sample, file, image, "RGB")
    finally:
        image.close()
    return geometry


def _array_geometry(spec: InputSpec) -> ImageGeometry | None:
    return None if spec.layout == "NonImage" else ImageGeometry(spec.size, spec.size)


def _upright(spec: InputSpec, file: Path, image: Any) -> tuple[tuple[int, int], int]:
    """Return (width, height) of the picture as it is read, and the EXIF orientation that turns it."""
    orientation = orientation_of(image, file) if spec.exif == "apply" else UPRIGHT
    return turned_size(image.size, orientation), orientation


def _geometry(spec: InputSpec, original: tuple[int, int], placement: Placement, orientation: int) -> ImageGeometry:
    scale = (placement.scaled[0] / original[0], placement.scaled[1] / original[1])
    offset = (float(placement.offset[0]), float(placement.offset[1]))
    return ImageGeometry(original, spec.size, scale, offset, orientation)


def _looks_whole(file: Path, kind: str) -> bool:
    """Return whether the file ends as its format ends; a cut download does not."""
    ends = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
    if kind not in ends:
        return False
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 64))
        return ends[kind] in stream.read()


def _input(spec: InputSpec, sample: Sample) -> tuple[Array, ImageGeometry | None]:
    file = sample.files[spec.column]
    if file.suffix.lower() == ".npy":
        array = _fitted_array(spec, sample, file)
        return _normalized(spec, array).reshape(sample_shape(spec.shape)), _array_geometry(spec)
    image = _open(spec, sample, file)
    try:
        original, orientation = _upright(spec, file, image)
        placement = _placement(spec, sample, file, original, orientation)
        interpolation = spec.resize.interpolation if spec.resize else "nearest"
        with room_for(original):
            picture = turned(decode(sample, file, image, "L" if spec.channel_order == "GRAY" else "RGB"), orientation)
            pixels = resample(picture, placement.scaled, interpolation).reshape(*placement.scaled[::-1], -1)
            del picture
    finally:
        image.close()
    canvas = _placed(spec, pixels[..., ::-1] if spec.channel_order == "BGR" else pixels, placement)
    channels_first = canvas.transpose(2, 0, 1) if spec.layout == "NCHW" else canvas
    return _normalized(spec, channels_first[None]), _geometry(spec, original, placement, orientation)


def _open(spec: InputSpec, sample: Sample, file: Path) -> Any:
    if spec.layout == "NonImage":
        raise wrong_file(sample, file, "input_data_layout NonImage takes .npy arrays")
    if spec.channels not in {1, 3}:
        raise wrong_file(sample, file, f"an input of {spec.channels} channels takes .npy arrays, no images")
    return open_image(sample, file)


def _placement(spec: InputSpec, sample: Sample, file: Path, original: tuple[int, int], orientation: int) -> Placement:
    if spec.resize is None:
        if original != spec.size:
            found, wanted = f"{original[0]}x{original[1]}", f"{spec.size[0]}x{spec.size[1]}"
            cure = "set network.resize, or give images of that size"
            if orientation != UPRIGHT:
                found += f" as its EXIF orientation {orientation} turns it"
                cure += "; network.exif: ignore reads it as it is stored"
            raise wrong_file(sample, file, f"the image is {found}, the network's input {wanted}", cure)
        return Placement(original, (0, 0))
    placement = place(spec.resize, original, spec.size)
    width, height = placement.scaled
    problem = too_many(placement.scaled)
    if problem:
        raise wrong_file(sample, file, f"scaled by network.resize, {problem}")
    if spec.resize.mode == "center_crop" and (width < spec.size[0] or height < spec.size[1]):
        message = f"scaled to {width}x{height} it is smaller than the crop {spec.size[0]}x{spec.size[1]}"
        raise wrong_file(sample, file, message, "raise network.resize.short_side")
    return placement


def _placed(spec: InputSpec, pixels: Array, placement: Placement) -> Array:
    """Return [H, W, C] pixels cut or padded to the network's size."""
    width, height = spec.size
    if pixels.shape[:2] == (height, width):
        return pixels
    x, y = placement.offset
    pad = spec.resize.pad_value if spec.resize else (0.0,)
    if x <= 0 and y <= 0 and pixels.shape[0] + y >= height and pixels.shape[1] + x >= width:
        return pixels[-y : height - y, -x : width - x]
    canvas = np.empty((height, width, pixels.shape[2]), dtype=np.float32)
    canvas[:] = np.asarray(pad, dtype=np.float32)
    canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return canvas


def _fitted_array(spec: InputSpec, sample: Sample, file: Path) -> Array:
    """Return the array of an .npy file in the input's shape; axes of size 1 do not count."""

    def fits(shape: tuple[int, ...]) -> None:
        if _without_ones(shape) != _without_ones(spec.shape):
            message = f"the array's shape is {list(shape)}, the network's input {list(spec.shape)}"
            raise wrong_file(sample, file, message, "resize does not apply to arrays" if spec.resize else "")

    return read_array(sample, file, fits).reshape(spec.shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _normalized(spec: InputSpec, values: Array) -> Array:
    """Return (values - mean) / stddev, every step in float32, in C order."""
    shape = [1] * len(spec.shape)
    if max(len(spec.mean), len(spec.stddev)) > 1:
        shape[-1 if spec.layout == "NHWC" else 1] = spec.channels
    mean, stddev = (
        np.broadcast_to(np.asarray(item, dtype=np.float32), (spec.channels if max(shape) > 1 else 1,)).reshape(shape)
        for item in (spec.mean, spec.stddev)
    )
    found = np.ascontiguousarray(values).astype(np.float32)
    found -= mean
    found /= stddev
    return found
