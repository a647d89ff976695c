"""Boxes in the pixels of an annotation, and the picture that is read in its place.

Annotations carry the size of the picture that they were made for. The picture that is read may be another one of the
same scene, brought to the network's size before slimai saw it; `metric.annotation_fit` says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from slimai.data.exif import turned_size
from slimai.data.resize import Resize, place
from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import Diagnostic, InputError
from slimai.metrics.labels.annotation_turn import Made, doubt, same_aspect, turn_needed

Size = tuple[int, int]
Fit = Literal["auto", "stretch", "letterbox", "center_crop"]
KEY = "metric.annotation_fit"
SHOWN = 20

__all__ = ["AnnotationFit", "Fit", "Size", "same_aspect"]


@dataclass(frozen=True)
class AnnotationFit:
    """How the pixels of each sample's annotation lie in the network's input.

    told: (width, height) that the annotation gives, by the sample's index; None = the picture's is meant.
    files: where each stands, for messages. network: (width, height) of the input, for samples without geometry.
    made: for which picture annotations are where sizes do not tell, `metric.annotation_exif`.
    """

    told: Mapping[int, Size | None]
    files: Mapping[int, str]
    fit: Fit = "auto"
    network: Size | None = None
    made: Made = "turned"

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with the geometry from the annotation's pixels to the network's input.

        Raises: InputError naming picture and both sizes where they do not tell how one became the other.
        """
        geometry = sample.geometry or self._as_it_is(sample)
        told = self._upright(sample)
        if geometry is None or told is None or told == geometry.original:
            return sample
        resize = self._resize(sample, told, geometry)
        placed = place(resize, told, geometry.original)
        scale = (placed.scaled[0] / told[0], placed.scaled[1] / told[1])
        offset = (placed.offset[0] * geometry.scale[0] + geometry.offset[0],
                  placed.offset[1] * geometry.scale[1] + geometry.offset[1])  # fmt: skip
        whole = (scale[0] * geometry.scale[0], scale[1] * geometry.scale[1])
        return replace(sample, geometry=replace(geometry, original=told, scale=whole, offset=offset))

    def turn(self, sample: Sample) -> tuple[int, Size]:
        """Return the EXIF orientation that turns the sample's annotation, and its (width, height) before that.

        Orientation 1: it is not turned.
        """
        orientation, _ = turn_needed(self.told.get(sample.index), sample.geometry, self.made)
        return orientation, turned_size(self.size(sample), orientation) if orientation != 1 else (0, 0)

    def _upright(self, sample: Sample) -> Size | None:
        """Return (width, height) of the annotation once it is turned as the picture is."""
        told = self.told.get(sample.index)
        return None if told is None else turned_size(told, turn_needed(told, sample.geometry, self.made)[0])

    def size(self, sample: Sample) -> Size:
        """Return (width, height) of the annotated picture, upright; raises InputError where it is unknown."""
        told = self._upright(sample)
        if told is None and sample.geometry is None:
            raise InputError.at(
                self.files.get(sample.index, ""),
                f"image '{sample.files[0].name}': its size is not known",
                cure="give width and height in the annotation, or the picture",
            )
        return told or sample.geometry.original  # type: ignore[union-attr]

    def check(self, samples: Sequence[Sample]) -> list[Diagnostic]:
        """Return every sample whose sizes do not fit, and one warning that says how the others were fitted."""
        errors: list[Diagnostic] = []
        scaled: list[tuple[Sample, bool]] = []
        for sample in samples:
            try:
                self(sample)
            except InputError as error:
                errors.extend(error.diagnostics)
                continue
            told, geometry = self._upright(sample), sample.geometry
            if self.fit == "auto" and told and geometry and told != geometry.original:
                scaled.append((sample, same_aspect(told, geometry.original)))
        if len(errors) > SHOWN:
            errors[SHOWN:] = [Diagnostic(f"and {len(errors) - SHOWN} more pictures like these", key=KEY)]
        doubtful = sum(turn_needed(self.told.get(each.index), each.geometry, self.made)[1] for each in samples)
        return [*errors, *self._notes(scaled), *doubt(doubtful, self.made)]

    def _notes(self, scaled: Sequence[tuple[Sample, bool]]) -> list[Diagnostic]:
        if not scaled:
            return []
        stretched = [sample for sample, same in scaled if not same]
        first = (stretched or [scaled[0][0]])[0]
        told = self._upright(first) or (0, 0)
        head = f"{len(scaled)} pictures have another size than their annotation says"
        sizes = f"'{first.files[0].name}': {_text(told)} in the annotation, {_text(_original(first))} read"
        how = "boxes are scaled" + " as if the pictures had been stretched" * bool(stretched)
        cure = "set metric.annotation_fit where that is not how they were made"
        return [Diagnostic(f"{head} ({sizes}); {how}", key=KEY, suggestion=cure, severity="warning")]

    def _as_it_is(self, sample: Sample) -> ImageGeometry | None:
        """Return the geometry of a picture that nobody has seen: the network's size, if the annotation agrees."""
        told = self.told.get(sample.index)
        if self.network is None or told is None:
            return None
        if told != self.network:
            raise InputError.at(
                self.files.get(sample.index, ""),
                f"image '{sample.files[0].name}': the annotation is for {_text(told)} pixels, the network's input has "
                f"{_text(self.network)}, and the picture between them is not known",
                cure="give the folder of the pictures, and how they were resized",
            )
        return ImageGeometry(self.network, self.network)

    def _resize(self, sample: Sample, told: Size, geometry: ImageGeometry) -> Resize:
        if self.fit != "auto":
            return Resize(mode=self.fit)
        if same_aspect(told, geometry.original) or geometry.original == geometry.network:
            return Resize(mode="stretch")
        raise InputError(
            Diagnostic(
                f"image '{sample.files[0].name}': the annotation is for a picture of {_text(told)}, "
                f"the picture has {_text(geometry.original)}",
                key=KEY,
                file=self.files.get(sample.index),
                suggestion="say with metric.annotation_fit how the picture was made: stretch, letterbox or center_crop",
            )
        )


def _original(sample: Sample) -> Size:
    return (0, 0) if sample.geometry is None else sample.geometry.original


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
