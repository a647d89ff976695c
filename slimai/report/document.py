"""What the page needs beside run.json, as one JSON file in the state folder of a run, so that it can be built again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.artifacts.atomic import write_text
from slimai.errors import InputError

if TYPE_CHECKING:
    from slimai.calibration.histogram import Histogram
    from slimai.calibration.statistics import Statistics
    from slimai.report.analysis import LayerRow
    from slimai.report.pictures import Pair
    from slimai.report.probes import Probe
    from slimai.report.ranking import Suspect
    from slimai.simulator.cost import Estimate

FORMAT = 1
PLACE = Path(".slimai") / "report.json"
BINS = 96
Document = dict[str, Any]
_KEYS = (
    "format",
    "config",
    "environment",
    "arithmetics",
    "layers",
    "suspects",
    "probes",
    "histograms",
    "cost",
    "pictures",
    "notes",
)


def layer_table(rows: Iterable[LayerRow]) -> list[dict[str, Any]]:
    """Return the rows as mappings, numbers rounded to what a reader can use."""
    return [{key: _rounded(value) for key, value in asdict(row).items()} for row in rows]


def suspect_table(suspects: Iterable[Suspect]) -> list[dict[str, Any]]:
    """Return the ranking as mappings."""
    return [
        {"layer": item.row.layer, "cause": item.cause, "remedy": item.remedy, "gain": _rounded(item.gain)}
        for item in suspects
    ]


def probe_table(probes: Iterable[Probe]) -> list[dict[str, Any]]:
    """Return the probes as mappings."""
    return [{key: _rounded(value) for key, value in asdict(probe).items()} for probe in probes]


def histograms(stats: Statistics, tensors: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the histograms of these tensors in at most 96 bins; counts are exact."""
    return {name: histogram(stats[name].histogram) for name in tensors if name in stats}


def histogram(data: Histogram) -> dict[str, Any]:
    """Return bins of width 2^exponent from `first` * 2^exponent on, merged until at most 96 are left."""
    while data.counts.size > BINS:
        data = data.coarsened(data.exponent + 1)
    return {
        "first": data.first,
        "exponent": data.exponent,
        "counts": [int(count) for count in data.counts],
        "minimum": data.minimum,
        "maximum": data.maximum,
    }


def cost_table(cost: Estimate) -> dict[str, Any]:
    """Return the cycle estimate: total, milliseconds, by pair of types, by layer."""
    return {
        "cycles": round(cost.cycles),
        "milliseconds": _rounded(cost.milliseconds),
        "frequency_mhz": cost.frequency_mhz,
        "pairs": {pair: round(cycles) for pair, cycles in cost.by_pair().items()},
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "pair": layer.pair,
                "macs": layer.macs,
                "moved": layer.moved,
                "compute": round(layer.compute),
                "memory": round(layer.memory),
                "cycles": round(layer.cycles),
            }
            for layer in cost.layers
        ],
    }


def picture_table(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return the pictures as mappings."""
    return [asdict(pair) for pair in pairs]


def _rounded(value: Any) -> Any:
    """Return floats with six significant digits; what is not finite becomes None."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def save(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the document into the state folder of the run in `folder`."""
    text = json.dumps({"format": FORMAT, **document}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_text(folder / PLACE, text + "\n")


def load(folder: Path) -> Document:
    """Return what `save` wrote.

    Raises:
        InputError: the file is not there or is something else.
    """
    path = folder / PLACE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError.at(str(folder), "is no finished run: .slimai/report.json is not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError.at(str(path), f"cannot be read: {error}") from None
    missing = [key for key in _KEYS if not isinstance(document, dict) or key not in document]
    if missing or document["format"] != FORMAT:
        raise InputError.at(str(path), "is not of this version's format", cure="run the job again")
    found: Document = document
    return found


def saved_key(folder: Path) -> str | None:
    """Return the key that the document of the run in `folder` was saved with; None where there is no such document."""
    try:
        key = load(folder).get("key")
    except InputError:
        return None
    return key if isinstance(key, str) else None


def load_run(folder: Path) -> Document:
    """Return the run.json of the run in `folder`; raises InputError."""
    path = folder / "run.json"
    try:
        found: Document = json.loads(path.read_text(encoding="utf-8"))
        list(found["candidates"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError.at(str(path), f"is not the result of a run: {error}") from None
    return found
