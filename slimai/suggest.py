"""The known name that a wrong one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

FAR = 0.4  # where several are shown to choose from
NEAR = 0.6  # share of letters in common, of closed lists of choices
VERY_NEAR = 0.8  # where any other name is legal too, as that of a plug-in: `my_metric` is not meant to be `NoMetric`


def alike(name: str, known: Iterable[str], count: int, cutoff: float = NEAR) -> list[str]:
    """Return at most `count` names of `known` that are most like `name`, case aside, the best first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is misspelt

    spelled: dict[str, str] = {}
    for item in known:
        spelled.setdefault(item.lower(), item)
    return [spelled[item] for item in get_close_matches(name.lower(), list(spelled), count, cutoff)]


def nearest(name: str, known: Iterable[str], cutoff: float = NEAR) -> str | None:
    """Return the name of `known` that is most like `name`, case aside; None when none is like it."""
    return next(iter(alike(name, known, 1, cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = NEAR) -> str:
    """Return ``did you mean 'x'?`` for a near miss, or an empty string."""
    near = nearest(name, known, cutoff)
    return f"did you mean '{near}'?" if near is not None else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or the list of choices when none is near; to end a message with."""
    names = list(known)
    return "; " + (did_you_mean(name, names) or "one of " + ", ".join(sorted(names)))
