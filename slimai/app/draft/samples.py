"""The pictures or arrays below a folder, which of them can stand in an image list, and how they are shared out."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimai.errors import Diagnostic, InputError

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".pnm", ".tif", ".tiff", ".gif"))
ARRAY = ".npy"
SEED = 0
MOST_CALIBRATION = 64
SHOWN = 3

__all__ = ["Found", "Shares", "find_samples", "share_out"]


@dataclass(frozen=True)
class Found:
    """names: below `folder`, with `/`, in the order of their letters. notes: what was left out, and why."""

    folder: Path
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def arrays(self) -> bool:
        """Return whether these are .npy arrays."""
        return self.names[0].lower().endswith(ARRAY)


def find_samples(folder: Path, leave: Collection[Path] = ()) -> Found:
    """Return the pictures below `folder`, or its .npy arrays where they are more; none below the folders `leave`.

    Raises: InputError where there is no such folder, or nothing in it that a list can name.
    """
    if not folder.is_dir():
        raise InputError(Diagnostic("there is no such folder", key="--images", value=str(folder)))
    left = [path.resolve() for path in leave]
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (*PICTURES, ARRAY))
    except OSError as error:
        raise InputError(Diagnostic(f"cannot be read: {error.strerror}", key="--images", value=str(folder))) from None
    files = [path for path in files if path.is_file() and not _below(path, left) and not path.name.startswith(".")]
    arrays = [path for path in files if path.suffix.lower() == ARRAY]
    pictures = [path for path in files if path.suffix.lower() != ARRAY]
    kept = arrays if len(arrays) > len(pictures) else pictures
    if not kept:
        cure = f"pictures end in {', '.join(sorted(PICTURES))}, arrays in {ARRAY}"
        raise InputError(
            Diagnostic("there is no picture and no array in it", key="--images", value=str(folder), suggestion=cure)
        )
    names = [path.relative_to(folder).as_posix() for path in kept]
    fit = [name for name in names if _can_stand_in_a_list(name)]
    if not fit:
        cure = "rename them: a list's names hold no blanks, commas or control characters"
        raise InputError(
            Diagnostic(f"none of {len(names)} names can stand in an image list", "--images", names[0], cure)
        )
    return Found(folder, tuple(fit), tuple(_notes(names, set(fit), len(files) - len(kept))))


def _below(path: Path, folders: Sequence[Path]) -> bool:
    place = path.resolve()
    return any(place.is_relative_to(folder) for folder in folders)


def _can_stand_in_a_list(name: str) -> bool:
    return name.isprintable() and not any(letter.isspace() or letter == "," for letter in name)


def _notes(names: Sequence[str], fit: set[str], others: int) -> list[str]:
    notes = []
    odd = [name for name in names if name not in fit]
    if odd:
        shown = ", ".join(f"'{name}'" for name in odd[:SHOWN]) + ", ..." * (len(odd) > SHOWN)
        notes.append(f"{len(odd)} files left out, whose names have blanks or commas ({shown})")
    if others:
        notes.append(f"{others} files of the other kind left out (pictures and .npy arrays are mixed)")
    return notes


@dataclass(frozen=True)
class Shares:
    """Names of the two lists. overlap: whether there were too few samples to keep the lists apart."""

    calibration: tuple[str, ...]
    validation: tuple[str, ...]
    overlap: bool = False


def share_out(names: Sequence[str], labelled: Collection[str]) -> Shares:
    """Return the two lists: calibration = min(64, a fifth), of samples without label first; validation = the rest.

    The order is shuffled with a fixed seed. labelled: the names that may be scored; one alone serves both lists.
    """
    shuffled = sorted(names)
    random.Random(SEED).shuffle(shuffled)  # noqa: S311 - no secret: lists must be the same again
    count = max(1, min(MOST_CALIBRATION, len(shuffled) // 5))
    scored = [name for name in shuffled if name in labelled]
    plain = [name for name in shuffled if name not in labelled]
    calibration = [*plain, *reversed(scored)][:count]
    taken = set(calibration)
    validation = [name for name in scored if name not in taken]
    if not validation:
        return Shares(tuple(calibration), tuple(scored), overlap=True)
    return Shares(tuple(calibration), tuple(validation))
