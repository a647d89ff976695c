"""A score with its interval against float, as a strip: inline SVG that shows at one glance which of them differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEFT, RIGHT, MIDDLE = 20.0, 540.0, 34.0  # pixels
LEAST_SPAN = 0.05  # of the axis: smaller differences are not blown up


def axis_ends(values: Sequence[float], least: float = LEAST_SPAN) -> tuple[float, float]:
    """Return the ends of a score axis that holds these values with room beside them, at least `least` apart."""
    low, high = min(values), max(values)
    room = max(0.15 * (high - low), (least - (high - low)) / 2, 0.002)
    return low - room, high + room


def strip(score: float, interval: Sequence[float] | None, float_score: float | None) -> str:
    """Return the strip of a score in [0, 1], its interval (low, high) and the float network's score."""
    low, high = interval if interval is not None else (score, score)
    told = [low, high, score, *([] if float_score is None else [float_score])]
    first, last = axis_ends(told)
    first, last = max(first, min(0.0, *told)), min(last, max(1.0, *told))

    def x(value: float) -> str:
        return f"{LEFT + (value - first) / ((last - first) or 1.0) * (RIGHT - LEFT):.1f}"

    parts = [f'<line class="axis" x1="{LEFT:g}" x2="{RIGHT:g}" y1="52" y2="52"/>']
    parts += [
        f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="52" y2="56"/>'
        f'<text class="soft" x="{x(tick)}" y="68">{tick:g}</text>'
        for tick in ticks(first, last)
    ]
    if float_score is not None:
        parts.append(
            f'<line class="float" x1="{x(float_score)}" x2="{x(float_score)}" y1="14" y2="52"/>'
            f'<text x="{x(float_score)}" y="9">float {float_score:.4f}</text>'
        )
    if interval is not None:
        parts.append(f'<line class="span" x1="{x(low)}" x2="{x(high)}" y1="{MIDDLE:g}" y2="{MIDDLE:g}"/>')
    parts.append(f'<circle class="dot" cx="{x(score)}" cy="{MIDDLE:g}" r="6"/>')
    label = f"score {score:.4f}"
    label += "" if interval is None else f", 95 % interval {low:.3f} to {high:.3f}"
    label += "" if float_score is None else f", float {float_score:.4f}"
    return f'<svg class="strip" viewBox="0 -10 560 84" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def ticks(first: float, last: float) -> list[float]:
    """Return three to seven round numbers within the ends."""
    step = 10.0 ** math.floor(math.log10((last - first) or 1.0))
    step = next((step / part for part in (1, 2, 4, 5, 10) if (last - first) / (step / part) >= 3), step / 10)
    count = math.floor(last / step + 1e-9)
    start = math.ceil(first / step - 1e-9)
    return [round(at * step, 10) for at in range(start, count + 1)]


def verdict(interval: Sequence[float] | None, float_score: float | None) -> str:
    """Return in words how a score with this interval stands to that of the float network."""
    if float_score is None:
        return "there is no float score"
    if interval is None:
        return "without an interval: the images are too few, or the metric gives none"
    if interval[0] <= float_score <= interval[1]:
        return "float lies within the interval: no loss can be told on these images"
    return "float lies above the interval: a loss" if float_score > interval[1] else "above float, beyond the interval"
