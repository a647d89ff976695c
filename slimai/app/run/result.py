"""What a run returns to Python and to the table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.number_text import decimals
from slimai.search.candidate import Outcome, finite, ranked
from slimai.search.choice import Choice

if TYPE_CHECKING:
    from slimai.metrics.base import Result

HEADER = ("profile", "level", "score", "95 % interval", "est. ms", "arena", "images", "")
SHOWN = 12  # rows of the table that notebooks and consoles show


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run found. `candidates` has one outcome a candidate; `best` is None when none was scored.

    Its repr is the table of candidates, best first, as text; notebooks show it as HTML.

    warnings: about the float score, worth saying again beside the result. missed: the stated bounds that what is
    delivered does not keep; the command line ends with exit code 3. hurts: the layers that cost the outputs most, worst
    first, each a mapping of node, cause, remedy, gain (dB), alone_sqnr (dB), score_loss and paste. suggestions: words
    that give the suggested files back to the same command. report: the page, None where none was written. guarantee:
    what a certified race says of its winner.
    """

    output_dir: Path
    network: str
    float_result: Result | None
    candidates: tuple[Outcome, ...] = ()
    choice: Choice = field(default_factory=lambda: Choice(None, None))
    cut_short: str = ""
    host_layers: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    hurts: tuple[Mapping[str, Any], ...] = ()
    suggestions: tuple[str, ...] = ()
    report: Path | None = None
    guarantee: str = ""

    @property
    def best(self) -> Outcome | None:
        """The best fully scored outcome."""
        return self.choice.winner

    @property
    def delivered(self) -> Outcome | None:
        """The outcome that the files are of: the best under the stated bounds."""
        return self.choice.delivered

    @property
    def score(self) -> float | None:
        """The score of the best outcome."""
        return None if self.best is None else self.best.score

    @property
    def paths(self) -> dict[str, Path]:
        """Return what the run has written: output, run, report, profile, model, rules, adjust, where they exist.

        >>> from pathlib import Path
        >>> sorted(RunResult(Path("/nowhere"), "net", None).paths)
        []
        """
        named = {
            "output": self.output_dir,
            "run": self.output_dir / "run.json",
            "report": self.output_dir / "report.html",
            "model": self.output_dir / f"{self.network}_quant.onnx",
            "rules": self.output_dir / "suggested_rules.yaml",
            "adjust": self.output_dir / "suggested_adjust.yaml",
        }
        if self.delivered is not None:
            candidate = self.delivered.candidate
            file = f"{candidate.profile(self.network)}.yaml"
            places = (self.output_dir / file, self.output_dir / f"acc{candidate.level}" / file)
            named |= {"profile": next((path for path in places if path.exists()), places[0])}
        return {use: path for use, path in named.items() if path.exists()}

    def to_dict(self) -> dict[str, Any]:
        """Return the result as values that JSON holds: scores, candidates best first, what hurts, paths as texts.

        >>> from pathlib import Path
        >>> RunResult(Path("out"), "net", None).to_dict()["network"]
        'net'
        """
        found = self.float_result
        best, delivered = self.best, self.delivered
        data = {
            "network": self.network,
            "output_dir": str(self.output_dir),
            "float": None if found is None else {"value": finite(found.value), "score": finite(found.score)},
            "best": None if best is None else best.to_json(self.network),
            "delivered": None if delivered is None else delivered.to_json(self.network),
            "candidates": [item.to_json(self.network) for item in ranked(self.candidates)],
            "cut_short": self.cut_short,
            "host_layers": list(self.host_layers),
            "warnings": list(self.warnings),
            "missed": list(self.missed),
            "guarantee": self.guarantee,
            "what_hurts": [dict(row) for row in self.hurts],
            "suggestions": list(self.suggestions),
            "seconds": dict(self.seconds),
            "paths": {use: str(path) for use, path in self.paths.items()},
        }
        copied: dict[str, Any] = json.loads(json.dumps(data))
        return copied

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of all candidates under `HEADER`, best first."""
        return [self._row(item) for item in ranked(self.candidates)]

    def _row(self, item: Outcome) -> tuple[str, ...]:
        span = "" if item.interval is None else f"{item.interval[0]:.3f} .. {item.interval[1]:.3f}"
        mark = "best" if self.best is not None and item.candidate == self.best.candidate else ""
        return (
            item.candidate.profile(self.network),
            str(item.candidate.level),
            decimals(item.score, 4),
            span,
            decimals(item.latency_ms, 3),
            "" if item.arena is None else str(item.arena),
            str(item.images),
            mark or ("" if item.status == "full" else item.status),
        )

    def float_line(self) -> str:
        """Return the network's name with the score of its float form."""
        found = self.float_result
        if found is None or found.score is None:
            return f"{self.network}: float network, no score"
        return f"{self.network}: float score {found.score:.4f}"

    def __repr__(self) -> str:
        """Return the table as text, at most a dozen candidates.

        >>> from pathlib import Path
        >>> RunResult(Path("out"), "net", None)
        net: float network, no score
        results: out
        """
        rows = self.rows()
        lines = [self.float_line(), *(_aligned([HEADER, *rows[:SHOWN]]) if rows else ())]
        if len(rows) > SHOWN:
            lines.append(f"... and {len(rows) - SHOWN} more candidates")
        return "\n".join([*lines, f"results: {self.output_dir}"])

    def _repr_html_(self) -> str:
        """Return the table as HTML, which notebooks show."""
        rows = self.rows()
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in HEADER)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[:SHOWN])
        more = f"<p>... and {len(rows) - SHOWN} more candidates</p>" if len(rows) > SHOWN else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        place = escape(str(self.report or self.output_dir))
        return f"<p><b>{escape(self.float_line())}</b></p>{table}{more}<p>results: <code>{place}</code></p>"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines: the first column to the left, the others to the right."""
    wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(wide[at]) if at else cell.ljust(wide[at]) for at, cell in enumerate(row)).rstrip()
        for row in rows
    ]
