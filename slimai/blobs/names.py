"""File names of blobs: characters that every file system takes, and no two things with one name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from slimai.errors import Diagnostic, InputError

LONGEST = 230  # bytes of a blob's name; a file that is being written has a longer one
_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")

__all__ = ["blob_name", "check_blob_names", "safe_name", "safe_names"]


def safe_name(name: str) -> str:
    """Return `name` with every character outside ``A-Za-z0-9_.-`` replaced by ``_``."""
    return _STRANGE.sub("_", name)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Return the safe form of each name; raises InputError where two different names become one."""
    safe = {name: safe_name(name) for name in names}
    _refuse_collisions(safe, "output")
    return safe


def blob_name(stem: str, output: str) -> str:
    """Return the file name of the blob of one image and one output."""
    return f"{safe_name(stem)}_{safe_name(output)}.blob"


def check_blob_names(stems: Iterable[str], outputs: Iterable[str]) -> None:
    """Raise InputError where two images (by the stems of their files), or an image and an output, share a blob.

    ``a_b`` with output ``c`` and ``a`` with output ``b_c`` share one too.
    """
    kept, seen = list(stems), list(outputs)
    doubles = sorted({stem for stem in kept if kept.count(stem) > 1}) if len(set(kept)) < len(kept) else []
    if doubles:
        raise InputError(
            Diagnostic(
                f"images of the same name would share their blobs: {', '.join(doubles[:10])}",
                suggestion="give each image its own file name",
            )
        )
    safe_names(seen)
    long = [name for stem in kept for output in seen if len(name := blob_name(stem, output)) > LONGEST]
    if long:
        message = f"the blob of an image and an output would have a name of more than {LONGEST} bytes"
        raise InputError(Diagnostic(message, value=long[0], suggestion="give the image a shorter name"))
    owners = {f"{stem} / {output}": blob_name(stem, output) for stem in kept for output in seen}
    _refuse_collisions(owners, "image / output")


def _refuse_collisions(safe: Mapping[str, str], kind: str) -> None:
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for name, written in safe.items():
        owners[written].append(name)
    shared = [(written, names) for written, names in owners.items() if len(names) > 1]
    if shared:
        raise InputError(
            Diagnostic(
                f"{kind} names {', '.join(repr(name) for name in names)} all become '{written}' in file names",
                suggestion="rename one of them",
            )
            for written, names in shared[:20]
        )
