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
from slimai.report.decibels import decibel

if TYPE_CHECKING:
    from slimai.calibration.histogram import Histogram
    from slimai.calibration.statistics import Statistics
    from slimai.quantizer.plan import Layer, QuantPlan
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


def layer_table(rows: Iterable[LayerRow], alone: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the rows as mappings, numbers rounded to what a reader can use.

    alone: noise over signal of the outputs by the tensor that alone is rounded; `alone_sqnr` is None for others.
    """
    return [
        {
            **{key: _rounded(value) for key, value in asdict(row).items()},
            "alone_sqnr": _rounded(decibel(alone[row.tensor])) if row.tensor in alone else None,
        }
        for row in rows
    ]


def suspect_table(suspects: Sequence[Suspect], pastes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the ranking as mappings; pastes: of each the line for a rules or adjust file."""
    return [
        {
            "node": item.row.profile,
            "layer": item.row.layer,
            "cause": item.cause,
            "remedy": item.remedy,
            "gain": _rounded(item.gain),
            "alone_sqnr": None if item.alone is None else _rounded(decibel(item.alone)),
            "score_loss": _rounded(item.loss),
            "paste": paste,
        }
        for item, paste in zip(suspects, pastes, strict=True)
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


def network_table(plan: QuantPlan) -> list[dict[str, Any]]:
    """Return the layers of a plan in order: name, operator, profile name of what it writes, bits, layers that it reads.

    bits: 0 of layers on the host. reads: places in this list; network inputs are left out.
    """
    places = {name: at for at, layer in enumerate(plan.layers) for name in layer.outputs}
    return [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "node": plan.profile_names.get(layer.outputs[0], layer.outputs[0]),
            "tensor": layer.outputs[0],
            "bits": _bits(plan, layer),
            "reads": sorted({places[name] for name in layer.inputs if name in places}),
        }
        for layer in plan.layers
    ]


def _bits(plan: QuantPlan, layer: Layer) -> int:
    written = [plan.tensors[name].dtype.bits for name in layer.outputs if name in plan.tensors]
    return max(written, default=0) if layer.mode == "integer" else 0


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
