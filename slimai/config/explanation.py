"""Every key of a job: its value, the place that set it, what that place overrode, and what the key means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimai.config.compose import hydra_ready
from slimai.config.composed import Composed
from slimai.config.diagnose import Verdict, description, model_at
from slimai.config.origins import Place, Setting, settings_of
from slimai.schema.root import SlimaiConfig

DEFAULT = Place()  # neither file nor override


@dataclass(frozen=True)
class Lost:
    """A value that did not count, as written, and its place (`DEFAULT`: the schema's)."""

    value: Any
    place: Place


@dataclass(frozen=True)
class Explained:
    """One key. value: what counts, after validation. place: what set it. lost: what it overrode, the last first.

    default: the schema's own value; given: whether there is one (a required key has none). changed: whether the value
    differs from it.
    """

    key: str
    value: Any
    place: Place
    lost: tuple[Lost, ...]
    default: Any
    given: bool
    description: str

    @property
    def changed(self) -> bool:
        """Whether the value is another than the default."""
        return not self.given or self.value != self.default


def explain(composed: Composed, verdict: Verdict) -> list[Explained]:
    """Return the keys of a job in the schema's order.

    Of a configuration that is wrong these are the values as composed, and what is right of the rest.
    """
    with hydra_ready():
        settings = list(settings_of(composed))
    values = _dumped(verdict.config) if verdict.config else _over(verdict.sound, composed.values)
    rows = []
    for loc, value in _leaves(values, (), values):
        key = ".".join(loc)
        if key == "config_file" or key in composed.values.get("hydra", {}):
            continue
        history = [item for item in settings if _sets(item, key)]
        given, default = _default(loc, composed.values)
        rows.append(_row(key, value, history, given=given, default=default, text=_meaning(loc, composed.values)))
    return rows


def _dumped(config: SlimaiConfig) -> dict[str, Any]:
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values


def _over(sound: SlimaiConfig | None, composed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the composed values over the defaults that stand in for what is not set."""

    def merged(low: Any, high: Any) -> Any:
        if not (isinstance(low, Mapping) and isinstance(high, Mapping)):
            return high
        return {name: merged(low.get(name), high[name]) if name in high else low[name] for name in {**low, **high}}

    below = {} if sound is None else _dumped(sound)
    values: dict[str, Any] = merged(below, composed)
    return values


def _leaves(
    values: Mapping[str, Any], above: tuple[str, ...], root: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each key that is no section; an empty mapping is a value."""
    for name, value in values.items():
        loc = (*above, str(name))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, loc, root)
        else:
            yield loc, value


def _sets(item: Setting, key: str) -> bool:
    return not item.section and (item.key == key or (item.whole and key.startswith(item.key + ".")))


def _default(loc: Sequence[str], values: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether the key has a default, and it, as it is written in JSON."""
    model = model_at(loc[:-1], values)
    fields = {} if model is None else {info.alias or name: (name, info) for name, info in model.model_fields.items()}
    if model is None or loc[-1] not in fields:
        return False, None
    name, info = fields[loc[-1]]
    if info.is_required():
        return False, None
    blank = model.model_construct()
    return True, blank.model_dump(mode="json", by_alias=True, include={name}, warnings=False)[loc[-1]]


def _meaning(loc: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the description of a key; of a name of the user's own, that of what it is in."""
    found = (description(loc[:depth], values) for depth in range(len(loc), 0, -1))
    return next((text for text in found if text), "")


def _inside(item: Setting, key: str) -> Any:
    """Return the value that a setting of `key`, of a mapping above it, or of its section in one word, gives the key."""
    value = item.value
    if not isinstance(value, Mapping):
        return value
    for part in key[len(item.key) + 1 :].split(".") if key != item.key else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _row(key: str, value: Any, history: Sequence[Setting], *, given: bool, default: Any, text: str) -> Explained:
    counting = [item for item in history if not item.removed and (item.key == key or _inside(item, key) is not None)]
    last = history[-1] if history else None
    sets = last is not None and last in counting
    earlier = counting[:-1] if sets else counting
    lost = [Lost(_inside(item, key), item.place) for item in reversed(earlier)]
    if sets and given:
        lost.append(Lost(default, DEFAULT))
    place = last.place if last is not None and (sets or last.removed) else DEFAULT
    return Explained(key, value, place, tuple(lost), default, given, text)
