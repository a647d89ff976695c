"""The table of ``docs/legacy.md``, from the mapping table: ``python -m slimai.config.legacy.page docs/legacy.md``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from slimai.config.legacy.mapping import table_rows

BEGIN = "<!-- table of legacy keys: begin -->"
END = "<!-- table of legacy keys: end -->"


def key_table() -> str:
    """Return the Markdown table of every legacy key and what becomes of it."""
    rows = [("legacy key", "fate", "what happens"), ("---", "---", "---")]
    rows += [(f"`{_cell(key)}`", fate, _cell(note)) for key, fate, note in table_rows()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str) -> str:
    """Return the text of the page with the table between its two marks made new."""
    table = f"{BEGIN}\n{key_table()}{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, page, flags=re.DOTALL)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_table(file.read_text(encoding="utf-8")), encoding="utf-8")
