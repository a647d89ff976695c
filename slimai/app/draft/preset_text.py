"""The text of a preset: its values in their order, each guess beside its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slimai.app.draft.guess import Guess
from slimai.config.legacy.yaml_text import Comments, yaml_text

HEADER = "# @package _global_\n"
MEANINGS = {
    ("path",): "folders; relative ones start from the folder that slimai is run in",
    ("network",): "x = (pixel - mean) / stddev, on pixels of 0..255",
    ("dataset",): "a line a sample below its count; relative to image_dir",
    ("quantization",): "a list is searched over; levels: docs/guide.md",
    ("metric",): "what a candidate is scored by: docs/metrics",
}

__all__ = ["line_of", "preset_text"]


def preset_text(values: Mapping[str, Any], about: str, guesses: Sequence[Guess]) -> str:
    """Return the YAML text of a preset; about: a sentence for ``slimai models``."""
    comments = Comments(above={place: [text] for place, text in MEANINGS.items() if place[0] in values})
    for guess in guesses:
        place = tuple(guess.key.split("."))
        if _has(values, place):
            comments.beside[place] = f"{guess.how}: {guess.why}"
    body = yaml_text(values, comments)
    return f"{HEADER}\n# {' '.join(about.split())}\n{body}"


def line_of(text: str, key: str) -> int:
    """Return the line, from 1, at which the dotted `key` stands in the text of a preset."""
    parts, depth = key.split("."), 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.lstrip(" ")
        if len(line) - len(words) == 2 * depth and words.startswith(f"{parts[depth]}:"):
            depth += 1
            if depth == len(parts):
                return number
    return 0


def _has(values: Any, place: tuple[str, ...]) -> bool:
    for key in place:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True
