"""What weight rounding found for each layer, as values and as a file."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.artifacts.atomic import write_bytes
from slimai.quantizer.params import INT_TYPES
from slimai.quantizer.plan import QWeight


@dataclass(frozen=True)
class LayerReport:
    """What the held-out images say of one layer, before the refit on all: mean squared errors of its output.

    node: name in the float network. why: why the layer stays at nearest; empty where its rounding is kept.
    samples: rows of the fit, over all images. The errors are None where nothing was fitted.
    """

    node: str
    why: str = ""
    samples: int = 0
    inputs: int = 0
    nearest_error: float | None = None
    rounded_error: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the layer has rounded weights."""
        return not self.why

    @property
    def gain(self) -> float | None:
        """By how many dB the error falls; None where nothing was fitted or an error is 0."""
        if not self.nearest_error or not self.rounded_error:
            return None
        return round(10 * math.log10(self.nearest_error / self.rounded_error), 3)


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """A layer's integers at a scale, [1] or [O] as in `QWeight`, and the real bias [O] that goes with them."""

    weight: QWeight
    bias: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rounding:
    """Node name -> rounded layer, for the layers that keep it, and a report of every weighted layer in order."""

    layers: Mapping[str, RoundedLayer] = field(default_factory=dict)
    reports: tuple[LayerReport, ...] = ()

    def save(self, path: Path) -> None:
        """Write everything to an ``.npz`` file, atomically; equal roundings give equal bytes."""
        arrays: dict[str, Any] = {}
        facts: list[dict[str, Any]] = []
        for index, report in enumerate(self.reports):
            layer = self.layers.get(report.node)
            grid = None if layer is None else {"dtype": layer.weight.dtype.name, "axis": layer.weight.axis}
            facts.append({"report": asdict(report), "grid": grid})
            if layer is not None:
                arrays |= {f"{index}_{name}": getattr(layer.weight, name) for name in ("values", "scale")}
                arrays[f"{index}_bias"] = layer.bias
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, **arrays)
        write_bytes(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> Rounding:
        """Return what `save` has written.

        Raises:
            ValueError, OSError, KeyError: the file is damaged.
        """
        try:
            with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
                stored = {name: file[name] for name in file.files}
        except (EOFError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from error
        layers, reports = {}, []
        for index, fact in enumerate(json.loads(stored["facts"].tobytes())):
            report, grid = LayerReport(**fact["report"]), fact["grid"]
            reports.append(report)
            if grid is not None:
                values, scale, bias = (stored[f"{index}_{name}"] for name in ("values", "scale", "bias"))
                weight = QWeight(values, INT_TYPES[grid["dtype"]], scale, grid["axis"])
                layers[report.node] = RoundedLayer(weight, bias)
        return cls(layers, tuple(reports))
