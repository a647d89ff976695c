"""The whole configuration: the sections together, relative paths and defaults settled, cross-section rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ModelWrapValidatorHandler, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from slimai.schema.base import Section, content_key, wrong
from slimai.schema.dataset import DatasetSection
from slimai.schema.metric import DefaultMetric, MetricSection, MetricUnion, PlainMetric, TopKMetric
from slimai.schema.network import NetworkSection
from slimai.schema.path import PathSection
from slimai.schema.performance import PerformanceSection
from slimai.schema.problem import Problem
from slimai.schema.quantization import QuantizationSection
from slimai.schema.rules import problems
from slimai.schema.smart_search import SmartSearchSection
from slimai.schema.target import TargetSection
from slimai.schema.values import AbsPath, base_folder, listed

Stage = Literal["gen_quant_profile", "flt_inference", "use_quant_profile", "gen_code"]
STAGES: tuple[Stage, ...] = ("gen_quant_profile", "flt_inference", "use_quant_profile", "gen_code")
RULES = "slimai_rules"  # type of the one error that carries every cross-section problem
# settings that change where or how fast a job runs, not what it computes
MACHINE_KEYS = (
    "config_file",
    "path.output_dir",
    "path.input_dir",  # the model is named by its whole path
    "path.tmp_dir",
    "smart_search.workers",
    "smart_search.executor",
    "smart_search.memory_limit",
    "smart_search.time_limit",
    "smart_search.resume",
)


def _prefix(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if not stages or stages != STAGES[: len(stages)]:
        raise wrong("Stages should be a prefix of the stages in order", f"a prefix of [{', '.join(STAGES)}]")
    return stages


class SlimaiConfig(Section):
    """A validated job. Build it with `model_validate`: it settles paths and defaults, and checks the rules.

    ``context={"base": folder}`` gives the folder that relative paths start from (default: the current one).
    """

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
    stages: Annotated[tuple[Stage, ...], BeforeValidator(listed), AfterValidator(_prefix)] = Field(
        default=STAGES, description="Stages to run: a prefix of the four, in order."
    )
    config_file: AbsPath | None = Field(
        default=None,
        description="The file that the settings come from (set by slimai): plug-ins are looked for beside it.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _settle(cls, data: Any, handler: ModelWrapValidatorHandler[SlimaiConfig], info: ValidationInfo) -> SlimaiConfig:
        config = settled(handler(data), base_folder(info))
        found = [problem for problem in problems(config) if problem.severity == "error"]
        if found and not (info.context or {}).get("skip_rules"):
            text = "\n".join(f"{problem.key}: {problem.message}" for problem in found)
            raise PydanticCustomError(RULES, "{text}", {"text": text, "problems": found})
        return config

    def warnings(self) -> list[Problem]:
        """Return what is legal but probably not meant."""
        return [problem for problem in problems(self) if problem.severity == "warning"]

    @property
    def search(self) -> SmartSearchSection:
        """Return the search settings, the defaults when the section is absent."""
        return self.smart_search or SmartSearchSection()

    @property
    def search_on(self) -> bool:
        """Whether the smart search is on."""
        return self.smart_search is not None or len(self.quantization.accuracy_level) > 1

    def key(self) -> str:
        """Return 16 hex digits that identify what the job computes, wherever it runs."""
        return content_key(self, leave_out=MACHINE_KEYS)


def settled(config: SlimaiConfig, base: Path) -> SlimaiConfig:
    """Return the configuration with absolute model and list paths, the derived type and the default metric."""
    images, inputs = config.path.image_dir, config.path.input_dir
    lists = {
        name: None if path is None else base / images / path
        for name, path in (
            ("calibration_set", config.dataset.calibration_set),
            ("validation_set", config.dataset.validation_set),
        )
    }
    model = base / inputs / config.network.input_model
    kind = config.network.type or ("Tensorflow" if model.suffix.lower() == ".tflite" else "ONNX")
    return config.model_copy(
        update={
            "dataset": config.dataset.model_copy(update=lists),
            "network": config.network.model_copy(update={"input_model": model, "type": kind, "name": _name(config)}),
            "metric": _named_metric(config),
        }
    )


def _name(config: SlimaiConfig) -> str:
    """Return the given name, else the stem of the configuration file, else of the model."""
    if "name" in config.network.model_fields_set:
        return config.network.name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", (config.config_file or config.network.input_model).stem)[:100]


def _named_metric(config: SlimaiConfig) -> MetricSection:
    metric = config.metric
    if not isinstance(metric, DefaultMetric):
        return metric
    labelled = config.dataset.validation_set is not None
    classify = config.network.network_class == "Classification" and labelled
    shared = {
        name: getattr(metric, name)
        for name in ("output_debug", "replace_output", "adjust", "score_range")
        if name in metric.model_fields_set
    }
    if classify:
        return TopKMetric.model_validate({**shared, "metric_cls": "top1_5"})
    return PlainMetric.model_validate({**shared, "metric_cls": "cosine"})
