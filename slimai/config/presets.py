"""The presets at hand: what they are for, and whether the folders that they name by the environment are there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from slimai.config.dirs import bundled_conf, preset_names, user_conf

_PLACE = re.compile(r"\$\{oc\.env:(\w+)(?:,([^}]*))?\}")
_MODELINE = re.compile(r"#+\s*(@|yaml-language-server:|-\*-)")


@dataclass(frozen=True)
class Preset:
    """A preset file. about: what its first comment says, a sentence. lacking: variables whose folder is absent."""

    name: str
    file: Path
    about: str
    lacking: tuple[str, ...]


def presets() -> list[Preset]:
    """Return the presets by name; the user's own hides a bundled one of the same name."""
    folders = [folder / "model" for folder in (user_conf(), bundled_conf()) if folder is not None]
    files = (next(path for folder in folders if (path := folder / f"{name}.yaml").is_file()) for name in preset_names())
    return [_preset(file) for file in files]


def ready_names() -> list[str]:
    """Return the names of the presets that lack no folder; all names where every one does."""
    found = [item.name for item in presets() if not item.lacking]
    return found or preset_names()


def _preset(file: Path) -> Preset:
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    places = {(found[1], found[2] or "") for found in _PLACE.finditer(text)}
    lacking = sorted({name for name, default in places if not Path(os.environ.get(name, default)).is_dir()})
    return Preset(file.stem, file, _about(text), tuple(lacking))


def _about(text: str) -> str:
    """Return the first sentence of the first comment that is for people; an empty string without one."""
    block: list[str] = []
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("#") and not _MODELINE.match(words):
            block.append(words.lstrip("#").strip())
        elif block or (words and not words.startswith("#")):
            break
    return re.split(r"(?<=[.。])\s", " ".join(word for word in block if word))[0]
