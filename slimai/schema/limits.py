"""The values of `quantization.limits`: ways to find the limits of activations, all tried from one calibration pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from slimai.schema.base import wrong
from slimai.schema.percent import PercentileRange, percent_text
from slimai.schema.values import distinct, listed
from slimai.suggest import did_you_mean

METHODS = ("ImprovedMSE", "ImprovedKL", "MeanExtrema")
AUTO = ("range 100", "percentile 99.99", "percentile 99.9", "ImprovedMSE", "MeanExtrema")
FORM = "write 'range R', 'percentile P' (in percent), ImprovedMSE, ImprovedKL, MeanExtrema or auto"


@dataclass(frozen=True)
class LimitsEntry:
    """One way to find limits: `range` and `percentile` have a percentage, a calibration method has none."""

    kind: Literal["range", "percentile", "ImprovedMSE", "ImprovedKL", "MeanExtrema"]
    percent: Decimal | None = None

    @property
    def method(self) -> str | None:
        """The calibration method, or None for a range or a percentile."""
        return self.kind if self.percent is None else None

    def __str__(self) -> str:
        """Return the spelling that parses back to the same entry."""
        return self.kind if self.percent is None else f"{self.kind} {percent_text(self.percent)}"


def parse_limits(value: Any) -> tuple[LimitsEntry, ...] | None:
    """Return the entries of a list, of a string with commas or of one entry, `auto` in its long form; None of None.

    Raises:
        PydanticCustomError: an entry is none of the known forms, or the same as another.
    """
    if value is None:
        return None
    return distinct("limits")(tuple(entry for item in listed(value) for entry in _entries(item)))


def _entries(item: Any) -> Iterator[LimitsEntry]:
    if isinstance(item, LimitsEntry):
        yield item
    elif not isinstance(item, str):
        raise wrong("An entry of limits is a text", FORM)
    elif item.strip() == "auto":
        yield from map(_entry, AUTO)
    else:
        yield _entry(item)


def _entry(text: str) -> LimitsEntry:
    words = text.split()
    if len(words) == 1 and words[0] in METHODS:
        return LimitsEntry(words[0])  # type: ignore[arg-type]
    if len(words) == 2 and words[0] in ("range", "percentile"):
        found = PercentileRange.parse(words[1])
        if found.lo != found.hi:
            raise wrong(f"'{text}' is a sweep: an entry of limits has one percentage", "write an entry for each value")
        return LimitsEntry(words[0], found.lo)  # type: ignore[arg-type]
    known, first = (*METHODS, "range", "percentile", "auto"), words[0] if words else ""
    near = "" if first in known else did_you_mean(first, known)
    raise wrong(f"'{text}' is no way to find limits", "; ".join(filter(None, (near, FORM))))


def _written(value: tuple[LimitsEntry, ...] | None) -> list[str] | None:
    return None if value is None else [str(entry) for entry in value]


_ITEM = {
    "anyOf": [
        {"type": "string", "enum": [*METHODS, "auto"]},
        {"type": "string", "pattern": r"^\s*(range|percentile)\s+[0-9.]+\s*$"},
    ]
}
_SCHEMA = {"anyOf": [*_ITEM["anyOf"], {"type": "array", "items": _ITEM, "minItems": 1}, {"type": "null"}]}
LimitsEntries = Annotated[
    tuple[LimitsEntry, ...] | None,
    PlainValidator(parse_limits),
    PlainSerializer(_written),
    WithJsonSchema(_SCHEMA),
]
