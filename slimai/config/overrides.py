"""What the command line says, in Hydra's terms."""

from __future__ import annotations

import re

# a value for one of these has no dot, and yet is no choice of a group
TOP_LEVEL_VALUES = ("stages", "smart_search", "config_file")
_PLAIN = re.compile(r"\+?(?P<key>[A-Za-z_][A-Za-z0-9_.]*)=(?P<value>.*)", re.DOTALL)

# one value: no list, call, quote or interpolation, and something that is not ASCII
_OTHER_LETTERS = r"[^\s,()\[\]{}'\"$=\\]+"


def in_hydra_terms(override: str) -> str:
    """Return the override that Hydra accepts for what the user means.

    ``model=x`` becomes ``+model=x``: presets are appended. ``section.key=value`` (also with one ``+``)
    becomes ``++section.key=value``: the schema, not the set of keys that happen to be in the files, says
    which keys exist, and its message has a suggestion. A value in other letters than ASCII, which the grammar takes
    in quotes only, is quoted.
    """
    found = _PLAIN.fullmatch(override)
    if found is None or found["key"].startswith("hydra."):
        return override
    if not found["value"].isascii() and re.fullmatch(_OTHER_LETTERS, found["value"]):
        return in_hydra_terms(f"{override[: found.start('value')]}{quoted(found['value'])}")
    bare = override.removeprefix("+")
    if found["key"] == "model":
        return "+" + bare
    mapping = found["value"].startswith("{")
    return "++" + bare if "." in found["key"] or found["key"] in TOP_LEVEL_VALUES or mapping else override


def as_written(override: str, written: list[str]) -> str:
    """Return the user's own spelling of an override that was rewritten or expanded from a sweep."""
    bare = override.lstrip("+")
    for text in written:
        if bare in (text.lstrip("+"), in_hydra_terms(text).lstrip("+")):
            return text
    key = bare.partition("=")[0]
    prefix = next((text[: len(text) - len(text.lstrip("+"))] for text in written if _key(text) == key), "")
    return prefix + bare


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def quoted(text: str) -> str:
    """Return `text` as a quoted value of the override grammar, in which it is not an interpolation."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text.replace("${", "\\${"))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
