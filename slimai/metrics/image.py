"""Difference of two pictures (`psnr`, `l1`, `l2`, `ssim`).

ssim: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment" (2004): 11 x 11 Gaussian window of sigma 1.5,
weighted (not sample) covariance, K1 = 0.01, K2 = 0.03, windows that lie wholly inside, mean over the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.base import Array, Record, Result
from slimai.metrics.labels.masks import read_picture
from slimai.metrics.outputs import check_outputs, image_index, in_order, known_reference

Picture = NDArray[np.float64]
Layout = Literal["chw", "whc", "cwh", "hwc"]

MOST_DB = 100.0
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03

__all__ = ["Difference", "Layout", "as_hwc", "l1", "l2", "psnr", "ssim"]


def l1(a: Picture, b: Picture) -> float:
    """Return the mean absolute difference."""
    return float(np.abs(a - b).mean())


def l2(a: Picture, b: Picture) -> float:
    """Return the mean squared difference."""
    return float(np.square(a - b).mean())


def psnr(a: Picture, b: Picture) -> float:
    """Return 10 log10(1 / mean squared difference) in dB of pictures in 0..1; at most 100, also for equal ones."""
    error = l2(a, b)
    return MOST_DB if error <= 10 ** (-MOST_DB / 10) else float(-10.0 * np.log10(error))


def ssim(a: Picture, b: Picture) -> float:
    """Return the mean structural similarity of two pictures [h, w, channels] in 0..1."""
    if min(a.shape[:2]) < WINDOW:
        raise InputError(
            f"ssim needs pictures of at least {WINDOW} x {WINDOW} pixels (got {a.shape[1]} x {a.shape[0]})"
        )
    mean_a, mean_b = _windowed(a), _windowed(b)
    var_a = _windowed(a * a) - mean_a**2
    var_b = _windowed(b * b) - mean_b**2
    both = _windowed(a * b) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((similarity / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def _windowed(values: Picture) -> Picture:
    """Return the Gaussian means of all windows that lie wholly inside [h - 10, w - 10, channels]."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (at / SIGMA) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = values.shape[axis] - WINDOW + 1
        parts = (w * np.take(values, np.arange(k, k + length), axis=axis) for k, w in enumerate(weights))
        values = sum(parts, np.zeros(()))
    return values


CHANNELS = (1, 3)  # of a picture, gray or in colours


@dataclass(frozen=True)
class Measure:
    """A formula over two pictures in 0..1, the score of its value, and the values that it can have."""

    formula: Callable[[Picture, Picture], float]
    score: Callable[[float], float]
    value_range: tuple[float, float]
    higher_is_better: bool


MEASURES: dict[str, Measure] = {
    "psnr": Measure(psnr, lambda value: value / MOST_DB, (0.0, MOST_DB), higher_is_better=True),
    "l1": Measure(l1, lambda value: 1.0 - value, (0.0, 1.0), higher_is_better=False),
    "l2": Measure(l2, lambda value: 1.0 - value, (0.0, 1.0), higher_is_better=False),
    "ssim": Measure(ssim, lambda value: value, (-1.0, 1.0), higher_is_better=True),
}


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Return the layout of an output [1, a, b, c] by its sizes: the axis of size 1 or 3 is the channel.

    Raises: InputError where neither or both ends are such an axis.
    """
    if len(shape) != 4:
        return "chw"
    first, last = (side in CHANNELS for side in (shape[1], shape[3]))
    if first == last:
        raise InputError(
            f"an output of the shape {shape} does not tell which axis is the channel; "
            "add a layout word to metric_input: chw, whc, cwh or hwc"
        )
    return "chw" if first else "hwc"


def as_hwc(output: NDArray[Any], layout: Layout | None) -> Picture:
    """Return an output [1, three dimensions in `layout`] as [h, w, channels]; without c where it has two.

    layout: None = as `layout_of` finds it.
    """
    values = np.asarray(output, np.float64)
    layout = layout or layout_of(values.shape)
    if values.ndim < 3 or values.ndim > 4 or values.shape[0] != 1:
        raise InputError(f"an image output is [1, {', '.join(layout)}] or has no channels (got {output.shape})")
    values = values[0]
    order = layout if values.ndim == 3 else layout.replace("c", "")
    if values.ndim == 2:
        values, order = values[..., None], order + "c"
    picture: Picture = values.transpose([order.index(axis) for axis in "hwc"])
    return picture


class Difference:
    """Mean over the pictures of one of `MEASURES`.

    value: dB for psnr, else a plain number after division by `range`; score: psnr / 100, 1 - l1, 1 - l2, ssim,
    each kept in 0..1. labels: the truth by the index of the sample; None = the float network's output.
    """

    def __init__(
        self,
        which: str,
        outputs: tuple[str, ...],
        labels: Mapping[int, Path] | None,
        layout: Layout | None = "chw",
        scale: float = 1.0,
        *,
        turn: bool = False,
    ) -> None:
        """`scale` is the option `range`: outputs lie in 0..scale. turn: whether EXIF turns the true pictures too."""
        self._turn = turn
        if len(outputs) != 1:
            raise InputError.at(
                "metric.metric_cls",
                f"{which} scores a network with one output ({', '.join(outputs)})",
                len(outputs),
                cure="take the other outputs off the network, or score with cosine",
            )
        self.name = which
        self.uses_float = labels is None
        self._measure = MEASURES[which]
        self.higher_is_better = self._measure.higher_is_better
        self.value_range = self._measure.value_range
        self._outputs = outputs
        self.files = tuple((labels or {}).values())
        self._labels = labels
        self._layout: Layout | None = layout
        self._scale = scale

    def measure(self, sample: Sample, outputs: Sequence[Array], reference: Sequence[Array] | None = None) -> Record:
        """Return `value` [1] of one picture."""
        check_outputs(sample, outputs, self._outputs)
        try:
            found = self.picture(outputs[0])
            value = self._measure.formula(*_same_size(found, self._truth(sample, reference)))
        except InputError as error:
            raise InputError(f"image '{sample.files[0]}': output '{self._outputs[0]}': {error}") from None
        return {"image": image_index(sample), "value": np.array([value])}

    def picture(self, output: Array) -> Picture:
        """Return an output as [h, w, channels] in 0..1 where it keeps to `range`; negative values are 0."""
        return np.maximum(as_hwc(output, self._layout) / self._scale, 0.0)

    def truth_picture(self, sample: Sample) -> Picture | None:
        """Return the picture that the labels give, as `picture` gives the network's; None where float is the truth."""
        return None if self._labels is None else self._truth(sample, None)

    def _truth(self, sample: Sample, reference: Sequence[Array] | None) -> Picture:
        if self._labels is None:
            outputs = known_reference(sample, reference)
            check_outputs(sample, outputs, self._outputs)
            return self.picture(outputs[0])
        path = self._labels[sample.index]
        truth = read_picture(path, turn=self._turn)
        # pictures come in 0..1, arrays of floats in the network's own range
        is_float = path.suffix.lower() == ".npy" and truth.max(initial=0.0) > 1.0
        return np.maximum(truth / self._scale if is_float else truth, 0.0)

    def combine(self, records: Sequence[Record]) -> Result:
        """Return the mean value, with a score for each picture."""
        if not records:
            return Result(float("nan"), None)
        each = np.array([record["value"][0] for record in in_order(records)])
        value, to_score = float(each.mean()), self._measure.score
        scores = np.clip([to_score(one) for one in each], 0.0, 1.0)
        return Result(value, float(np.clip(to_score(value), 0.0, 1.0)), {self.name: value}, scores)


def _same_size(found: Picture, truth: Picture) -> tuple[Picture, Picture]:
    if found.shape != truth.shape:
        raise InputError(
            f"the picture is {found.shape[1]}x{found.shape[0]} with {found.shape[2]} channels, the truth "
            f"{truth.shape[1]}x{truth.shape[0]} with {truth.shape[2]} (w x h); check the layout word"
        )
    return found, truth
