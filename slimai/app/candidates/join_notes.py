"""What a run says about joins of unlike ranges, before the first candidate is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slimai.app.candidates.quantizer import nonnegative_inputs
from slimai.graph.sign import nonnegative_tensors
from slimai.quantizer.joins import UnlikeJoins, unlike_joins
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.levels import LEVELS

if TYPE_CHECKING:
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.search.candidate import Candidate


def joins_of(quantizer: Quantizer, candidate: Candidate) -> UnlikeJoins:
    """Return the joins of unlike ranges of a candidate; none of a network that was quantized elsewhere."""
    scheme = LEVELS[candidate.level]
    if quantizer.job.stored is not None or scheme.join_bits <= scheme.bits:
        return UnlikeJoins()
    graph, stats = quantizer.networks.get(quantizer.aids(candidate).rewrites)
    nonnegative = nonnegative_tensors(graph, nonnegative_inputs(quantizer.job))
    return unlike_joins(graph, stats, candidate.level, layer_steps(graph), nonnegative)


def joins_note(quantizer: Quantizer, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return one line a join and level."""
    first = {candidate.level: candidate for candidate in reversed(candidates)}
    return tuple(
        f"level {level}: {note.where}: {note.what} ({note.why})"
        for level, candidate in sorted(first.items())
        for note in joins_of(quantizer, candidate).decisions
    )
