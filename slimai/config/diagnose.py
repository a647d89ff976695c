"""From values to a validated configuration, or to every mistake in them with its place: root causes only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from slimai.config.full_width import named
from slimai.config.presets import ready_names
from slimai.errors import Diagnostic
from slimai.schema.base import WRONG
from slimai.schema.metric import SECTIONS, metric_kind
from slimai.schema.problem import Problem
from slimai.schema.root import RULES, SlimaiConfig
from slimai.schema.rules import problems
from slimai.suggest import did_you_mean

if TYPE_CHECKING:
    from slimai.config.composed import Composed

UNKNOWN = "unknown key"
MISSING = "is required"


@dataclass(frozen=True)
class Verdict:
    """What validation found.

    config: the configuration, None when something is wrong. sound: what is right of it, with defaults and
    placeholders in place of the dotted keys in `broken`; None where not even that can be built.
    """

    config: SlimaiConfig | None
    diagnostics: tuple[Diagnostic, ...] = ()
    sound: SlimaiConfig | None = None
    broken: frozenset[str] = frozenset()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics that are errors."""
        return tuple(item for item in self.diagnostics if item.severity == "error")


def judge(composed: Composed, base: Path | None = None) -> Verdict:
    """Return the verdict on composed values; relative paths start from `base` (default: current folder)."""
    values = dict(composed.values)
    if composed.config_file is not None:
        values.setdefault("config_file", str(composed.config_file))
    if "network" not in values and "path" not in values:
        names = f"one of {', '.join(ready_names())}; all: slimai models --all"
        cure = f"add +model=NAME ({names}) or the sections path and network"
        return Verdict(None, (Diagnostic("no model is chosen", suggestion=cure),))
    verdict = examine(values, base)
    unquoted = _unquoted_range(values, composed.config_file)
    return replace(verdict, config=None, diagnostics=(*verdict.diagnostics, unquoted)) if unquoted else verdict


def _unquoted_range(values: Mapping[str, Any], file: Path | None) -> Diagnostic | None:
    """Return the error of ``range: 1:30`` in the preset, which YAML 1.1 reads as the legal number 90."""
    section = values.get("quantization")
    number = section.get("range") if isinstance(section, Mapping) else None
    if file is None or file.suffix == ".cfg" or not isinstance(number, int) or not 60 <= number <= 100:
        return None
    text = file.read_text(encoding="utf-8", errors="replace")
    written = f"{number // 60}:{number % 60:02d}"
    found = re.search(r"^\s+range:\s+(0*[1-9][0-9]*:[0-9]{1,2})\s*(#.*)?$", text, re.MULTILINE)
    if found is None or [int(part) for part in found[1].split(":")] != [int(part) for part in written.split(":")]:
        return None
    message = f"an unquoted {found[1]} is a base-60 number in YAML 1.1, quote it"
    return Diagnostic(message, "quantization.range", number)


def judge_values(values: Mapping[str, Any], base: Path | None = None) -> tuple[SlimaiConfig | None, list[Diagnostic]]:
    """Return the configuration (None when wrong) and the diagnostics of plain `values`, without places."""
    verdict = examine(values, base)
    return verdict.config, list(verdict.diagnostics)


def examine(values: Mapping[str, Any], base: Path | None = None) -> Verdict:
    """Return the verdict on plain `values`; its diagnostics have no places yet."""
    context: dict[str, Any] = {"base": base} if base else {}
    try:
        config = SlimaiConfig.model_validate(values, context=context)
    except ValidationError as error:
        details: list[Any] = error.errors(include_url=False)
    else:
        return Verdict(config, tuple(_of_problem(item) for item in config.warnings()), config)
    if [item["type"] for item in details] == [RULES]:
        details = []
    found = [named(item) for item in root_causes([_of_detail(item, values) for item in details])]
    sound, broken = _sound_part(values, details, context)
    rules = problems(sound, broken) if sound else []
    return Verdict(None, (*found, *map(_of_problem, rules)), sound, broken)


def root_causes(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield the diagnostics once each, without a required key that stands there misspelt."""
    found = _foreign_input(found)
    unknown = {item.key: item.suggestion for item in found if item.message == UNKNOWN}
    seen: set[tuple[str, str]] = set()
    for item in found:
        parent, _, name = item.key.rpartition(".")
        misspelt = any(key.rpartition(".")[0] == parent and f"'{name}'" in cure for key, cure in unknown.items())
        if (item.message == MISSING and misspelt) or (item.key, item.message) in seen:
            continue
        seen.add((item.key, item.message))
        yield item


INPUT_KEY = "metric.metric_input"


def _foreign_input(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics with one in place of all those of an input that belongs to another metric."""
    inside = [item for item in found if item.key.startswith(INPUT_KEY + ".")]
    strangers = [
        item for item in inside if item.message == UNKNOWN and item.suggestion.startswith(("one of", "no keys"))
    ]
    if len(strangers) < 2:
        return list(found)
    names = ", ".join(item.key.rpartition(".")[2] for item in strangers)
    one = Diagnostic(f"holds keys of another metric: {names}", INPUT_KEY, suggestion=strangers[0].suggestion)
    return [*(item for item in found if item not in inside), one]


def _sound_part(
    values: Mapping[str, Any], details: Sequence[Mapping[str, Any]], context: dict[str, Any]
) -> tuple[SlimaiConfig | None, frozenset[str]]:
    """Return what is right of `values`, and the dotted keys that are wrong.

    Wrong keys are taken out (their defaults stand in), missing ones get a placeholder, and the rest is
    validated again, until nothing more is wrong.
    """
    pruned, broken = deepcopy(dict(values)), set[str]()
    for _ in range(8):
        for item in details:
            loc = key_path(item["loc"])
            meant = _meant_metric(item) if loc == METRIC_NAME else None
            if meant is not None:  # the rest is judged as that metric's
                pruned["metric"]["metric_cls"] = meant
                continue
            broken.add(".".join(loc))
            if item["type"] == "extra_forbidden":  # what it is a misspelling of cannot be judged either
                near = re.search(r"'([^']+)'", _near_key(loc, values))
                broken.update({".".join((*loc[:-1], near[1]))} if near else ())
            _replace(pruned, loc, placeholder=item["type"] == "missing")
        try:
            return SlimaiConfig.model_validate(pruned, context={**context, "skip_rules": True}), frozenset(broken)
        except ValidationError as error:
            details = error.errors(include_url=False)
    return None, frozenset(broken)


METRIC_NAME = ("metric", "metric_cls")


def _meant_metric(detail: Mapping[str, Any]) -> str | None:
    """Return the metric that a misspelt one is taken for, or None."""
    found = re.fullmatch(r"did you mean '([^']+)'\?", (detail.get("ctx") or {}).get("cure", ""))
    return found[1] if found else None


def _replace(values: Any, loc: Sequence[str], *, placeholder: bool) -> None:
    """Remove the key at `loc` (or the nearest mapping's key above it), or put a placeholder there."""
    for depth, name in enumerate(loc):
        inner = values.get(name)
        if isinstance(inner, dict) and depth + 1 < len(loc):
            values = inner
        elif placeholder and (depth + 1 == len(loc) or inner is None):
            values[name] = "1" if depth + 1 == len(loc) else {loc[depth + 1]: "1"}
            return
        else:
            values.pop(name, None)
            return


def key_path(loc: Sequence[int | str]) -> tuple[str, ...]:
    """Return the YAML path of a pydantic location."""
    return tuple(str(part) for index, part in enumerate(loc) if part != "[key]" or index < 2)


def _written_path(loc: tuple[str, ...], values: Any) -> tuple[str, ...]:
    """Return `loc` up to the value as written: a one-element tuple that we made of a scalar has no index."""
    for depth, name in enumerate(loc):
        if isinstance(values, Mapping):
            values = values.get(name)
        elif isinstance(values, list) and name.isdigit():
            values = values[int(name)] if int(name) < len(values) else None
        else:
            return loc[:depth] if values is not None else loc
    return loc


def _of_problem(problem: Problem) -> Diagnostic:
    value = {"value": problem.value} if problem.has_value else {}
    return Diagnostic(problem.message, problem.key, suggestion=problem.cure, severity=problem.severity, **value)


def _of_detail(detail: Mapping[str, Any], values: Mapping[str, Any]) -> Diagnostic:
    loc, kind, value = _written_path(key_path(detail["loc"]), values), detail["type"], detail["input"]
    key = ".".join(loc)
    if kind == "missing":
        return Diagnostic(MISSING, key, suggestion=description(loc, values))
    if kind == "extra_forbidden":
        return Diagnostic(UNKNOWN, key, value, suggestion=_near_key(loc, values))
    if kind == WRONG:
        return Diagnostic(detail["ctx"]["message"], key, value, suggestion=detail["ctx"]["cure"])
    cure = ""
    if kind == "literal_error":
        cure = did_you_mean(str(value), re.findall(r"'([^']+)'", detail["ctx"]["expected"]))
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        return Diagnostic("should be a mapping of keys", key, value, suggestion="write its keys below it, indented")
    return Diagnostic(detail["msg"], key, value, suggestion=cure)


def _near_key(loc: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the suggestion for an unknown key: a near one beside it, or its right section."""
    model = model_at(loc[:-1], values)
    name = loc[-1]
    fields = _names(model) if model else {}
    cure = did_you_mean(name, fields)
    if cure:
        return cure
    for section in SlimaiConfig.model_fields:
        inner = model_at((section,), values)
        if inner is not None and name in _names(inner):
            return f"did you mean '{section}.{name}'?"
    return f"one of {', '.join(fields)}" if fields else "no keys belong here"


def description(loc: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the description of the key at the YAML path `loc`, an empty string for a name of the user's own."""
    model = model_at(loc[:-1], values)
    info = _names(model).get(loc[-1]) if model else None
    return info.description or "" if info else ""


def _names(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def model_at(loc: Sequence[str], values: Mapping[str, Any]) -> type[BaseModel] | None:
    """Return the model whose keys stand at the YAML path `loc` of `values`, or None."""
    model: type[BaseModel] | None = SlimaiConfig
    for index, name in enumerate(loc):
        info = _names(model).get(name) if model else None
        if info is None:
            continue  # a name of the user's own, like a graph input
        inner: list[Any] = _models(info.annotation)
        if index == 0 and name == "metric":
            inner = [SECTIONS[metric_kind(values.get("metric"))]]
        model = inner[0] if inner else None
    return model


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
