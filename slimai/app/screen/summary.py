"""What a run ends with on the terminal: the table, best first; what hurts; where it all lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimai.app.run.result import HEADER, RunResult
from slimai.app.screen.table import render
from slimai.language import translated
from slimai.number_text import decimals

HURTS = 5  # rows of what hurts
HURT_HEADER = ("what hurts", "cause", "alone, dB", "score", "gain, dB", "line to paste")


def run_summary(result: RunResult, to: str = "en") -> str:
    """Return the table of all candidates with the float score above; below it what hurts, and the page's place last.

    to: the language of its words.
    """
    lines = [result.float_line()] if result.float_result is not None else []
    if result.candidates:
        rows = [(*row[:-1], translated(row[-1], to)) for row in result.rows()]
        lines.append(render([translated(word, to) for word in HEADER], rows))
    if result.choice.note and result.choice.delivered is not None:
        profile = result.choice.delivered.candidate.profile(result.network)
        lines.append(f"delivered: {profile} ({result.choice.note})")
    if result.cut_short:
        lines.append(f"cut short: {result.cut_short}; the same command continues")
    if result.host_layers:
        lines.append("in float on the host: " + ", ".join(result.host_layers))
    if result.hurts:
        lines.extend(_hurts(result))
    lines.extend(f"warning: {text}" for text in result.warnings)
    if result.guarantee:
        lines.append(f"guarantee: {result.guarantee}")
    lines.extend(f"missed: {text}" for text in result.missed)
    lines.append(f"results: {result.output_dir}")
    if result.report is not None:
        lines.append(f"report: {result.report}")
    return translated("\n".join(lines), to)


def _hurts(result: RunResult) -> list[str]:
    """Return the five rows that hurt most, each with its line to paste, and how to give all of them back."""
    rows = [_hurt(row) for row in result.hurts[:HURTS]]
    lines = ["", render(HURT_HEADER, rows, left=(0, 1, 5))]
    lines += [f"to use those that help together, add: {words}" for words in result.suggestions]
    return [*lines, ""]


def _hurt(row: Mapping[str, Any]) -> tuple[str, ...]:
    loss = row.get("score_loss")
    return (
        str(row["node"]),
        str(row["cause"]),
        decimals(row.get("alone_sqnr"), 1),
        "-" if loss is None else f"{0.0 - loss:+.4f}",
        "-" if row["gain"] is None else f"{row['gain']:+.2f}",
        str(row.get("paste") or row["remedy"]),
    )
