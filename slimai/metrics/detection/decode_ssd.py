"""SSD heads: offsets against prior boxes to candidate boxes, and the file of priors.

Formula: Liu et al., "SSD: Single Shot MultiBox Detector" (2016), equation 2, with the two variances
of its Caffe implementation: centre = prior centre + offset * v0 * prior side, side = prior side * e^(offset * v1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.metrics.detection.decode_yolo import exp
from slimai.metrics.detection.detections import Detections
from slimai.metrics.detection.options import DetectionOptions, Priors

__all__ = ["decode_ssd", "read_priors"]

ROUNDING = 0.1  # a dequantized probability may pass 0 or 1 by a step of its scale


def read_priors(path: Path) -> Priors:
    """Return the priors of a text file: N lines ``xmin ymin xmax ymax`` in input pixels, then N lines of variances.

    A line of variances is ``v_centre v_side`` or one number a coordinate. Raises InputError with file and line.
    """
    rows = _number_rows(path)
    count = len(rows) // 2
    if not rows or len(rows) % 2:
        raise InputError.at(str(path), "expected N lines of priors and then N lines of variances", len(rows))
    for at, row in enumerate(rows):
        allowed = (4,) if at < count else (2, 4)
        if len(row) not in allowed:
            kind = "a prior has 4 numbers" if at < count else "a line of variances has 2 or 4 numbers"
            raise InputError.at(f"{path}:{at + 1}", kind, len(row))
    try:
        corners, variances = np.array(rows[:count]), np.array(rows[count:])
    except ValueError:
        raise InputError.at(str(path), "lines of 2 and of 4 variances are mixed") from None
    if np.any(corners[:, 2:] <= corners[:, :2]):
        bad = int(np.argmax(np.any(corners[:, 2:] <= corners[:, :2], axis=1)))
        raise InputError.at(f"{path}:{bad + 1}", "a prior without area", rows[bad])
    return Priors(corners, variances)


def _number_rows(path: Path) -> list[list[float]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.at(str(path), f"the file of priors cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            raise InputError.at(f"{path}:{number}", "a line of priors holds only numbers", line.strip()) from None
        if not np.all(np.isfinite(row)):
            raise InputError.at(f"{path}:{number}", "a prior must be finite", line.strip())
        rows.append(row)
    return rows


def decode_ssd(outputs: Sequence[NDArray[Any]], options: DetectionOptions, names: Sequence[str]) -> Detections:
    """Return the candidates with score > threshold, corners in input pixels.

    outputs: offsets [1, n, 4] in the order x, y, w, h (y, x, h, w with `yfirst`) and class
    probabilities [1, n, classes]; every class of a prior is a candidate.
    """
    priors = options.priors
    if priors is None:
        raise InputError.at("metric.metric_input", "custom_pp=ssd needs priors", cure="add priors=<file>")
    offsets, shares = _checked(outputs, len(priors.corners), names)
    picked = np.flatnonzero((shares > options.threshold).any(axis=1))
    corners = _decode(offsets[picked], priors, picked, yfirst=options.yfirst)
    row, label = np.nonzero(shares[picked] > options.threshold)
    scores = shares[picked][row, label]
    return Detections(corners[row], scores, label.astype(np.int64), picked[row].astype(np.int64))


def _checked(
    outputs: Sequence[NDArray[Any]], count: int, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(outputs) < 2:
        raise InputError.at("metric.metric_input", "custom_pp=ssd needs two outputs: boxes, scores", len(outputs))
    cure = "the order is boxes, scores; change it with metric.replace_output"
    boxes, scores = outputs[0], outputs[1]
    if boxes.shape[-1] != 4 or boxes.size != count * 4:
        raise InputError.at(f"output '{names[0]}'", f"boxes must be [1, {count}, 4]", boxes.shape, cure=cure)
    if scores.size % count or scores.shape[-1] != scores.size // count:
        raise InputError.at(f"output '{names[1]}'", f"scores must be [1, {count}, classes]", scores.shape, cure=cure)
    shares = np.asarray(scores, np.float64).reshape(count, -1)
    if shares.min() < -ROUNDING or shares.max() > 1 + ROUNDING:
        worst = shares.min() if shares.min() < -ROUNDING else shares.max()
        raise InputError.at(f"output '{names[1]}'", "scores must be probabilities", float(worst), cure=cure)
    return np.asarray(boxes, np.float64).reshape(count, 4), shares


def _decode(
    offsets: NDArray[np.float64], priors: Priors, picked: NDArray[np.intp], *, yfirst: bool
) -> NDArray[np.float64]:
    if yfirst:
        offsets = offsets[:, [1, 0, 3, 2]]
    corners, variances = priors.corners[picked], priors.variances[picked]
    if variances.shape[1] == 2:
        variances = variances[:, [0, 0, 1, 1]]
    side = corners[:, 2:] - corners[:, :2]
    centre = (corners[:, :2] + corners[:, 2:]) / 2 + offsets[:, :2] * variances[:, :2] * side
    half = side * exp(offsets[:, 2:] * variances[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
