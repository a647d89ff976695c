"""The candidates of a configuration, and what builds them: from a float network, or from stored integers."""

from __future__ import annotations

from slimai.app.candidates.float_networks import Calibration, FloatNetworks
from slimai.app.candidates.quantizer import Quantizer, Rounder, no_rounder
from slimai.app.candidates.stored_quantizer import StoredNetworks, StoredQuantizer
from slimai.app.candidates.verdicts import NotKept, Verdicts
from slimai.app.opening.job import Job
from slimai.schema.root import SlimaiConfig
from slimai.search.candidate import STORED, Candidate, compensated_candidate
from slimai.search.space import has_wider_space, space, space_of_limits


def candidates(config: SlimaiConfig) -> tuple[Candidate, ...]:
    """Return the space of the configuration."""
    section = config.quantization
    if config.network.model_type == "quantized":
        return tuple(Candidate(level, method=STORED) for level in section.accuracy_level)
    wider = has_wider_space(config.network.name, config.search.smart_search_level)
    if section.limits is None:
        methods = section.calibration if section.single_shot else ()
        nearest = space(section.accuracy_level, section.range.values(), methods, wider=wider)
    else:
        nearest = space_of_limits(section.accuracy_level, section.limits, wider=wider)
    compensated = tuple(compensated_candidate(item) for item in nearest)
    return tuple(
        item for kind in section.weight_rounding for item in (compensated if kind == "compensated" else nearest)
    )


def quantizer_for(
    job: Job, statistics: Calibration, rounder: Rounder = no_rounder, verdicts: Verdicts | None = None
) -> Quantizer:
    """Return what builds the candidates of a job.

    statistics, rounder: calibrate a float network, and round its weights, when that is needed. verdicts: keeps what
    was decided about rewrites; by default nothing does.
    """
    if job.stored is None:
        return Quantizer(job, FloatNetworks(job, statistics), rounder, verdicts=verdicts or NotKept())

    return StoredQuantizer(job, StoredNetworks(job))
