"""From the files of a sample to the network's inputs: x = (pixel - mean) / stddev, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.exif import UPRIGHT, orientation_of, turned_size
from slimai.data.files import decode, header_shape, open_image, turned, wrong_file
from slimai.data.input_spec import InputSpec, spec_problems
from slimai.data.picture_file import room_for, too_many
from slimai.data.resize import Placement, Resize, place, resample
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import Diagnostic, InputError
from slimai.suggest import suggest

if TYPE_CHECKING:
    from slimai.schema.network import NetworkSection

Array = NDArray[Any]
SHOWN = 20

__all__ = ["InputFacts", "InputSpec", "Preprocess", "preprocess_for"]


class Preprocess:
    """Makes network inputs of samples; has no state, so threads may share it."""

    def __init__(self, inputs: Sequence[InputSpec]) -> None:
        self.inputs = tuple(inputs)
        problems = [problem for spec in self.inputs for problem in spec_problems(spec)]
        if problems:
            raise InputError(problems)

    def __call__(self, sample: Sample) -> tuple[Sample, dict[str, Array]]:
        """Return the sample with the geometry of its first image, and input name -> [1, ...] float32 or whole numbers.

        Where the network's input has no batch axis, one is put in front. A sequence is [1, steps, ...].
        """
        arrays: dict[str, Array] = {}
        geometry: ImageGeometry | None = None
        for spec, file in self._files(sample):
            arrays[spec.name], found = (spec.array.zeros(), None) if file is None else _input(spec, sample, file)
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
        found = found or self._contradicting(unique.values())
        rest = len(found) - SHOWN
        more = [Diagnostic(f"and {rest} more mistakes like these")] if rest > 0 else []
        placed = {files: geometry for files, (geometry, _) in zip(unique, looked, strict=True)}
        return placed, [*found[:SHOWN], *more]

    def steps(self, sample: Sample) -> int | None:
        """Return how many steps the sample's sequences have, by their headers; None without sequences.

        Raises:
            InputError: they differ.
        """
        files = [(spec.name, file) for spec, file in self._files(sample) if file is not None and spec.sequence]
        found = {name: (*header_shape(sample, file), 0)[0] for name, file in files}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in found.items())
            message = f"the sequences of one sample differ in length: {told} steps"
            raise InputError(Diagnostic(message, file=sample.list_file or None, line=sample.line))
        return next(iter(found.values()), None)

    def step_range(self, samples: Sequence[Sample]) -> tuple[int, int] | None:
        """Return the fewest and the most steps of the samples' sequences, by their headers; None without sequences.

        Raises:
            InputError: those of one sample differ.
        """
        if not samples or not any(spec.sequence for spec in self.inputs):
            return None
        found = [self.steps(sample) or 1 for sample in samples]
        return min(found), max(found)

    def uneven(self, samples: Sequence[Sample]) -> bool:
        """Return whether the sequences of the samples differ in length, so that none can share a batch."""
        found = self.step_range(samples)
        return found is not None and found[0] != found[1]

    def _contradicting(self, samples: Iterable[Sample]) -> list[Diagnostic]:
        """Return the samples whose own sequences differ in length."""
        if not any(spec.sequence for spec in self.inputs):
            return []
        problems: list[Diagnostic] = []
        for sample in samples:
            try:
                self.steps(sample)
            except InputError as error:
                problems.extend(error.diagnostics)
        return problems

    def _checked(self, sample: Sample) -> tuple[ImageGeometry | None, list[Diagnostic]]:
        problems: list[Diagnostic] = []
        geometry: ImageGeometry | None = None
        try:
            files = self._files(sample)
        except InputError as error:
            return None, list(error.diagnostics)
        for spec, file in files:
            try:
                found = None if file is None else _check_file(spec, sample, file)
                geometry = geometry or found
            except InputError as error:
                problems.extend(error.diagnostics)
        return geometry, problems

    def _files(self, sample: Sample) -> list[tuple[InputSpec, Path | None]]:
        """Return each input with its file; None for a state that the list gives none."""
        given = len(sample.files)
        short = max((spec.column for spec in self.inputs if spec.column is not None), default=-1) + 1
        if given == short:
            return [(spec, None if spec.column is None else sample.files[spec.column]) for spec in self.inputs]
        places = [spec.column if spec.listed is None else spec.listed for spec in self.inputs]
        full = max((place for place in places if place is not None), default=-1) + 1
        if given == full:
            return [
                (spec, None if at is None else sample.files[at]) for spec, at in zip(self.inputs, places, strict=True)
            ]
        states = [spec.name for spec in self.inputs if spec.column is None]
        names = ", ".join(spec.name for spec in self.inputs if spec.column is not None)
        more = f", or {full} with the states ({', '.join(states)})" if states else ""
        message = f"{given} files, but the network's inputs ({names}) need {short}{more}"
        raise InputError(Diagnostic(message, file=sample.list_file or None, line=sample.line))


@dataclass(frozen=True)
class InputFacts:
    """What a network says of an input beside its shape.

    dtype: its type. state: whether it is one. limits: of whole numbers, smallest and largest; reader: whose.
    """

    dtype: str = "float32"
    state: bool = False
    limits: tuple[int, int] | None = None
    reader: str = ""


def preprocess_for(
    network: NetworkSection, shapes: Mapping[str, tuple[int, ...]], facts: Mapping[str, InputFacts] | None = None
) -> Preprocess:
    """Return the preprocessing that the `network` section asks for.

    Args:
        network: the validated section, or anything with the same attributes.
        shapes: graph input -> shape at batch 1, in graph order.
        facts: graph input -> what else the network says of it; default nothing.

    Raises:
        InputError: names, channel counts or sizes do not fit the network; all mistakes at once.
    """
    known = {name: (facts or {}).get(name, InputFacts()) for name in shapes}
    nodes, problems = _named(network.input_node_name, known)
    for name in (item for item in nodes if item in shapes):
        problems += _array_only(network, nodes[name], name, known[name])
    if problems:
        raise InputError(problems)
    fed = [name for name in nodes if not known[name].state]
    places = {name: place for place, name in enumerate(fed)}
    return Preprocess(
        [
            _spec(network, nodes[name], name, shapes[name], places.get(name), known[name], at)
            for at, name in enumerate(nodes)
        ]
    )


def _named(given: Mapping[str, Any], known: Mapping[str, InputFacts]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Return the settings of every input in the order of the list's columns; states need not be named."""
    problems = [
        Diagnostic("the network has no such input" + suggest(name, list(known)), "network.input_node_name", name)
        for name in given
        if name not in known
    ]
    open_inputs = [name for name in known if name not in given and not known[name].state]
    if any(name not in known or not known[name].state for name in given):
        problems += [
            Diagnostic("this input of the network is not named", "network.input_node_name", name, "name every input")
            for name in open_inputs
        ]
        return {**given, **{name: None for name in known if name not in given}}, problems
    return {name: given.get(name) for name in known}, problems


def _array_only(network: Any, node: Any, name: str, facts: InputFacts) -> list[Diagnostic]:
    """Return settings of pictures that stand at whole numbers, states and sequences."""
    key = f"network.input_node_name.{name}"
    what = "a state" if facts.state else f"an input of {facts.dtype}" if facts.dtype != "float32" else ""
    if not what:
        layout = getattr(node, "input_data_layout", None) or network.input_data_layout
        if not getattr(node, "seq", False) or layout == "NonImage":
            return []
        message = "a sequence is read from .npy arrays, not from pictures"
        return [Diagnostic(message, f"{key}.seq", True, f"set {key}.input_data_layout: NonImage")]
    problems: list[Diagnostic] = []
    for setting in ("mean", "stddev", "resize", "input_data_layout", "channel_order"):
        value = getattr(node, setting, None)
        if value is not None and value != "NonImage":
            shown = list(value) if isinstance(value, tuple) else getattr(value, "mode", value)
            message = f"{what} takes its values as they are"
            problems.append(Diagnostic(message, f"{key}.{setting}", shown, "leave it out"))
    return problems


def _spec(
    network: Any, node: Any, name: str, shape: tuple[int, ...], place: int | None, facts: InputFacts, listed: int
) -> InputSpec:
    """Return one input. place: its column among those that are no states, None for one; listed: among all."""

    def setting(key: str) -> Any:
        own = getattr(node, key, None)
        return getattr(network, key) if own is None else own

    plain = facts.state or facts.dtype != "float32"
    resize, column = None if plain else setting("resize"), getattr(node, "column", None)
    return InputSpec(
        name=name,
        shape=tuple(shape),
        column=place if column is None else column,
        layout="NonImage" if plain else setting("input_data_layout"),
        channel_order=setting("channel_order"),
        mean=(0.0,) if plain else tuple(setting("mean")),
        stddev=(1.0,) if plain else tuple(setting("stddev")),
        resize=None if resize is None else _resize(resize),
        exif=getattr(network, "exif", "apply"),
        listed=None if column is not None or place == listed else listed,
        dtype=facts.dtype,
        limits=facts.limits,
        reader=facts.reader,
        sequence=bool(getattr(node, "seq", False)),
    )


def _resize(section: Any) -> Resize:
    return Resize(section.mode, section.short_side, tuple(section.pad_value), section.anchor, section.interpolation)


def _check_file(spec: InputSpec, sample: Sample, file: Path) -> ImageGeometry | None:
    if file.suffix.lower() == ".npy":
        spec.array.read(sample, file)
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


def _input(spec: InputSpec, sample: Sample, file: Path) -> tuple[Array, ImageGeometry | None]:
    if file.suffix.lower() == ".npy":
        found = spec.array.read(sample, file)
        if spec.dtype != "float32":
            return found, None
        # a sequence's steps lie where a batch would: mean and stddev belong to the axes behind it
        steps = _normalized(spec, found.reshape(-1, *spec.shape) if spec.sequence else found.reshape(spec.shape))
        return steps.reshape(found.shape), _array_geometry(spec)
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


def _normalized(spec: InputSpec, values: Array) -> Array:
    """Return (values - mean) / stddev, every step in float32, in C order."""
    shape = [1] * values.ndim
    if max(len(spec.mean), len(spec.stddev)) > 1:
        shape[-1 if spec.layout == "NHWC" else 1 + values.ndim - len(spec.shape)] = spec.channels
    mean, stddev = (
        np.broadcast_to(np.asarray(item, dtype=np.float32), (spec.channels if max(shape) > 1 else 1,)).reshape(shape)
        for item in (spec.mean, spec.stddev)
    )
    found = np.ascontiguousarray(values).astype(np.float32)
    found -= mean
    found /= stddev
    return found
