"""A labelled network with its images in memory, its float outputs and its metric, for accuracy.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_summary import Score

ROOT = Path(__file__).resolve().parents[1]


def preset(name: str, work: Path, target: str = "") -> Any:
    """Return the validated configuration of a preset of conf/model, for a target of conf/target if one is named."""
    from omegaconf import OmegaConf

    from slimai.schema.root import SlimaiConfig

    data: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml"), resolve=True)
    data["path"]["output_dir"] = str(work / name)
    if target:
        data["target"] = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "target" / f"{target}.yaml"))
    if name == "kws_dscnn":
        from unpack_kws import unpack

        unpack(Path(os.environ["SLIMAI_SHARED"]) / "data" / "datasets" / "kws", work / "kws_arrays")
        data["path"]["image_dir"] = str(work / "kws_arrays")
    return SlimaiConfig.model_validate(data, context={"base": ROOT})


@dataclass
class Bench:
    """One network with its images in memory, its float outputs and its metric."""

    name: str
    job: Any
    calibration: list[dict[str, np.ndarray]]
    validation: list[tuple[Any, dict[str, np.ndarray]]]
    reference: list[dict[str, np.ndarray]] = field(default_factory=list)
    float_score: Score = field(init=False)

    @classmethod
    def load(
        cls, name: str, work: Path, images: int, calibration: int | None, *, apart: bool = False, target: str = ""
    ) -> Bench:
        """Return the network with at most so many images of each kind.

        0: all validation images; None: all calibration images. apart: validation images that are calibration images
        are left out.
        """
        from slimai.app.opening.open_job import prepare
        from slimai.data.loader import iter_batches
        from slimai.runtime.session import FloatSession

        job = prepare(preset(name, work, target))
        calib = [arrays for _, arrays in iter_batches(job.calibration[:calibration], job.preprocess, 1)]
        chosen = job.validation
        if apart:
            seen = {sample.files for sample in job.calibration[:calibration]}
            chosen = [sample for sample in chosen if sample.files not in seen]
        if 0 < images < len(chosen):  # from all over the list, which may be sorted by class
            chosen = [chosen[at * len(chosen) // images] for at in range(images)]
        val = [(samples[0], arrays) for samples, arrays in iter_batches(chosen, job.preprocess, 1)]
        bench = cls(name, job, calib, val)
        session = FloatSession(job.graph)
        bench.reference = [session.run(arrays) for _, arrays in val]
        bench.float_score = bench.score(bench.reference)
        return bench

    def score(self, outputs: Sequence[Mapping[str, np.ndarray]]) -> Score:
        """Return score, noise and the scores of the two halves (even and odd images) of float outputs by name."""
        job = self.job
        records = []
        for (sample, _), mine, truth in zip(self.validation, outputs, self.reference, strict=True):
            ours = [mine[name] for name in job.outputs]
            theirs = [truth[name] for name in job.outputs] if job.metric.uses_float else None
            records.append(job.metric.measure(sample, ours, theirs))
        halves = (self._combined(records[::2]), self._combined(records[1::2]))
        return Score(self._combined(records), self._noise(outputs), halves)

    def plan_score(self, plan: Any, threads: int = 1) -> Score:
        """Return the score of an integer network in the target's own arithmetic."""
        from slimai.simulator.program import compile_plan

        program = compile_plan(plan, self.job.config.target, arithmetic="native", threads=threads)
        return self.score([program.dequantize(program.run(arrays)) for _, arrays in self.validation])

    def _combined(self, records: Sequence[Any]) -> float:
        result = self.job.metric.combine(records)
        return float(result.score if result.score is not None else result.value)

    def _noise(self, outputs: Sequence[Mapping[str, np.ndarray]]) -> float:
        """Return the signal-to-quantization-noise ratio of all outputs in dB, the mean over images and outputs."""
        ratios = []
        for mine, truth in zip(outputs, self.reference, strict=True):
            for name, value in truth.items():
                power, error = np.square(value, dtype=float).sum(), np.square(mine[name] - value, dtype=float).sum()
                ratios.append(10 * np.log10((power + 1e-30) / (error + 1e-30)))
        return float(np.mean(ratios))
