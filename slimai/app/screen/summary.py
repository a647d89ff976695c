"""What a run ends with on the terminal: one table, best first."""

from __future__ import annotations

from slimai.app.run.result import RunResult
from slimai.app.screen.table import render
from slimai.language import translated
from slimai.number_text import decimals
from slimai.search.candidate import Outcome, ranked

HEADER = ("profile", "level", "score", "95 % interval", "est. ms", "images", "")


def run_summary(result: RunResult, to: str = "en") -> str:
    """Return the table of all candidates with the float score above and the place of the files below.

    to: the language of its words.
    """
    lines = [_float_line(result)] if result.float_result is not None else []
    if result.candidates:
        rows = [_row(result, item, to) for item in ranked(result.candidates)]
        lines.append(render([translated(word, to) for word in HEADER], rows))
    if result.choice.note and result.choice.delivered is not None:
        profile = result.choice.delivered.candidate.profile(result.network)
        lines.append(f"delivered: {profile} ({result.choice.note})")
    if result.cut_short:
        lines.append(f"cut short: {result.cut_short}; the same command continues")
    if result.host_layers:
        lines.append("in float on the host: " + ", ".join(result.host_layers))
    lines.extend(f"warning: {text}" for text in result.warnings)
    if result.guarantee:
        lines.append(f"guarantee: {result.guarantee}")
    lines.extend(f"missed: {text}" for text in result.missed)
    lines.append(f"results: {result.output_dir}")
    return translated("\n".join(lines), to)


def _float_line(result: RunResult) -> str:
    found = result.float_result
    if found is None or found.score is None:
        return f"{result.network}: float network, no score"
    return f"{result.network}: float score {found.score:.4f}"


def _row(result: RunResult, item: Outcome, to: str) -> tuple[str, ...]:
    best = result.best
    mark = "best" if best is not None and item.candidate == best.candidate else ""
    span = "" if item.interval is None else f"{item.interval[0]:.3f} .. {item.interval[1]:.3f}"
    return (
        item.candidate.profile(result.network),
        str(item.candidate.level),
        decimals(item.score, 4),
        span,
        decimals(item.latency_ms, 3),
        str(item.images),
        translated(mark or ("" if item.status == "full" else item.status), to),
    )
