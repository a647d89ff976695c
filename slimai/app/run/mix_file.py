"""The rules file that `mix: auto` writes for a person to read and edit."""

from __future__ import annotations

import json
from glob import escape

from slimai.number_text import decimals
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import Outcome

RULES_FILE = "mix_auto.yaml"


def rules_text(config: SlimaiConfig, goal: str, delivered: Outcome, base: Outcome, float_score: float | None) -> str:
    """Return the rules file of the delivered set of nodes, with what it reaches in comments."""
    before = f"score {decimals(base.score, 4)}, {decimals(base.latency_ms, 3)} ms a frame (estimate)"
    after = f"score {decimals(delivered.score, 4)}, {decimals(delivered.latency_ms, 3)} ms a frame (estimate), "
    raised = delivered.candidate.raised
    lines = [
        f"{config.network.name}, level {base.candidate.level}, {_setting(base)}: nodes in 16 bit, found by mix=auto.",
        f"goal:  {goal}",
        f"float: score {decimals(float_score, 4)}",
        f"8 bit: {before}",
        f"mixed: {after}{len(raised)} nodes" if raised else "mixed: none: no node is in 16 bit",
        "To use it, edited or not: the same command, with the words for mix and mix_goal replaced by",
        f"  quantization.mix=true quantization.nodename_datatypes={RULES_FILE}",
    ]
    head = "".join(f"# {line}\n" for line in lines)
    if not raised:
        return f"{head}[]\n"
    names = "".join(f"    - {json.dumps(escape(name), ensure_ascii=False)}\n" for name in raised)
    return f"{head}- nodes:\n{names}  intypes: [s16]\n  outtypes: [s16]\n"


def _setting(base: Outcome) -> str:
    candidate = base.candidate
    if candidate.percent is None:
        return f"calibration {candidate.label}"
    return f"percentile {candidate.label}" if candidate.central else f"range {candidate.label}"
