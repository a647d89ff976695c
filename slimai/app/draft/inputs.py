"""Everything that the user's files say: the model, the samples with their sizes, the labels."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from slimai.app.draft.labels import Labels, read_labels
from slimai.app.draft.model import ModelFacts, Size, open_model
from slimai.app.draft.samples import Found, find_samples
from slimai.blobs.names import safe_names
from slimai.data.exif import orientation_of, turned_size
from slimai.data.files import open_image
from slimai.data.sample import Sample
from slimai.errors import Diagnostic, InputError

NOISE, NOISE_BYTES = 4, 1 << 24
NO_IMAGES = "no --images: arrays of noise stand in for them; they show that the network runs, scores mean nothing"
SHOWN = 3

__all__ = ["Material", "gather"]


@dataclass(frozen=True)
class Material:
    """lines: sample -> its files as an image list names them. sizes: sample -> (width, height) of its picture.

    made: files that stand in for samples, by name below the folder of the lists.
    """

    facts: ModelFacts
    found: Found | None
    lines: Mapping[str, str]
    labels: Labels = field(default_factory=Labels)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    made: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def label(self, name: str) -> str:
        """Return what the list says of a sample: a class number, or where its mask lies from the samples' folder."""
        text = self.labels.texts.get(name, "")
        if self.labels.kind != "masks" or not text or self.found is None:
            return text
        place = Path(os.path.relpath(text, self.found.folder)).as_posix()
        if any(letter.isspace() or letter == "," for letter in place):
            cure = "rename it: a list's names hold no blanks and commas"
            raise InputError(Diagnostic("cannot stand in an image list", "--labels", place, cure))
        return place


def gather(model: Path, images: Path | None, labels: Path | None) -> Material:
    """Return what the files say; raises InputError as they are wrong."""
    if not model.is_file():
        raise InputError(Diagnostic("there is no such model file", value=str(model)))
    if images is None:
        if labels is not None:
            message = "labels need the folder of their pictures"
            raise InputError(Diagnostic(message, "--labels", suggestion="add --images DIR"))
        return _noise(open_model(model))
    inside = labels is not None and labels.is_dir() and labels.resolve() != images.resolve()
    found = find_samples(images, [labels] if inside and labels is not None else [])
    sizes, notes = _sizes(found)
    if not found.arrays:
        found = replace(found, names=tuple(sizes))
    facts = open_model(model, arrays=found.arrays, picture_size=_common(sizes))
    if not facts.inputs:
        raise InputError(Diagnostic("the network has no inputs", value=str(model)))
    lines = {name: name for name in found.names}
    if len(facts.inputs) > 1:
        lines = _joined(facts, found)
        facts = _with_arrays(facts, lines)
    known = read_labels(labels, images, list(lines), (model.parent,))
    return Material(facts, found, lines, known, sizes, notes=(*found.notes, *notes))


def _common(sizes: Mapping[str, Size]) -> Size | None:
    """Return the size that all pictures have; None where they differ."""
    return next(iter(sizes.values())) if len(set(sizes.values())) == 1 else None


def _sizes(found: Found) -> tuple[dict[str, Size], list[str]]:
    """Return (width, height) of each picture as its EXIF turns it, without those that cannot be read."""
    sizes: dict[str, Size] = {}
    broken: list[str] = []
    for name in () if found.arrays else found.names:
        file = found.folder / name
        try:
            with open_image(Sample(0, (file,)), file) as image:
                sizes[name] = turned_size(image.size, orientation_of(image, file))
        except InputError as error:
            broken.append(str(error))
    if broken and not sizes:
        raise InputError(Diagnostic(f"none of {len(broken)} pictures can be read: {broken[0]}", key="--images"))
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return sizes, [f"left out: {broken[0]}{more}"] if broken else []


def _joined(facts: ModelFacts, found: Found) -> dict[str, str]:
    """Return the lines of a network with several inputs: files of one stem, in a folder named like each input."""
    safe = safe_names([item.name for item in facts.inputs])
    folders = [safe[item.name] for item in facts.inputs]
    stems: list[dict[str, str]] = [{} for _ in folders]
    for name in found.names:
        top, _, rest = name.partition("/")
        if top in folders and rest:
            stems[folders.index(top)][rest.rpartition(".")[0]] = name
    shared = [stem for stem in stems[0] if all(stem in other for other in stems)]
    if not shared:
        message = f"the network has {len(folders)} inputs, and no sample has a file for each"
        cure = f"put the files of each input in a folder of its name ({', '.join(folders)}), with equal names"
        raise InputError(Diagnostic(message, key="--images", value=str(found.folder), suggestion=cure))
    return {stems[0][stem]: ",".join(other[stem] for other in stems) for stem in shared}


def _with_arrays(facts: ModelFacts, lines: Mapping[str, str]) -> ModelFacts:
    """Return the facts in which inputs that arrays feed are no pictures."""
    columns = next(iter(lines.values())).split(",")
    inputs = tuple(
        replace(item, layout="NonImage", sure=True) if column.lower().endswith(".npy") else item
        for item, column in zip(facts.inputs, columns, strict=True)
    )
    return replace(facts, inputs=inputs)


def _noise(facts: ModelFacts) -> Material:
    """Return samples of seeded noise: bytes for pictures, normal numbers for other data."""
    if not facts.inputs:
        raise InputError(Diagnostic("the network has no inputs", value=str(facts.file)))
    largest = max(prod(item.shape) for item in facts.inputs) * 4
    random = np.random.default_rng(0)
    made, lines = {}, {}
    for number in range(max(1, min(NOISE, NOISE_BYTES // max(largest, 1)))):
        names = []
        for place, item in enumerate(facts.inputs):
            name = f"noise_{number}_{place}.npy"
            if item.limits is not None:
                values = random.integers(item.limits[0], item.limits[1] + 1, item.shape)
                values = values.astype(facts.graph.tensors[item.name].dtype)
            elif item.layout != "NonImage":
                values = random.integers(0, 256, item.shape).astype(np.uint8)
            elif item.stored is not None:
                values = random.integers(-128, 128, item.shape).astype(np.int8)
                values = values.view(np.uint8) if item.stored.dtype == "uint8" else values
            else:
                values = random.standard_normal(item.shape).astype(np.float32)
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            made[name] = buffer.getvalue()
            names.append(name)
        lines[names[0]] = ",".join(names)
    return Material(facts, None, lines, made=made, notes=(NO_IMAGES,))
