"""The whole configuration: the sections together, relative paths and defaults settled, cross-section rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ModelWrapValidatorHandler, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from slimai.schema.base import content_key
from slimai.schema.metric import METRICS, DefaultMetric, MetricSection, default_metric
from slimai.schema.problem import Problem
from slimai.schema.rules import problems
from slimai.schema.sections import Sections
from slimai.schema.values import base_folder

RULES = "slimai_rules"  # type of the one error that carries every cross-section problem


# settings that change where or how fast a job runs, not what it computes
MACHINE_KEYS = (
    "config_file",
    "path.output_dir",
    "path.input_dir",  # the model is named by its whole path
    "path.tmp_dir",
    "path.keep",
    "codegen.language",  # what is written of the result, not the result
    "codegen.prefix",
    "codegen.test_vectors",
    "codegen.weights",
    "codegen.byte_order",
    "smart_search.workers",
    "smart_search.executor",
    "smart_search.memory_limit",
    "smart_search.time_limit",
    "smart_search.resume",
)


class SlimaiConfig(Sections):
    """A validated job. Build it with `model_validate`: it settles paths and defaults, and checks the rules.

    ``context={"base": folder}`` gives the folder that relative paths start from (default: the current one).
    """

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
    def base_dir(self) -> Path:
        """Return the folder of the configuration file, else the current one: plug-ins are looked for below it."""
        return self.config_file.parent if self.config_file else Path.cwd()

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
    name = default_metric(config.network.network_class, labelled=config.dataset.validation_set is not None)
    shared = {
        key: getattr(metric, key)
        for key in ("output_debug", "replace_output", "adjust", "score_range", "allow_low_float_score")
        if key in metric.model_fields_set
    }
    named: MetricSection = METRICS[name].section.model_validate({**shared, "metric_cls": name})
    return named
