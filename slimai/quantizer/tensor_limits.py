"""Limits of each tensor by itself, before groups of tensors share them: the candidate's setting, and head room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimai.calibration.limits import Limits, full_limits, mean_limits, range_limits
from slimai.calibration.solve import LOSS, Grid, solve
from slimai.calibration.statistics import Statistics
from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph
from slimai.quantizer.levels import LEVELS, Scheme
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.plan import Decision
from slimai.quantizer.recurrent import CELL_BITS

HEAD_ROOM = 2.0
"""By this, limits of 16-bit tensors are wider than calibration found: a bit of sixteen, for pictures that go further.

Chosen by measurement: docs/accuracy.md, "Head room at 16 bits".
"""


def tensor_grid(scheme: Scheme, bits: int, nonnegative: bool) -> Grid:
    """Return the integers that a tensor is quantized to, for the search of its limits."""
    own = LEVELS[4] if bits == CELL_BITS else scheme.at(bits)  # cells have 16 bits at every level
    kind = own.type_of(nonnegative=nonnegative)
    return Grid(kind.low, kind.high, free_zero=own.asymmetric)


def tensor_limits(
    graph: Graph, stats: Statistics, options: QuantOptions, grids: Mapping[str, Grid], fixed: frozenset[str], bits: int
) -> tuple[dict[str, Limits], list[Decision]]:
    """Return the limits of each tensor of `grids` at a width of `bits`, and what was decided about them.

    Network inputs keep their whole range unless a method finds the limits; fixed scales (`fixed`) have none to find.
    At 16 bits all but those are wider by HEAD_ROOM.

    Raises:
        InputError: calibration has not seen a tensor; all of them are named.
    """
    _refuse_unseen(stats, grids)
    found, notes = _chosen(graph, stats, options, grids, fixed)
    if bits > 8:
        found = {name: item if name in fixed else item.times(HEAD_ROOM) for name, item in found.items()}
    return found, notes


def _chosen(
    graph: Graph, stats: Statistics, options: QuantOptions, grids: Mapping[str, Grid], fixed: frozenset[str]
) -> tuple[dict[str, Limits], list[Decision]]:
    """Return the limits that range or method give."""
    if options.method is None:
        whole = {*graph.inputs, *fixed}
        percent = {name: 100.0 if name in whole else options.percent for name in grids}
        return {name: range_limits(stats[name], percent[name], options.range_mode) for name in grids}, []
    full = {name: full_limits(stats[name]) for name in grids if name in fixed}
    if options.method == "MeanExtrema":
        return {name: full.get(name) or mean_limits(stats[name]) for name in grids}, []
    histograms = {name: stats[name].histogram for name in grids}
    solved = solve(histograms, {name: grid for name, grid in grids.items() if name not in fixed}, options.method)
    notes = [
        Decision(name, "limits of ImprovedMSE", _ruined(item.replaced))
        for name, item in solved.items()
        if item.replaced is not None and name not in options.limits
    ]
    return {name: full[name] if name in fixed else solved[name].limits for name in grids}, notes


def _ruined(limits: Limits) -> str:
    return f"those of ImprovedKL, {limits.low:.4g} to {limits.high:.4g}, would cost it more than {LOSS:g} dB"


def _refuse_unseen(stats: Statistics, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in stats]
    if missing:
        cure = "calibrate this network anew"
        raise InputError(
            Diagnostic("calibration has not seen this tensor", key=name, suggestion=cure) for name in missing
        )
