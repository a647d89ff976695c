"""Rules of mixed precision: what may stand beside `mix`, and what its goal is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slimai.schema.problem import Problem

if TYPE_CHECKING:
    from slimai.schema.quantization import QuantizationSection
    from slimai.schema.sections import Sections


def mixed_precision(config: Sections) -> Iterator[Problem]:
    """Mixed precision needs level 1 or above; rules files need it; auto needs a goal."""
    quantization = config.quantization
    files = [name for name in ("nodename_datatypes", "nodekind_datatypes") if getattr(quantization, name)]
    if quantization.mix is False:
        for name in files:
            yield Problem(f"quantization.{name}", "needs mixed precision", "set quantization.mix: true, or remove it")
        if quantization.mix_goal is not None:
            yield Problem("quantization.mix_goal", "belongs to mix: auto", "set quantization.mix: auto, or remove it")
        return
    if 0 in quantization.accuracy_level:
        yield Problem(
            "quantization.accuracy_level",
            "mixed precision is not possible with level 0, which has no per-channel weights",
            "take levels 1 to 4",
            list(quantization.accuracy_level),
        )
    if quantization.mix == "auto" and quantization.mix_goal is None:
        yield Problem(
            "quantization.mix_goal",
            "is needed by mix: auto",
            f"set one of {GOALS}",
        )
    if quantization.mix == "auto" and files:
        yield Problem("quantization.mix", "auto writes the rules itself; rules files are for mix: true", "remove one")
    if quantization.mix is True and quantization.mix_goal is not None:
        yield Problem("quantization.mix_goal", "belongs to mix: auto", "set quantization.mix: auto, or remove it")


def automatic_mix(config: Sections) -> Iterator[Problem]:
    """`mix: auto` raises layers of one setting, by its score; its goal alone decides what is delivered."""
    if config.quantization.mix != "auto":
        return
    yield from _one_setting(config.quantization)
    if config.metric.metric_cls == "NoMetric":
        yield Problem("metric.metric_cls", "mix: auto needs a score", "take a metric", "NoMetric")
    if config.metric.adjust:
        cure = "let auto write its rules, then adjust with mix: true"
        yield Problem("metric.adjust", "cannot stand beside mix: auto", cure)
    if "use_quant_profile" not in config.stages:
        yield Problem("stages", "stop before use_quant_profile: mix: auto has no scores", "add use_quant_profile")
    for name in ("max_drop", "latency_limit"):
        if getattr(config.search, name) is not None:
            yield Problem(f"smart_search.{name}", "cannot stand beside mix: auto", "give it as quantization.mix_goal")
    if config.search.arena_limit is not None:
        yield Problem("smart_search.arena_limit", "cannot stand beside mix: auto", "leave one of them out")


def _one_setting(quantization: QuantizationSection) -> Iterator[Problem]:
    levels = list(quantization.accuracy_level)
    if len(levels) > 1:
        cure = "set one level, of 1 to 3"
        yield Problem("quantization.accuracy_level", "mix: auto raises layers of one level", cure, levels)
    elif levels == [4]:
        yield Problem("quantization.accuracy_level", "has no layer to raise: level 4 is all 16 bit", "take 1 to 3", 4)
    if quantization.limits is not None:
        if len(quantization.limits) > 1:
            cure = "keep one entry, as ImprovedMSE"
            yield Problem("quantization.limits", "mix: auto raises layers of one setting", cure)
    elif quantization.single_shot and len(quantization.calibration) > 1:
        yield Problem("quantization.calibration", "mix: auto raises layers of one setting", "set one calibration")
    elif not quantization.single_shot and len(quantization.range.values()) > 1:
        yield Problem("quantization.range", "mix: auto raises layers of one setting", "set one range, as 100")
    if len(quantization.weight_rounding) > 1:
        yield Problem("quantization.weight_rounding", "mix: auto raises layers of one setting", "set one, as auto")


GOALS = "max_drop, score, latency_ms, weight_bytes, arena_bytes and max_share"


def one_goal(config: Sections) -> Iterator[Problem]:
    """A goal of mixed precision is exactly one."""
    goal = config.quantization.mix_goal
    if goal is not None and len(goal.model_dump(exclude_none=True)) != 1:
        yield Problem("quantization.mix_goal", f"should be exactly one of {GOALS}")
