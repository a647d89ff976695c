r"""Which entry of a label file belongs to which picture: by name, and checked to be the only answer.

The rule. Names are compared as paths, ``\`` and ``/`` being the same. An entry is a candidate where its last part is
the picture's: exactly, or in other letter case (or Unicode form), or with another suffix. Of several candidates one
wins that shares more folders with the picture's path, counted from the end (of equally many, one that has no other),
and whose last part is as near as any; the last part alone decides between entries of one folder only. Where none wins,
and where two pictures claim one entry, the labels are refused.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slimai.data.sample import Sample
from slimai.errors import Diagnostic

__all__ = ["Matches", "claimed_twice", "match_names", "path_parts"]

SHOWN = 3


def path_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path of either system, without ``.`` and empty ones."""
    return tuple(part for part in name.strip().replace("\\", "/").split("/") if part not in ("", "."))


@dataclass(frozen=True)
class Matches:
    """places: of the entry, by the sample's index. doubtful: indices of samples that several fit. mistakes: as told."""

    places: Mapping[int, int]
    doubtful: frozenset[int]
    mistakes: tuple[Diagnostic, ...]


def match_names(samples: Sequence[Sample], names: Sequence[str], where: str) -> Matches:
    """Return which of `names` is each sample's first file; a sample that none fits is nowhere.

    where: the label file, for messages.
    """
    table: defaultdict[str, list[int]] = defaultdict(list)
    parts = [path_parts(name) for name in names]
    for place, found in enumerate(parts):
        if found:
            table[_stem(found[-1])].append(place)
    matched: dict[int, int] = {}
    doubtful: set[int] = set()
    mistakes: list[Diagnostic] = []
    for sample in samples:
        own = path_parts(str(sample.files[0]))
        places = table.get(_stem(own[-1]), [])
        best = _best(own, [parts[place] for place in places])
        if len(best) == 1:
            matched[sample.index] = places[best[0]]
        elif best:
            doubtful.add(sample.index)
            shown = ", ".join(f"'{names[places[at]]}'" for at in best[:SHOWN]) + ", ..." * (len(best) > SHOWN)
            mistakes.append(
                Diagnostic(
                    f"image '{sample.files[0]}' could be any of {len(best)} entries ({shown})",
                    file=where,
                    suggestion="give pictures and entries names, or folders, that tell them apart",
                )
            )
    claims = {at: names[place] for at, place in matched.items()}
    return Matches(matched, frozenset(doubtful), (*mistakes, *claimed_twice(samples, claims, where)))


def claimed_twice(samples: Sequence[Sample], claims: Mapping[int, str], where: str) -> list[Diagnostic]:
    """Return the entries that two different pictures claim; claims: the entry by the sample's index."""
    first: dict[str, Sample] = {}
    mistakes = []
    for sample in samples:
        if sample.index not in claims:
            continue
        earlier = first.setdefault(claims[sample.index], sample)
        if earlier.files[0] != sample.files[0]:
            pair = f"'{earlier.files[0]}' and '{sample.files[0]}'"
            message = f"images {pair} would share the entry '{claims[sample.index]}'"
            cure = "give entries names, or folders, that tell them apart"
            mistakes.append(Diagnostic(message, file=where, suggestion=cure))
    return mistakes


def _best(own: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[int]:
    """Return the one candidate that wins; several where none does."""
    ranks = [(_shared(own, other), _nearness(own[-1], other[-1])) for other in candidates]
    folders = max((rank[0] for rank in ranks), default=None)
    nearness = max((rank[1] for rank in ranks), default=None)
    winners = [at for at, rank in enumerate(ranks) if rank == (folders, nearness)]
    places = {tuple(map(_folded, candidates[at][:-1])) for at, rank in enumerate(ranks) if rank[0] == folders}
    return (
        winners
        if len(winners) == len(places) == 1
        else [at for at, rank in enumerate(ranks) if rank[0] == folders or rank[1] == nearness]
    )


def _shared(own: Sequence[str], other: Sequence[str]) -> tuple[int, bool]:
    """Return how many folders in front of the name are the same, and whether those are all that `other` has."""
    count = 0
    for mine, theirs in zip(own[-2::-1], other[-2::-1], strict=False):
        if _folded(mine) != _folded(theirs):
            break
        count += 1
    return count, count == len(other) - 1


def _nearness(own: str, other: str) -> int:
    return (own == other) + (_folded(own) == _folded(other))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _stem(name: str) -> str:
    return _folded(Path(name).stem)
