"""Where a job's adjust file lies, and what such a file belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slimai.app.opening.content_keys import graph_hash
from slimai.quantizer.adjust import AdjustHeader
from slimai.search.candidate import Candidate, Variant

if TYPE_CHECKING:
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.schema.root import SlimaiConfig

FOLDER = "Adjust_yaml"


def adjust_path(output: Path, network: str) -> Path:
    """Return the path of the adjust file."""
    return output / FOLDER / f"{network}.yaml"


def edited_file(config: SlimaiConfig) -> Path:
    """Return the adjust file of a job: the one that `metric.adjust` names, else the one in its output folder."""
    given = config.metric.adjust
    return given if isinstance(given, Path) else adjust_path(config.path.output_dir, config.network.name)


def header(quantizer: Quantizer, candidate: Candidate) -> AdjustHeader:
    """Return what an adjust file of this candidate belongs to."""
    plain = candidate.without(Variant.EMPIRICAL)
    return AdjustHeader(graph_hash(quantizer.job.graph)[:16], plain.level, plain.label)
