"""Section `performance`: effort of the compile stage and the clock of the target."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slimai.schema.base import Int, Real, Section, legacy


class PerformanceSection(Section):
    """Effort of the compile stage and the clock of the target."""

    optimization: Literal["level1", "level2"] = Field(
        default="level2",
        description="Effort of the vendor's compile stage: kept and exported for it. It changes nothing in slimai, "
        "whose own compile stage has one effort.",
        json_schema_extra=legacy("performance.optimization"),
    )
    dsp_frequency: Annotated[Real, Field(gt=0)] = Field(
        default=748.0, description="Clock of the target, in MHz.", json_schema_extra=legacy("performance.dsp_frequency")
    )
    read_delay: Annotated[Int, Field(ge=0)] = Field(
        default=150,
        description="Latency of a read from main memory, in cycles.",
        json_schema_extra=legacy("performance.read_delay"),
    )
    write_delay: Annotated[Int, Field(ge=0)] = Field(
        default=150,
        description="Latency of a write to main memory, in cycles.",
        json_schema_extra=legacy("performance.write_delay"),
    )
