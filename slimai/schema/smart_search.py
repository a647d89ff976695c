"""Section `smart_search`: how the settings are searched and when to stop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slimai.schema.base import Int, Real, Section, legacy
from slimai.schema.values import Bytes, Flag


class SmartSearchSection(Section):
    """Search over accuracy levels and ranges; on when present, or when `accuracy_level` is a list."""

    smart_search_level: Annotated[Int, Field(ge=0, le=1)] = Field(
        default=0,
        description="1 adds the extra settings for networks named after maskrcnn, unet or deeplab.",
        json_schema_extra=legacy("smart_search.smart_search_level"),
    )
    time_limit: Annotated[Real, Field(gt=0)] | None = Field(
        default=None,
        description="Seconds, calibration and resumed runs included; null = no limit.",
        json_schema_extra=legacy("smart_search.time_limit"),
    )
    strategy: Literal["exhaustive", "racing"] = Field(
        default="exhaustive", description="racing drops settings that are behind after part of the images."
    )
    tolerance: Annotated[Real, Field(ge=0, le=1)] = Field(
        default=0.005, description="Score by which the winner of racing may miss the exhaustive one."
    )
    guarantee: Literal["none", "certified"] = Field(
        default="none",
        description="certified: racing drops a setting only where a confidence sequence shows that it is at most "
        "`tolerance` better than one that stays; needs a score that is a mean over images.",
    )
    error: Annotated[Real, Field(gt=0, lt=1)] = Field(
        default=0.05, description="Probability that a certified race may end more than `tolerance` below the best."
    )
    max_drop: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        default=None, description="Deliver the cheapest setting that loses at most this much score against float."
    )
    latency_limit: Annotated[Real, Field(gt=0)] | None = Field(
        default=None, description="Deliver the best setting within this estimated time of a frame, in ms."
    )
    memory_limit: Annotated[Bytes, Field(ge=1)] | None = Field(
        default=None, description="Memory for the search, like 4GiB; null = half of the machine's."
    )
    workers: Annotated[Int, Field(ge=1, le=1024)] = Field(
        default=1, description="Processes on this machine, or Ray actors."
    )
    executor: Literal["processes", "ray"] = Field(
        default="processes",
        description="Who runs the workers: processes, or Ray (slimai[ray]; joined through RAY_ADDRESS, else started).",
    )
    seed: Annotated[Int, Field(ge=0, le=2**63 - 1)] = Field(default=0, description="Seed of resampling.")
    resume: Flag = Field(default=True, description="Continue from the journal of an earlier, interrupted run.")
