"""``python -m slimai.language_catalogue``: compiles the catalogues of messages, as gettext's msgfmt does.

Source of the format: GNU gettext, "The Format of GNU MO Files".
"""

from __future__ import annotations

import ast
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from slimai.language import DOMAIN, LANGUAGES, LOCALE

MAGIC, HEADER_BYTES = 0x950412DE, 28


def read_po(text: str) -> dict[str, str]:
    """Return message -> translation of a catalogue's text; the header stands at the empty message.

    Raises:
        ValueError: a line that is none of a catalogue, or a message that is there twice.
    """
    found: dict[str, str] = {}
    fields: dict[str, str] = {}
    field = ""
    for number, line in enumerate([*text.splitlines(), 'msgid ""'], 1):
        word, _, quoted = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if word == "msgid" and "msgstr" in fields:
            if fields["msgid"] in found:
                raise ValueError(f"line {number}: the message {fields['msgid']!r} is there twice")
            found[fields["msgid"]] = fields["msgstr"]
            fields = {}
        if word in ("msgid", "msgstr"):
            field, fields[word] = word, str(ast.literal_eval(quoted))
        elif line.startswith('"') and field:
            fields[field] += str(ast.literal_eval(line))
        else:
            raise ValueError(f"line {number}: no line of a catalogue")
    return found


def compiled(messages: dict[str, str]) -> bytes:
    """Return the messages as a little-endian MO file; untranslated ones are left out."""
    pairs = sorted((told.encode(), so.encode()) for told, so in messages.items() if so)
    tables = HEADER_BYTES, HEADER_BYTES + 8 * len(pairs)
    start = HEADER_BYTES + 16 * len(pairs)
    keys, start = _table((told for told, _ in pairs), start)
    values, end = _table((so for _, so in pairs), start)
    header = struct.pack("<7I", MAGIC, 0, len(pairs), *tables, 0, end)
    return (
        header + keys + values + b"".join(told + b"\0" for told, _ in pairs) + b"".join(so + b"\0" for _, so in pairs)
    )


def _table(texts: Iterable[bytes], start: int) -> tuple[bytes, int]:
    """Return length and place of each text, and the place behind the last."""
    rows = []
    for text in texts:
        rows.append(struct.pack("<2I", len(text), start))
        start += len(text) + 1
    return b"".join(rows), start


def catalogues() -> list[Path]:
    """Return the sources of the catalogues."""
    return [LOCALE / folder / "LC_MESSAGES" / f"{DOMAIN}.po" for folder in LANGUAGES.values() if folder != "en"]


def main() -> int:
    """Compile every catalogue beside its source; return 0."""
    for source in catalogues():
        source.with_suffix(".mo").write_bytes(compiled(read_po(source.read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
