"""The figures of the report as inline SVG: drawn by Matplotlib, coloured by the page, so that it can be light or dark.

Matplotlib writes fixed colours; each colour used here is a placeholder that becomes a CSS variable of the page. Text
stays text. The same data give the same bytes.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slimai.cache_folders import cache_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, ACCENT, WARN = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05")
_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--grid",
    ACCENT: "--accent",
    WARN: "--warn",
    **{color: f"--series-{index}" for index, color in enumerate(SERIES)},
}
_MARKERS = ("o", "s", "^", "D", "v")
_PLACEHOLDER = re.compile("|".join(_VARIABLES))
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "slimai",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
BARS, NAME_LENGTH = 15, 34

Rows = Sequence[Mapping[str, Any]]


def pareto(candidates: Rows, float_score: float | None, best: str) -> str:
    """Return score against estimated milliseconds, a colour a level; `best` is the key of the delivered one."""
    with _figure(4.6, 3.2) as (figure, axes):
        for index, (level, rows) in enumerate(_by_level(candidates)):
            points = [row for row in rows if row["latency_ms"] is not None]
            axes.plot(
                [row["latency_ms"] for row in points],
                [row["score"] for row in points],
                linestyle="none",
                marker=_MARKERS[index % 5],
                markersize=6,
                color=SERIES[index % 5],
                label=f"level {level}",
                zorder=3,
            )
        front = pareto_front(candidates)
        if len(front) > 1:
            axes.plot(*zip(*front, strict=True), color=SOFT, linewidth=1, drawstyle="steps-post", label="Pareto front")
        _mark_best(axes, candidates, best, "latency_ms")
        _float_line(axes, float_score)
        axes.set_xlabel("estimated ms a frame")
        axes.set_ylabel("score")
        _few_legend(axes)
        return _svg(figure, "pareto", "score against estimated time, by accuracy level")


def pareto_front(candidates: Rows) -> list[tuple[float, float]]:
    """Return (milliseconds, score) of the fully scored candidates that no other beats in both, cheapest first."""
    scored = [row for row in candidates if row["status"] == "full" and row["score"] is not None]
    points = sorted(
        {(row["latency_ms"], row["score"]) for row in scored if row["latency_ms"] is not None},
        key=lambda point: (point[0], -point[1]),
    )
    front: list[tuple[float, float]] = []
    for point in points:
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def _is_share(row: Mapping[str, Any]) -> bool:
    """Return whether a candidate's range is a share of the calibrated limits, beside which others can stand."""
    return row["range"] is not None and row.get("range_mode") != "percentile"


def score_by_range(candidates: Rows, float_score: float | None, best: str) -> str:
    """Return score against range in percent, a line a level; empty for single-shot calibration."""
    # a range is a text where a float would not hold it
    ranged = [{**row, "range": float(row["range"])} for row in candidates if _is_share(row)]
    if not ranged:
        return ""
    with _figure(4.6, 3.2) as (figure, axes):
        for index, (level, rows) in enumerate(_by_level(ranged)):
            order = sorted(rows, key=lambda row: row["range"])
            axes.plot(
                [row["range"] for row in order],
                [row["score"] for row in order],
                marker=_MARKERS[index % 5],
                markersize=4,
                linewidth=1.4,
                color=SERIES[index % 5],
                label=f"level {level}",
                zorder=3,
            )
        _mark_best(axes, ranged, best, "range")
        _float_line(axes, float_score)
        axes.set_xlabel("range, percent")
        axes.set_ylabel("score")
        _few_legend(axes)
        return _svg(figure, "ranges", "score against range, by accuracy level")


def depth(layers: Rows) -> str:
    """Return the SQNR of every layer along the network, entire and single."""
    with _figure(9.6, 2.9) as (figure, axes):
        places = range(len(layers))
        alone = [
            (at, row["single_sqnr"]) for at, row in zip(places, layers, strict=True) if row["single_sqnr"] is not None
        ]
        axes.plot(places, [min(row["sqnr"], 80) for row in layers], color=SERIES[0], linewidth=1.4, label="entire")
        axes.plot(
            [at for at, _ in alone],
            [min(value, 80) for _, value in alone],
            linestyle="none",
            marker="o",
            markersize=3,
            color=SERIES[1],
            label="single",
        )
        axes.set_xlabel("layer, in graph order")
        axes.set_ylabel("SQNR, dB (cut at 80)")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
        return _svg(figure, "depth", "signal-to-quantization-noise ratio of every layer")


def cycles(layers: Rows) -> str:
    """Return the layers that cost most, compute and memory cycles side by side."""
    top = sorted(layers, key=lambda row: -row["cycles"])[:BARS][::-1]
    with _figure(9.6, 0.7 + 0.24 * len(top)) as (figure, axes):
        places = list(range(len(top)))
        axes.barh(
            [p + 0.18 for p in places], [row["compute"] for row in top], height=0.34, color=SERIES[0], label="compute"
        )
        axes.barh(
            [p - 0.18 for p in places], [row["memory"] for row in top], height=0.34, color=SERIES[3], label="memory"
        )
        axes.set_yticks(places, [shortened(row["name"]) for row in top])
        axes.set_xlabel("estimated cycles; a layer takes the larger of its two bars")
        axes.legend(loc="lower right")
        axes.grid(visible=False, axis="y")
        return _svg(figure, "cycles", "estimated cycles of the most expensive layers")


def shortened(name: str, length: int = NAME_LENGTH) -> str:
    """Return the name with an ellipsis in its middle when it is longer than `length`."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"


def _by_level(candidates: Rows) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """Yield the fully scored candidates of each level."""
    scored = [row for row in candidates if row["score"] is not None and row["status"] == "full"]
    for level in sorted({row["accuracy_level"] for row in scored}):
        yield level, [row for row in scored if row["accuracy_level"] == level]


def _mark_best(axes: Axes, candidates: Rows, best: str, key: str) -> None:
    for row in candidates:
        if candidate_key(row) == best and row["score"] is not None and row[key] is not None:
            axes.plot([row[key]], [row["score"]], marker="o", markersize=13, fillstyle="none", color=ACCENT, zorder=4)


def candidate_key(row: Mapping[str, Any]) -> str:
    """Return what tells a candidate from the others: level and profile."""
    return f"{row['accuracy_level']} {row['profile']}"


def _float_line(axes: Axes, score: float | None) -> None:
    if score is not None:
        axes.axhline(score, color=SOFT, linewidth=1, linestyle=":", label="float")


def _few_legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of that size in inches; Matplotlib's settings are those of the page inside the block only."""
    fonts = cache_folder("matplotlib")
    if fonts is not None:
        os.environ.setdefault("MPLCONFIGDIR", str(fonts))
    import matplotlib as mpl  # noqa: PLC0415 - spares matplotlib
    from matplotlib.figure import Figure  # noqa: PLC0415 - spares matplotlib

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="tight")
        yield figure, figure.subplots()


def _svg(figure: Figure, key: str, label: str) -> str:
    """Return the figure as an SVG element; `key` keeps its identifiers apart from those of other figures."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's own
    text = _PLACEHOLDER.sub(lambda found: f"var({_VARIABLES[found[0]]})", text)
    return re.sub(r"\n\s*", "\n", text).strip()
