"""From the lines of a cfg to settings: each key mapped, dropped with its reason, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimai.config.legacy import mapping
from slimai.config.legacy.lexer import CfgLines, Comment, Entry, Header
from slimai.config.legacy.mapping import SECTIONS, Key
from slimai.config.legacy.outputs import read_deferred
from slimai.config.legacy.scalars import flag, number, numbers
from slimai.config.legacy.settings import Rebase, Settings, rebase_from, shift
from slimai.schema.quantization import QuantizationSection

REQUIRED = ("path.output_dir", "path.image_dir", "network.input_model")
_RULE_FILES = ("nodename_datatypes", "nodekind_datatypes")
_DEFERRED = ("metric_input", "tensor", "description")


def _nodes(text: str) -> Any:
    parts = [part.strip() for part in text.split(",")]
    return parts if len(parts) > 1 else text


_PLAIN: dict[str, Callable[[str], Any]] = {"number": number, "numbers": numbers, "switch": flag, "nodes": _nodes}


def read_settings(lines: CfgLines, base: Path | None) -> Settings:
    """Return the settings of `lines`; relative paths are made relative to `base` (None: absolute)."""
    return _Reader(lines, base).run()


class _Reader:
    """Walks the items once; keys whose meaning hangs on others are kept for the end."""

    def __init__(self, lines: CfgLines, base: Path | None) -> None:
        self.lines = lines
        self.path = Path(lines.file)
        self.rebase: Rebase = rebase_from(self.path.parent, base)
        self.settings = Settings(lines.file, diagnostics=list(lines.problems))
        self.section: str | None = None
        self.seen: dict[Key, Entry] = {}
        self.deferred: list[tuple[Key, Entry]] = []
        self.salvaged: list[tuple[Key, Entry]] = []
        self.notes = _Notes(self.settings)

    def run(self) -> Settings:
        for index, item in enumerate(self.lines.items):
            if isinstance(item, Comment):
                self.notes.comment(item, self.lines.items[index + 1 :])
            elif isinstance(item, Header):
                self._header(item)
            else:
                self._entry(item)
        for key, entry in self.salvaged:
            if key not in self.seen:
                self._accept(key, entry)
        read_deferred(self.settings, self.deferred, self.rebase)
        self._finish()
        self.notes.close()
        return self.settings

    def _header(self, header: Header) -> None:
        name = header.name
        self.section = name.lower() if name.lower() in SECTIONS else None
        if self.section is None:
            cure = mapping.suggest_section(name)
            self.settings.report("error", header.place, f"unknown section [{name}]", cure=cure)
            self.section = next((known for known in SECTIONS if cure == f"did you mean [{known}]?"), None)
        elif name != self.section:
            cure = f"write [{self.section}]"
            self.settings.report("error", header.place, f"section names are lower case, not [{name}]", cure=cure)
        self.notes.header(header)
        if self.section:
            self.settings.sections.setdefault(self.section, header.place)

    def _entry(self, entry: Entry) -> None:
        if not entry.section and self.section is None:
            self.settings.report("error", entry.place, f"'{entry.key}' stands before the first [section]")
            return
        if self.section is None:
            return  # the unknown section is the mistake, not its keys
        key = mapping.find(self.section, entry.key)
        if key is None:
            self._foreign(entry)
        elif key.fate == "dropped":
            self._drop(entry, key.note)
        elif key.fate == "refused":
            self.settings.report(
                "error", entry.place, f"{key.title} is not supported", value=entry.value, cure=key.note
            )
        else:
            self._mapped(key, entry)

    def _foreign(self, entry: Entry) -> None:
        """Report a key that its section does not have."""
        homes = mapping.homes(entry.key)
        if homes and (homes[0].flow or homes[0].fate == "dropped"):
            self._drop(entry, f"it belongs to [{homes[0].section}] and is not read here")
            return
        if homes:
            message, cure = f"'{entry.key}' is not a key of [{self.section}]", f"move it to [{homes[0].section}]"
            found: Key | None = homes[0]
        else:
            assert self.section is not None  # noqa: S101 - narrowing; the caller has checked it
            message, cure = (
                f"unknown key '{entry.key}' in [{self.section}]",
                mapping.suggest_key(self.section, entry.key),
            )
            found = next((key for key in mapping.KEYS if cure.startswith(f"did you mean '{key.name}'")), None)
        self.settings.report("error", entry.place, message, value=entry.value, cure=cure)
        if found and found.fate == "mapped":
            self.salvaged.append((found, entry))  # so that the field does not count as missing too

    def _drop(self, entry: Entry, reason: str) -> None:
        place = f"[{self.section}] {entry.key}"
        self.settings.report("warning", entry.place, f"{place} is dropped: {reason}", value=entry.value)
        value = " ".join(entry.value.split())
        self.notes.dropped(f"dropped: {place} = {value} ({reason})", entry.comment)

    def _mapped(self, key: Key, entry: Entry) -> None:
        first = self.seen.get(key)
        if first is not None and key.kind != "tensor":
            self._twice(key, entry, first)
            return
        self.seen[key] = entry
        self._accept(key, entry)

    def _twice(self, key: Key, entry: Entry, first: Entry) -> None:
        if entry.value == first.value:
            message = f"{key.title} is set twice to the same value, first in line {first.place.line}"
            self.settings.report("warning", entry.place, message, value=entry.value)
        else:
            message = f"{key.title} is set twice, first in line {first.place.line} to {first.value!r}"
            self.settings.report("error", entry.place, message, value=entry.value, cure="remove one of the two")

    def _accept(self, key: Key, entry: Entry) -> None:
        if not entry.value and key.section == "quantization":
            read = f": '{entry.comment}' behind it is read as a comment" if entry.comment else ""
            cure = "give a value, or remove the line"
            self.settings.report("error", entry.place, f"{key.title} is empty{read}", cure=cure)
            return
        if not entry.value and key.target not in REQUIRED:
            self.settings.report("warning", entry.place, f"{key.title} is empty and taken as not set")
            return
        if key.kind in _DEFERRED:
            self.deferred.append((key, entry))
        if key.kind not in {"tensor", "description"}:
            self._set(key, entry)

    def _set(self, key: Key, entry: Entry) -> None:
        value = self._value(key, entry)
        if value is None:
            return
        self.settings.set(key.target, value, entry.value_place)
        if isinstance(value, list) and key.kind == "numbers":
            self._item_places(key, entry)
        self.notes.attach(key.target, entry.comment)

    def _item_places(self, key: Key, entry: Entry) -> None:
        section, _, name = key.target.partition(".")
        for index, match in enumerate(re.finditer(r"[^,]+|(?<=,)(?=,)", entry.value)):
            indent = len(match[0]) - len(match[0].lstrip())
            self.settings.places[section, name, index] = shift(entry.value_place, match.start() + indent)

    def _value(self, key: Key, entry: Entry) -> Any:
        """Return the value as YAML holds it, or None when it cannot be read (reported)."""
        if key.kind == "names":
            return self._names(key, entry)
        if key.kind == "path":
            self._check_rules_file(key, entry)
            return self.rebase(entry.value)
        return _PLAIN.get(key.kind, str)(entry.value)

    def _names(self, key: Key, entry: Entry) -> list[str] | None:
        text = entry.value
        names = text[1:-1].replace(",", " ").split() if text[0] == "[" and text[-1] == "]" else []
        if not names or any(sign in name for name in names for sign in "[]"):
            message = f"{key.title} is not a list of names in brackets"
            self.settings.report("error", entry.value_place, message, value=text, cure="write [name name]")
            return None
        return names

    def _check_rules_file(self, key: Key, entry: Entry) -> None:
        if key.name not in _RULE_FILES or entry.value == f"{self.path.stem}.yaml":
            return
        message = f"{key.title} should lie beside the cfg and bear its name, {self.path.stem}.yaml"
        cure = "slimai reads it from any place, the vendor's compiler does not"
        self.settings.report("warning", entry.value_place, message, value=entry.value, cure=cure)

    def _finish(self) -> None:
        """Settle what a cfg means without saying it: the name, the folder of the model, an empty section."""
        settings = self.settings
        if "smart_search" in settings.sections and "smart_search" not in settings.values:
            settings.values["smart_search"] = {}
        model = settings.get("network.input_model")
        if isinstance(model, str) and settings.get("path.input_dir") is None:
            settings.values["network"]["input_model"] = self.rebase(model)
        if not settings.is_part:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.path.stem)[:100]
            settings.values["network"] = {"name": name, **settings.values.get("network", {})}
            if "quantization" not in settings.values and settings.get("network.model_type") != "quantized":
                message = f"no [quantization]: the defaults are taken, {_defaults()}"
                settings.report("warning", None, message, cure="add the section to choose")


def _defaults() -> str:
    """Return what a job without [quantization] runs with."""
    fields = QuantizationSection.model_fields
    level, percent = (fields[name].get_default() for name in ("accuracy_level", "range"))
    return f"accuracy_level {','.join(map(str, level))}, range {percent}, no single-shot calibration"


class _Notes:
    """Keeps comments until the setting that they stand above is known."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.before_header: list[str] = []
        self.pending: list[str] = []
        self.current: str | None = None

    def comment(self, comment: Comment, rest: tuple[Any, ...]) -> None:
        """Keep a comment line; one that stands right above a header belongs to the section that begins there."""
        line = comment.place.line
        for item in rest:
            if isinstance(item, Header) and item.place.line == line + 1:
                self.before_header.append(comment.text)
                return
            if not isinstance(item, Comment) or item.place.line != line + 1:
                break
            line = item.place.line
        self.pending.append(comment.text)

    def header(self, header: Header) -> None:
        """Leave the comments at the end of a section there."""
        if not self.settings.sections:
            self.settings.comments.above[()], self.pending = self.pending, []
        elif self.current and self.pending:
            self.settings.comments.after.setdefault((self.current,), []).extend(self.pending)
            self.pending = []
        if header.comment:
            self.before_header.append(header.comment)

    def dropped(self, note: str, beside: str) -> None:
        """Keep a note about a dropped key, and the comment beside it."""
        self.pending.append(note + (f"  # {beside}" if beside else ""))

    def attach(self, target: str, beside: str) -> None:
        """Put what was kept above the field `target`, and `beside` next to it."""
        section, _, name = target.partition(".")
        above = self.settings.comments.above
        place = (section,) if len(self.settings.values[section]) == 1 else (section, name)
        if self.before_header:
            above.setdefault(place, []).extend(self.before_header)
        if self.pending:
            above.setdefault((section, name), []).extend(self.pending)
        if beside:
            self.settings.comments.beside[section, name] = beside
        self.before_header, self.pending, self.current = [], [], section

    def close(self) -> None:
        """Leave the rest at the end of the file."""
        self.settings.comments.after.setdefault((), []).extend(self.before_header + self.pending)
