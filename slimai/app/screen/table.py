"""Tables of plain text: as wide as the terminal where there is one, else as wide as their cells."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Collection, Sequence

GAP = 2  # blanks between columns
UNLIMITED = 1 << 16  # columns of a file or a pipe: nothing is folded there


def render(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (0,),
    rule: bool = True,
    width: int | None = None,
) -> str:
    """Return an aligned text table; the columns numbered in `left` (from 0) align left, the others right.

    rule: a line of dashes below the header.

    width: columns of the screen; None asks the terminal, and takes no limit where standard output is none. A table
    that is wider folds the cells of its left columns into further lines; no character is left out. Empty columns are.
    """
    from rich.console import Console  # noqa: PLC0415 - spares rich
    from rich.rule import Rule  # noqa: PLC0415 - spares rich
    from rich.table import Table  # noqa: PLC0415 - spares rich
    from rich.text import Text  # noqa: PLC0415 - spares rich

    used = [number for number in range(len(header)) if any(line[number] for line in (header, *rows))]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, GAP, 0, 0))
    for number in used:
        aligned = number in left
        table.add_column(justify="left" if aligned else "right", no_wrap=not aligned, overflow="fold")
    table.add_row(*(Text(header[number]) for number in used))
    if rule:
        table.add_row(*(Rule(characters="-", style="") for _ in used))
    for row in rows:
        table.add_row(*(Text(row[number]) for number in used))
    text = io.StringIO()
    console = Console(file=text, width=width or _screen_width(), color_system=None, force_terminal=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _screen_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
