"""What slimai delivers of a float network by default, for coverage.py; chosen apart from what is reported.

A job as the command line has it is opened on arrays: all aids, equalization and its check, and weight rounding are
those of a level's defaults. As a search does, the limits of a level are ranked with nearest weights, by the ratio over
samples of their own; then the best one's weights are compensated, and that is kept where its ratio over these samples
is not lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Feeds = Mapping[str, np.ndarray]
WITHOUT_ROUNDING = 4  # the level whose weights have 16 bits


@dataclass(frozen=True)
class Delivered:
    """The integer network of a level, and what was chosen: limits, and nearest or compensated weights."""

    plan: Any
    program: Any
    limits: str
    weights: str


def opened(model: Path, inputs: Sequence[str], samples: Mapping[str, Sequence[Feeds]], target: str, work: Path) -> Any:
    """Return the checked job of a float ONNX file; samples: calib and val -> feeds. Files are written to `work`."""
    from slimai.app.opening.open_job import prepare
    from slimai.config.target import load_target
    from slimai.schema.root import SlimaiConfig

    work.mkdir(parents=True, exist_ok=True)
    for kind, feeds in samples.items():
        (work / f"{kind}.txt").write_text(
            "".join(_written(kind, n, item, inputs, work) for n, item in enumerate(feeds))
        )
    settings = {
        "path": {"image_dir": ".", "input_dir": str(model.parent), "output_dir": "out", "tmp_dir": "tmp"},
        "network": {"name": model.stem, "input_model": model.name, "input_data_layout": "NonImage"},
        "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
        "quantization": {"limits": "auto"},  # the number of bins; which limits there are is said elsewhere
        "metric": {"metric_cls": "cosine"},
        "target": load_target([f"target={target}"]).values["target"],
    }
    return prepare(SlimaiConfig.model_validate(settings, context={"base": work}))


def _written(kind: str, number: int, feeds: Feeds, inputs: Sequence[str], work: Path) -> str:
    """Write the arrays of a sample; return its line of the list."""
    names = [f"{kind}_{number}_{place}.npy" for place in range(len(inputs))]
    for name, tensor in zip(names, inputs, strict=True):
        np.save(work / name, feeds[tensor])
    return f"{' '.join(names)}\n"


class Job:
    """A job with its calibrated networks and rounded weights, kept in `work`."""

    def __init__(self, job: Any, work: Path) -> None:
        from slimai.app.candidates.choose import quantizer_for
        from slimai.app.float_pass.shared import calibrate
        from slimai.app.float_pass.weight_rounding import WeightRounding
        from slimai.artifacts.cache import Cache
        from slimai.search.events import Silent

        cache = Cache(work / "cache")
        rounder = WeightRounding(job, cache, work / "scratch", Silent())
        self._target = job.config.target
        self._quantizer = quantizer_for(
            job, lambda graph, rewrites: calibrate(job, graph, cache, Silent(), rewrites=rewrites), rounder
        )

    def delivered(self, level: int, limits: Sequence[str], ratio: Any) -> Delivered:
        """Return what a level delivers. limits: as `quantization.limits` has them. ratio: of a program, in dB."""
        tried = [self.built(level, entry) for entry in limits]
        ratios = [ratio(item.program) for item in tried]
        best = int(np.argmax(ratios))
        if level == WITHOUT_ROUNDING:
            return tried[best]
        rounded = self.built(level, limits[best], compensated=True)
        return rounded if ratio(rounded.program) >= ratios[best] else tried[best]

    def built(self, level: int, limits: str, *, compensated: bool = False) -> Delivered:
        """Return the integer network of a level with one entry of `quantization.limits`."""
        from slimai.schema.limits import parse_limits
        from slimai.search.candidate import compensated_candidate
        from slimai.search.space import space_of_limits
        from slimai.simulator.program import compile_plan

        (candidate,) = space_of_limits([level], parse_limits(limits) or (), wider=False)
        chosen = compensated_candidate(candidate, own_limits=True) if compensated else candidate  # as a run delivers it
        plan = self._quantizer(chosen).plan
        weights = "compensated" if compensated else "nearest"
        return Delivered(plan, compile_plan(plan, self._target), limits, weights)
