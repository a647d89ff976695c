"""The images that lose most by quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slimai.report.decibels import decibel
from slimai.report.similarity import Likeness, compare_image
from slimai.search.evaluate import batches, measure_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slimai.metrics.base import Metric, Record
    from slimai.search.evaluate import Validation
    from slimai.simulator.program import Program


def worst_images(program: Program, validation: Validation, metric: Metric, most: int) -> list[tuple[int, str]]:
    """Return (index, why) of at most `most` validation images, the worst first.

    They are ordered by the score that the fixed-point network loses against float, where the metric has one an image,
    then by the noise in the outputs.
    """
    ours: list[Record] = []
    theirs: list[Record] = []
    noise: list[float] = []
    for indices in batches(range(len(validation.samples)), validation.batch):
        feeds = validation.inputs.pick(indices)
        found = program.dequantize(program.samples(feeds))
        truth = validation.reference.pick(indices, validation.outputs)
        ours.extend(measure_batch(metric, validation, indices, found))
        theirs.extend(measure_batch(metric, validation, indices, truth))
        rows = range(len(indices))
        noise += [_noise([(truth[name][row], found[name][row]) for name in validation.outputs]) for row in rows]
    drops = _drops(metric, ours, theirs, len(noise))
    order = sorted(range(len(noise)), key=lambda at: (-drops[at], -noise[at]))
    return [(at, _reason(drops[at], noise[at])) for at in order[:most]]


def _noise(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the mean over the outputs of one image of their noise over signal."""
    total = 0.0
    for truth, found in pairs:
        likeness = Likeness()
        likeness.add(compare_image(truth, found, None))
        total += likeness.noise_ratio
    return total / len(pairs)


def _drops(metric: Metric, ours: list[Record], theirs: list[Record], images: int) -> list[float]:
    """Return float score minus fixed-point score of each image, zeros where the metric has none an image."""
    fixed, floats = metric.combine(ours).per_image, metric.combine(theirs).per_image
    if fixed is None or floats is None or len(fixed) != images or len(floats) != images:
        return [0.0] * images
    return [float(gap) for gap in floats - fixed]


def _reason(drop: float, noise: float) -> str:
    text = f"output SQNR {decibel(noise):.1f} dB"
    return f"score {-drop:+.3f}, {text}" if drop else text
