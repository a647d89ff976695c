"""Results of another configuration are kept beside the folder that the new ones go to.

Only what runs have written is moved: `.slimai/files.json` lists it. A file that somebody else put into the output
folder stays there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from slimai.artifacts.atomic import write_text

MANIFEST = ".slimai/files.json"
BEFORE = ".slimai/before.json"  # while a run writes: what was there when it began
STATE = (".cache", ".slimai", ".slimai.lock", ".slimai-multirun.lock", "slimai.log")
# a person's edits, and what a run suggests, count in the next run too
EDITED = ("Adjust_yaml", "suggested_rules.yaml", "suggested_adjust.yaml")
MOVING = "old-0"  # while it is filled


def present(folder: Path) -> set[str]:
    """Return the files below a folder, relative to it; its state, and folders of jobs, left out."""
    found: set[str] = set()
    for place, folders, files in os.walk(folder):
        inner = Path(place).relative_to(folder)
        if inner == Path():
            folders[:] = [name for name in folders if name not in STATE and not _is_job(folder / name)]
        own = STATE if inner == Path() else ()
        found.update((inner / name).as_posix() for name in files if name not in own)
    return found


def _is_job(folder: Path) -> bool:
    return (folder / ".slimai.lock").exists()


def begin(folder: Path) -> set[str]:
    """Note and return the files that are in `folder` before a run; what a killed run has added is not among them."""
    before = _names(folder / BEFORE) if (folder / BEFORE).is_file() else present(folder)
    write_text(folder / BEFORE, json.dumps(sorted(before), indent=0) + "\n")
    return before


def written(folder: Path) -> set[str]:
    """Return the files of `folder` that runs have written, as far as they have said."""
    return _names(folder / MANIFEST)


def _names(file: Path) -> set[str]:
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
        return {str(name) for name in names if ".." not in Path(str(name)).parts and not Path(str(name)).is_absolute()}
    except (OSError, ValueError, TypeError):
        return set()


def note_written(folder: Path, before: Iterable[str]) -> None:
    """Add to the list what is in `folder` now and was not before the run began."""
    ours = (present(folder) - set(before)) | (written(folder) & present(folder))
    write_text(folder / MANIFEST, json.dumps(sorted(ours), indent=0) + "\n")
    (folder / BEFORE).unlink(missing_ok=True)


def set_aside(folder: Path, keep: int) -> Path | None:
    """Move the results of earlier runs to ``<folder>.old-1``, the ones there to ``.old-2`` ..., `keep` of them in all.

    Returns the new place; None without earlier results. An interrupted move is finished by the next one.
    """
    now = present(folder)
    names = (written(folder) | (now - _names(folder / BEFORE) if (folder / BEFORE).is_file() else set())) & now
    filling = folder.with_name(f"{folder.name}.{MOVING}")
    if not keep or (not names and not filling.is_dir()):
        return None
    for name in sorted(names, key=lambda item: item == "run.json"):  # the last one says that there is something
        target = filling / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(name).parts[0] in EDITED:
            shutil.copy2(folder / name, target)
        else:
            os.replace(folder / name, target)  # noqa: PTH105 - across nothing: both lie beside each other
    _remove_empty(folder, names)
    places = [folder.with_name(f"{folder.name}.old-{number}") for number in range(1, keep + 1)]
    shutil.rmtree(places[-1], ignore_errors=True)
    for older, newer in zip(reversed(places), reversed(places[:-1]), strict=False):
        if newer.is_dir():
            newer.rename(older)
    filling.rename(places[0])
    return places[0]


def _remove_empty(folder: Path, names: Iterable[str]) -> None:
    """Remove the folders that the moved files leave empty."""
    parents = {parent for name in names for parent in Path(name).parents if parent != Path()}
    for parent in sorted(parents, key=lambda item: -len(item.parts)):
        place = folder / parent
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
