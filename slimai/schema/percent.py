"""The `range` value: ``"lo:hi:step"`` in percent, stop included, in decimal arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from slimai.schema.base import wrong

MOST_VALUES = 1000
FORM = 'write "lo:hi:step", "lo:hi" or one number, in percent, quoted'


@dataclass(frozen=True)
class PercentileRange:
    """Percentages lo, lo + step, ... up to and including hi (when it falls on the grid); 0 < lo <= hi <= 100."""

    lo: Decimal
    hi: Decimal
    step: Decimal = Decimal(1)

    def values(self) -> tuple[Decimal, ...]:
        """Return every percentage, ascending, exact."""
        count = int((self.hi - self.lo) / self.step)
        return tuple(_plain(self.lo + self.step * index) for index in range(count + 1))

    def __str__(self) -> str:
        """Return the shortest spelling that parses back to the same values."""
        if self.lo == self.hi:
            return percent_text(self.lo)
        parts = [self.lo, self.hi] if self.step == 1 else [self.lo, self.hi, self.step]
        return ":".join(map(percent_text, parts))

    @classmethod
    def parse(cls, value: Any) -> PercentileRange:
        """Return the range of a string, a number, or a range.

        Raises:
            PydanticCustomError: the form, the bounds or the number of values is wrong.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise wrong("Input should be a range of percentages", FORM)
        if isinstance(value, int | float) and 100 < value < math.inf:
            raise wrong(f"A percentage is at most 100; {base60_message(value)}", FORM)
        return cls._bounded([_number(part) for part in _parts(value)])

    @classmethod
    def _bounded(cls, numbers: list[Decimal]) -> PercentileRange:
        lo, hi = numbers[0], numbers[min(1, len(numbers) - 1)]
        step = numbers[2] if len(numbers) == 3 else Decimal(1)
        if not 0 < lo <= 100 or not 0 < hi <= 100:
            raise wrong("Percentages should be above 0 and at most 100", FORM)
        if lo > hi:
            raise wrong(f"The first percentage {percent_text(lo)} is above the last {percent_text(hi)}", "swap them")
        if step <= 0:
            raise wrong("The step should be above 0", FORM)
        if (hi - lo) / step >= MOST_VALUES:
            raise wrong(f"The range has more than {MOST_VALUES} values", "take a larger step")
        return cls(_plain(lo), _plain(hi), _plain(step) if lo < hi else Decimal(1))


def percent_text(value: Decimal) -> str:
    """Return a percentage without needless zeros and without an exponent: ``96``, ``99.5``."""
    return format(_plain(value), "f")


def base60_message(value: float) -> str:
    """Return the explanation of a number that YAML 1.1 made of an unquoted ``a:b:c``."""
    if not 60 <= value < float("inf") or value != int(value):
        return "a plain number is not enough"
    return f"an unquoted {_base60(value)} is a base-60 number in YAML 1.1, quote it"


def _base60(value: float) -> str:
    rest, digits = int(value), []
    while rest:
        rest, digit = divmod(rest, 60)
        digits.append(str(digit))
    return ":".join(reversed(digits))


def _parts(value: float | Decimal | str) -> list[str]:
    parts = str(value).strip().split(":")
    if len(parts) > 3:
        raise wrong("A range has at most three parts", FORM)
    return [part.strip() for part in parts]


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise wrong(f"'{text}' is not a number", FORM) from None
    if not number.is_finite() or len(number.as_tuple().digits) > 18 or abs(number.adjusted()) > 18:
        raise wrong(f"'{text}' is not a percentage", FORM)
    return number


def _plain(value: Decimal) -> Decimal:
    """Return the value in one spelling (1E+2 and 100.0 become 100)."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*[0-9.]+\s*(:\s*[0-9.]+\s*){0,2}$"},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    ]
}
PercentRange = Annotated[
    PercentileRange, PlainValidator(PercentileRange.parse), PlainSerializer(str), WithJsonSchema(_SCHEMA)
]
