"""JSON Schema (draft-07) of every section and of the whole, for editors.

A file of `conf/` is a part of a configuration: nothing is required there, any value may be an
interpolation, and Hydra's own keys may stand beside ours. Everything else stays as strict as the models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from slimai.schema.root import SlimaiConfig

DRAFT = "http://json-schema.org/draft-07/schema#"
INTERPOLATION = {"type": "string", "pattern": r"\$\{.+\}"}
NOT_IN_FILES = ("config_file",)
# pydantic writes the bounds of a number that passes a validator first under their own names
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_DROPPED = ("title", "discriminator", "legacy", "also", "default")


def all_schemas() -> dict[str, str]:
    """Return file name -> text: ``slimai.schema.json`` and one ``<section>.schema.json`` a section."""
    names = [name for name in SlimaiConfig.model_fields if name not in (*NOT_IN_FILES, "stages")]
    schemas = {"slimai.schema.json": whole_schema()} | {f"{name}.schema.json": section_schema(name) for name in names}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


def whole_schema() -> dict[str, Any]:
    """Return the schema of a file that sets any section."""
    schema = _relaxed(SlimaiConfig.model_json_schema(by_alias=True))
    for name in NOT_IN_FILES:
        schema["properties"].pop(name)
    schema["properties"]["hydra"] = {"type": "object", "description": "Hydra's own settings."}
    return _document("slimai configuration", schema)


def section_schema(name: str) -> dict[str, Any]:
    """Return the schema of a file that sets the section `name`."""
    info = SlimaiConfig.model_fields[name]
    schema = _relaxed(TypeAdapter(_annotated(info)).json_schema(by_alias=True))
    return _document(f"slimai section {name}", schema | {"description": info.description or ""})


def _annotated(info: FieldInfo) -> Any:
    extras = [item for item in (*info.metadata, info.discriminator) if item is not None and not isinstance(item, str)]
    return Annotated[info.annotation, *extras] if extras else info.annotation


def _document(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    defaults = {"type": "array", "description": "Hydra's defaults list."}
    for part in (schema, *schema.get("definitions", {}).values()):
        if part is schema or "anyOf" in schema:
            part.setdefault("properties", {})["defaults"] = defaults
    return {"$schema": DRAFT, "title": title, **schema}


def _relaxed(schema: Any) -> Any:
    """Return the schema in draft-07 terms, with nothing required and interpolations allowed."""
    if isinstance(schema, list):
        return [_relaxed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$defs":
            kept["definitions"] = {name: _relaxed(part) for name, part in value.items()}
        elif key == "$ref":
            kept["$ref"] = value.replace("#/$defs/", "#/definitions/")
        elif key == "properties":
            kept["properties"] = {name: _property(part) for name, part in value.items()}
        elif key == "oneOf":
            kept["anyOf"] = _relaxed(value)
        elif key == "required":
            # without its name a metric would be a custom one, which allows anything
            kept |= {"required": ["metric_cls"]} if "plug-in" in str(schema.get("description")) else {}
        elif key not in _DROPPED:
            kept[_BOUNDS.get(str(key), str(key))] = _relaxed(value)
    return kept


def _property(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value: as it is, in its second form, or an interpolation."""
    text = schema.get("description", "")
    spelling = schema.get("legacy")
    if spelling:
        names = ", ".join(spelling) if isinstance(spelling, list) else spelling
        text += f" (legacy: {names})"
    inner = {key: value for key, value in _relaxed(schema).items() if key != "description"}
    forms = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    second = [schema["also"]] if "also" in schema else []
    described = {"description": text} if text else {}
    default = {"default": schema["default"]} if _plain(schema.get("default")) else {}
    return {**described, **default, "anyOf": [*forms, *second, INTERPOLATION]}


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping | list)
