"""The sections of a configuration together, as data: what `SlimaiConfig` settles and judges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from slimai.schema.base import Section, wrong
from slimai.schema.codegen import CodegenSection
from slimai.schema.dataset import DatasetSection
from slimai.schema.metric import DefaultMetric, MetricUnion
from slimai.schema.network import NetworkSection
from slimai.schema.path import PathSection
from slimai.schema.performance import PerformanceSection
from slimai.schema.quantization import QuantizationSection
from slimai.schema.smart_search import SmartSearchSection
from slimai.schema.target import TargetSection
from slimai.schema.values import AbsPath, listed

Stage = Literal["gen_quant_profile", "flt_inference", "use_quant_profile", "gen_code"]

STAGES: tuple[Stage, ...] = ("gen_quant_profile", "flt_inference", "use_quant_profile", "gen_code")


def _prefix(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if not stages or stages != STAGES[: len(stages)]:
        raise wrong("Stages should be a prefix of the stages in order", f"a prefix of [{', '.join(STAGES)}]")
    return stages


class Sections(Section):
    """The sections together, as data; `SlimaiConfig` settles and judges them."""

    path: PathSection = Field(description="Folders.")
    network: NetworkSection = Field(description="The model and its preprocessing.")
    dataset: DatasetSection = Field(default_factory=DatasetSection, description="The image lists.")
    quantization: QuantizationSection = Field(
        default_factory=QuantizationSection, description="Levels, ranges, methods."
    )
    smart_search: SmartSearchSection | None = Field(
        default=None, description="The search; null = on only when accuracy_level is a list."
    )
    metric: MetricUnion = Field(default_factory=DefaultMetric, description="How an output is scored.")
    performance: PerformanceSection = Field(default_factory=PerformanceSection, description="Compile effort and clock.")
    target: TargetSection = Field(default_factory=TargetSection, description="The simulated chip.")
    codegen: CodegenSection = Field(default_factory=CodegenSection, description="Portable C of the delivered network.")
    stages: Annotated[tuple[Stage, ...], BeforeValidator(listed), AfterValidator(_prefix)] = Field(
        default=STAGES, description="Stages to run: a prefix of the four, in order."
    )
    config_file: AbsPath | None = Field(
        default=None,
        description="The file that the settings come from (set by slimai): plug-ins are looked for beside it.",
    )

    @property
    def search(self) -> SmartSearchSection:
        """Return the search settings, the defaults when the section is absent."""
        return self.smart_search or SmartSearchSection()

    @property
    def search_on(self) -> bool:
        """Whether the smart search is on."""
        return self.smart_search is not None or len(self.quantization.accuracy_level) > 1
