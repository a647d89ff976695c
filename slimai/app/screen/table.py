"""The table at the end of a run: plain text that fits 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 80


def render(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return an aligned text table; the first `left` columns align left, the others right.

    The first column is shortened with ``..`` in its middle so that no line is longer than 80 characters.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    spare = WIDTH - (sum(widths[1:]) + 2 * (len(widths) - 1))
    widths[0] = max(min(widths[0], spare), 8)
    lines = [_line(header, widths, left), "  ".join("-" * width for width in widths)]
    lines.extend(_line(row, widths, left) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    parts = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = shorten(cell, width)
        parts.append(text.ljust(width) if column < left else text.rjust(width))
    return "  ".join(parts)


def shorten(text: str, width: int) -> str:
    """Return `text` with its middle replaced by ``..`` when it is longer than `width` (at least 4)."""
    if len(text) <= width:
        return text
    head = (width - 2) // 2
    return f"{text[:head]}..{text[-(width - 2 - head) :]}"
