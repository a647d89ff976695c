"""How the legacy cfg says where the limits of activations come from: `range`, or `histogram_bins` and `calibration`."""

from __future__ import annotations

from dataclasses import dataclass

from slimai.errors import Diagnostic
from slimai.number_text import shortest
from slimai.schema.percent import percent_text
from slimai.schema.quantization import QuantizationSection

STAND_IN = "ImprovedMSE"  # for MeanExtrema, which the vendor's tools do not have
_CURE = "give --from RUN_DIR: what the run found best"


@dataclass(frozen=True)
class Tuned:
    """What a run found best: one level, and one percentage or one calibration method.

    central: the percentage is the central part of a histogram's mass, not a share of the limits.
    """

    accuracy_level: int
    range: str | None = None
    calibration: str | None = None
    central: bool = False


@dataclass(frozen=True)
class LimitWords:
    """Texts of the three keys, None where one is not written; problems: what cannot be said, or is said otherwise."""

    range: str | None
    histogram_bins: str | None
    calibration: str | None
    problems: tuple[Diagnostic, ...] = ()


def limit_words(section: QuantizationSection, tuned: Tuned | None) -> LimitWords:
    """Return the words for what a run found best, or else for the configuration."""
    given = _asked(section) if tuned is None else _found(section, tuned)
    calibration = given.calibration
    replaced: tuple[Diagnostic, ...] = ()
    if calibration is not None and "MeanExtrema" in calibration.split(","):
        methods = (STAND_IN if name == "MeanExtrema" else name for name in calibration.split(","))
        calibration = ",".join(dict.fromkeys(methods))
        message = f"MeanExtrema is not known to the vendor's compiler, {STAND_IN} is written in its place"
        replaced = (Diagnostic(message, key="quantization.calibration", severity="warning"),)
    return LimitWords(given.range, given.histogram_bins, calibration, (*given.problems, *replaced))


def _found(section: QuantizationSection, tuned: Tuned) -> LimitWords:
    if tuned.central and tuned.range is not None:
        return _no_percentile(tuned.range)
    bins = section.histogram_bins if section.limits is None else None
    if tuned.range is not None:
        return LimitWords(f"{tuned.range}:{tuned.range}", None if bins is None else str(bins), tuned.calibration)
    known = section.bins if section.limits is not None and tuned.calibration else bins
    return LimitWords(None, None if known is None else str(known), tuned.calibration)


def _asked(section: QuantizationSection) -> LimitWords:
    if section.limits is None:
        methods = section.calibration != type(section).model_fields["calibration"].default
        bins = section.histogram_bins
        span = str(section.range) if section.range.lo != section.range.hi else f"{section.range}:{section.range}"
        return LimitWords(
            None if section.single_shot else span,
            None if bins is None else str(bins),
            ",".join(section.calibration) if methods else None,
        )
    if len(section.limits) > 1:
        message = "a cfg has one kind of limits, and these are several"
        shown = [str(entry) for entry in section.limits]
        return LimitWords(
            None, None, None, (Diagnostic(message, key="quantization.limits", value=shown, suggestion=_CURE),)
        )
    entry = section.limits[0]
    if entry.percent is None:
        return LimitWords(None, str(section.bins), entry.method)
    text = percent_text(entry.percent)
    return _no_percentile(text) if entry.kind == "percentile" else LimitWords(f"{text}:{text}", None, None)


def _no_percentile(text: str) -> LimitWords:
    message = "cannot be said in a cfg: the range there is a share of the limits, not a part of the values"
    cure = "export a range or ImprovedMSE: run again with such entries of limits alone"
    problem = Diagnostic(message, key="quantization.limits", value=f"percentile {text}", suggestion=cure)
    return LimitWords(None, None, None, (problem,))


def percent_of(value: float | str) -> str:
    """Return the percentage of a ``run.json`` as text."""
    return value if isinstance(value, str) else shortest(float(value))
