"""The result files of a run (SPEC 12): rewritten whole after every improvement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimai.artifacts.atomic import write_text
from slimai.number_text import decimals
from slimai.search.candidate import Outcome
from slimai.search.choice import Choice

HEADER = "# profile\taccuracy_level\trange\tvalue\tscore\testimated_ms\timages"


def write_results(
    output_dir: Path,
    network: str,
    outcomes: Sequence[Outcome],
    choice: Choice,
    *,
    facts: Mapping[str, Any],
    cut_short: str = "",
    several_levels: bool = False,
) -> None:
    """Write ProfileList.txt, FixedPoint_Results.txt, BestProfile.txt and run.json.

    `facts` joins run.json as it is (float score, network, versions ...). `cut_short` is the reason why the
    search ended early, or empty. BestProfile.txt names what is delivered; it is written only when a candidate was
    fully measured. several_levels: profiles lie in a folder a level, which the two lists name too.
    """
    write_text(output_dir / "ProfileList.txt", profile_list(network, outcomes, several_levels=several_levels))
    write_text(output_dir / "FixedPoint_Results.txt", results_text(network, outcomes, cut_short))
    winner, delivered = choice.winner, choice.delivered
    if delivered is not None:
        write_text(
            output_dir / "BestProfile.txt", f"{profile_file(network, delivered, several_levels=several_levels)}\n"
        )
    document = {
        **facts,
        "best": None if winner is None else winner.to_json(network),
        "delivered": None if delivered is None else delivered.to_json(network),
        "delivered_note": choice.note,
        "candidates": [item.to_json(network) for item in outcomes],
        "cut_short": bool(cut_short),
        "cut_short_reason": cut_short,
    }
    write_text(output_dir / "run.json", json.dumps(document, indent=1, allow_nan=False, sort_keys=False) + "\n")


def profile_file(network: str, item: Outcome, *, several_levels: bool) -> str:
    """Return the profile file of an outcome, with the folder of its level where there are several."""
    folder = f"acc{item.candidate.level}/" if several_levels else ""
    return f"{folder}{item.candidate.profile(network)}.yaml"


def profile_list(network: str, outcomes: Sequence[Outcome], *, several_levels: bool = False) -> str:
    """Return one profile file a line, each once."""
    names = dict.fromkeys(profile_file(network, item, several_levels=several_levels) for item in outcomes)
    return "".join(f"{name}\n" for name in names)


def results_text(network: str, outcomes: Sequence[Outcome], cut_short: str = "") -> str:
    """Return the table of FixedPoint_Results.txt: a ``#`` header, then tab-separated rows."""
    lines = [HEADER]
    if cut_short:
        lines.append(f"# cut short: {cut_short}")
    lines.extend(_row(network, item) for item in outcomes)
    return "\n".join(lines) + "\n"


def _row(network: str, item: Outcome) -> str:
    percent = item.candidate.percent
    cells = (
        f"{item.candidate.profile(network)}.yaml",
        str(item.candidate.level),
        "-" if percent is None else item.candidate.label,
        decimals(item.value, 6),
        item.status if item.status == "failed" else decimals(item.score, 6),
        decimals(item.latency_ms, 3),
        str(item.images) if item.status != "partial" else f"partial, {item.images} images",
    )
    return "\t".join(cells)
