"""What the float and the fixed-point network make of an image, as pictures: boxes drawn, masks overlaid."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.files import decode, open_image, read_array, turned
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Metric

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]
WIDTH, SMALL = 320, 160  # pictures are shrunk to this width; smaller ones are enlarged by a whole factor
BOXES, LEAST_SCORE = 30, 0.25
OVERLAY = 0.55
QUALITY = 82


@dataclass(frozen=True)
class Pair:
    """The same image through both networks. shots: data URIs, empty where there is nothing to draw; texts beside."""

    name: str
    reason: str
    shots: tuple[str, str]
    texts: tuple[str, str]


@dataclass(frozen=True)
class Shot:
    """An image through one network. picture: a data URI, or empty; text beside it; label: as the image list has it."""

    name: str
    picture: str
    text: str
    label: str


def pair(metric: Metric, sample: Sample, reason: str, outputs: tuple[Sequence[Array], Sequence[Array]]) -> Pair:
    """Return the pictures of one sample; outputs: those of the float and of the fixed-point network, axis 0 is 1."""
    inner = getattr(metric, "inner", metric)
    drawn = [_drawn(inner, sample, each) for each in outputs]
    shots = tuple("" if image is None else data_uri(image) for image, _ in drawn)
    return Pair(sample.files[0].name, reason, (shots[0], shots[1]), (drawn[0][1], drawn[1][1]))


def shot(metric: Metric, sample: Sample, outputs: Sequence[Array]) -> Shot:
    """Return the picture of one sample with what one network makes of it; outputs: axis 0 is 1."""
    image, text = _drawn(getattr(metric, "inner", metric), sample, outputs)
    return Shot(sample.files[0].name, "" if image is None else data_uri(image), text, ",".join(sample.labels))


def _drawn(metric: Any, sample: Sample, outputs: Sequence[Array]) -> tuple[Image | None, str]:
    image = picture_of(sample)
    if hasattr(metric, "picture"):
        return _from_output(metric.picture(outputs[0])), ""
    if image is not None and hasattr(metric, "detect"):
        return draw_boxes(image, metric.detect(sample, outputs), metric.class_names)
    if image is not None and hasattr(metric, "predicted_map"):
        return overlay(image, metric.predicted_map(sample, outputs), sample), ""
    return (None if image is None else fitted(image)), best_classes(outputs[0])


def picture_of(sample: Sample) -> Image | None:
    """Return the first file of a sample as RGB, None where it is no picture."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    file = sample.files[0]
    if file.suffix.lower() == ".npy":
        try:
            array = read_array(sample, file).squeeze()
        except InputError:  # whole numbers, which are no picture
            return None
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
            return None
        return pillow.fromarray(array[..., :3] if array.ndim == 3 else array).convert("RGB")
    try:
        with open_image(sample, file) as image:
            return turned(decode(sample, file, image, "RGB"), sample.geometry.orientation if sample.geometry else 1)
    except InputError:  # it was readable when the run began; the page can do without it
        return None


def fitted(image: Image) -> Image:
    """Return the picture at a width that a page shows well."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    factor = shown_scale(image.width)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    kind = pillow.Resampling.NEAREST if factor > 1 else pillow.Resampling.BILINEAR
    return image if factor == 1 else image.resize(size, kind)


def shown_scale(width: int) -> float:
    """Return the factor from the picture's own pixels to those of the page."""
    if width > WIDTH:
        return WIDTH / width
    return float(max(1, SMALL // width)) if width < SMALL else 1.0


def draw_boxes(image: Image, found: Any, names: Sequence[str]) -> tuple[Image, str]:
    """Return the picture with the boxes whose score is at least 0.25, at most 30, and a line that counts them."""
    from PIL import ImageDraw  # noqa: PLC0415 - spares PIL

    factor = shown_scale(image.width)
    shown = fitted(image).copy()
    canvas = ImageDraw.Draw(shown)
    kept = [at for at in range(len(found)) if found.scores[at] >= LEAST_SCORE][:BOXES]
    for at in reversed(kept):
        left, top, right, bottom = (float(side) * factor for side in found.boxes[at])
        color = class_color(int(found.classes[at]) + 1)
        canvas.rectangle([left, top, max(left, right), max(top, bottom)], outline=color, width=2)
        text = f"{names[int(found.classes[at])]} {found.scores[at]:.2f}"
        place = canvas.textbbox((left + 2, max(0.0, top - 11)), text)
        canvas.rectangle(place, fill=color)
        canvas.text((left + 2, max(0.0, top - 11)), text, fill=(0, 0, 0))
    return shown, f"{len(kept)} {'box' if len(kept) == 1 else 'boxes'} with a score of at least {LEAST_SCORE}"


def overlay(image: Image, classes: NDArray[np.uint8], sample: Sample) -> Image:
    """Return the picture under its map of classes [h, w]; class 0 and 255 (not counted) are clear."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    shown = fitted(image)
    placed = _placed(classes, sample, (image.width, image.height))
    mask = np.asarray(pillow.fromarray(placed).resize(shown.size, pillow.Resampling.NEAREST))
    table = np.array([class_color(index) for index in range(256)], np.float64)
    weight = np.where((mask == 0) | (mask == 255), 0.0, OVERLAY)[..., None]
    mixed = np.asarray(shown, np.float64) * (1 - weight) + table[mask] * weight
    return pillow.fromarray(np.rint(mixed).astype(np.uint8))


def _placed(classes: NDArray[np.uint8], sample: Sample, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the map in the picture's own frame: what `network.resize` added or cut off is taken back."""
    geometry = sample.geometry
    if geometry is None or classes.shape != geometry.network[::-1] or classes.shape == size[::-1]:
        return classes
    columns = np.floor((np.arange(size[0]) + 0.5) * geometry.scale[0] + geometry.offset[0]).astype(np.int64)
    rows = np.floor((np.arange(size[1]) + 0.5) * geometry.scale[1] + geometry.offset[1]).astype(np.int64)
    inside = ((rows >= 0) & (rows < classes.shape[0]))[:, None] & ((columns >= 0) & (columns < classes.shape[1]))
    found = classes[np.clip(rows, 0, classes.shape[0] - 1)][:, np.clip(columns, 0, classes.shape[1] - 1)]
    return np.where(inside, found, 0).astype(np.uint8)


def class_color(index: int) -> tuple[int, int, int]:
    """Return a colour of a class that differs well from those of its neighbours: hues at the golden angle."""
    red, green, blue = colorsys.hsv_to_rgb((index * 0.61803398875) % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _from_output(values: NDArray[np.float64]) -> Image:
    """Return an output picture [h, w, 1 or 3] of values in 0..1."""
    from PIL import Image as pillow  # noqa: N813, PLC0415 - spares PIL

    pixels = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    plain = pixels[..., 0] if pixels.shape[-1] != 3 else pixels
    return fitted(pillow.fromarray(plain).convert("RGB"))


def best_classes(output: Array, most: int = 3) -> str:
    """Return the largest entries of a small vector as ``7: 0.93``, or nothing for larger outputs."""
    values = np.asarray(output, np.float64).reshape(-1)
    if not 1 < values.size <= 4096 or max(output.shape) != values.size:
        return ""
    order = np.argsort(-values, kind="stable")[:most]
    return ", ".join(f"{index}: {values[index]:.3g}" for index in order)


def data_uri(image: Image) -> str:
    """Return the picture as the text of a JPEG that a page holds in itself."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
