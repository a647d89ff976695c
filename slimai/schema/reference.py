"""The configuration reference page, written from the models."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from slimai.schema.metric import BUILT_IN, METRICS, MetricBase, names_of
from slimai.schema.percent import PercentileRange
from slimai.schema.root import SlimaiConfig

HEAD = """\
# Configuration reference

<!-- Written by `slimai schema --docs docs/configuration.md`; do not edit. -->

A configuration is composed by [Hydra](https://hydra.cc) from `conf/slimai.yaml`, a preset (`+model=NAME`), and
the overrides of the command line, in this order: the later one wins. The whole is then checked; every mistake is
reported at once, with the file and line, or the override, that made it. `slimai validate` does only that.

* **Relative paths** start from the current directory, in YAML files and in overrides alike; in a legacy `.cfg` they
  start from the cfg's folder. Two keys are relative to another one: image lists to `path.image_dir`, and
  `network.input_model` to `path.input_dir`. `${slimai_examples:}` is the folder of the bundled example data.
* **Your own files**: `./conf/model/NAME.yaml` beside the data is found by `+model=NAME`; a file there with the name of
  a bundled one takes its place (and is reported). Its first line is `# @package _global_`, the editor's modeline
  comes after it.
* **Overrides** are `section.key=value`. A list is `[1,2]`; `1,2` with `-m` is one job for each. Values with `;`, `=`,
  spaces or `~` are quoted twice, for the shell and for Hydra: `metric.metric_input="'cwh range=255'"`. A range needs no
  quotes there: `quantization.range=96:99:1`.
* **YAML 1.1** reads an unquoted `40:50:1` as a number to the base 60: write `range: "40:50:1"`. Mappings merge, lists
  and strings replace.
* In a multirun each job writes to `job<N>` below `path.output_dir`; the table is in `multirun.csv` and `multirun.json`.
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for name, info in SlimaiConfig.model_fields.items():
        if name == "config_file":
            continue
        models = [] if name == "metric" else _models(info.annotation)
        parts.append(f"\n## `{name}`\n\n{models[0].__doc__ if models else info.description}\n")
        parts.extend(_metric_parts() if name == "metric" else _tables(name, models))
        if name == "stages":
            parts.append(f"\nDefault: `{_default(info)}`\n")
    return "".join(parts)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _tables(key: str, models: list[type[BaseModel]]) -> Iterator[str]:
    """Yield the table of a section, then those of the mappings in it."""
    for model in models:
        yield _table(model)
        for name, info in model.model_fields.items():
            inner = _models(info.annotation)
            if inner and not (name == "resize" and key != "network"):
                dotted = f"{key}.{info.alias or name}"
                yield f"\n### `{dotted}`\n\n{inner[0].__doc__}\n"
                yield from _tables(dotted, inner[:1])


def _metric_parts() -> Iterator[str]:
    yield "\nKeys of every metric:\n"
    yield _table(MetricBase)
    yield (
        "\n`metric_cls` names the metric and gives `metric_input` its keys. The one-line legacy string is read too. "
        "Metrics: "
        + ", ".join(f"`{name}`" for name in BUILT_IN)
        + ", or the class of a plug-in. Without `metric_cls`: `top1_5` for a Classification network with a validation "
        "list, else `cosine`.\n"
    )
    for kind in dict.fromkeys(row.kind for row in METRICS.values()):
        names = names_of(kind)
        model, spec = METRICS[names[0]].section, METRICS[names[0]].spec
        text = model.model_fields["metric_cls"].description
        yield f"\n### {', '.join(f'`{name}`' for name in names)}\n\n{model.__doc__} {text}\n"
        own = [key for key in model.model_fields if key not in {*MetricBase.model_fields, "metric_cls", "metric_input"}]
        if own:
            yield f"\nKeys of `metric` beside:\n{_table(model, own)}\nKeys of `metric_input`:\n"
        if spec.model_fields:
            order = " ".join(f"<{name}>" for name in spec.positional)
            yield f"\nLegacy string: `{order} name=value,...`\n" if order else ""
            yield _table(spec)


def _table(model: type[BaseModel], names: Collection[str] | None = None) -> str:
    """Return the table of a model's keys, of those in `names` where it is given."""
    rows = ["\n| key | value | default | legacy | meaning |\n| --- | --- | --- | --- | --- |\n"]
    properties = TypeAdapter(model).json_schema(by_alias=True)
    for name, info in model.model_fields.items():
        if names is not None and name not in names:
            continue
        key = info.alias or name
        schema = properties["properties"][key]
        spelled = schema.get("legacy", "")
        legacy = ", ".join(spelled) if isinstance(spelled, list) else spelled
        cells = (f"`{key}`", _form(schema, properties), _code(_default(info)), _code(legacy), info.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(rows)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "null"
    if isinstance(value, BaseModel):
        return "{...}"
    if isinstance(value, PercentileRange):
        return str(value)
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def _form(schema: dict[str, Any], root: dict[str, Any]) -> str:
    """Return a short name of the values that a schema accepts."""
    if "$ref" in schema:
        return "mapping"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_form(part, root) for part in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        words = [f"`{json.dumps(item)}`".replace('"', "") for item in schema.get("enum", [schema.get("const")])]
        return ", ".join(dict.fromkeys(words))
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return f"list of {_form(items, root)}" if items else "list"
    if isinstance(schema.get("type"), list):
        return " or ".join(schema["type"])
    return str(schema.get("type", "any")) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("ge"))
    high = schema.get("maximum", schema.get("le"))
    above = schema.get("exclusiveMinimum", schema.get("gt"))
    parts = [f">= {low:g}" if low is not None else "", f"> {above:g}" if above is not None else ""]
    parts.append(f"<= {high:g}" if high is not None and high < 2**53 else "")
    text = ", ".join(part for part in parts if part)
    return f" {text}" if text else ""
