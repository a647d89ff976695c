"""The files of a run, written whole after every improvement (SPEC 12)."""

from __future__ import annotations

import io
import json
import math
import platform
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

import slimai
from slimai.app.candidates.quantizer import QuantizedCandidate, Quantizer
from slimai.app.candidates.stored_reference import reference_text
from slimai.app.delivery.bounds import delivery_bounds
from slimai.app.delivery.dumps import remove_blobs
from slimai.app.delivery.export_check import ExportCheck, ExportFacts
from slimai.app.opening.job import Job
from slimai.artifacts.atomic import write_bytes, write_text, write_tree
from slimai.artifacts.journal import Journal
from slimai.codegen.generate import generate
from slimai.codegen.options import CodeOptions
from slimai.metrics.run_facts import KEY, facts_of
from slimai.quantizer.dot import write_dot_stages
from slimai.quantizer.profile import profile_text
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.rounding.result import LayerReport
from slimai.search.candidate import Candidate, Outcome, Variant, corrected_candidate, finite, ranked
from slimai.search.choice import Choice, choose
from slimai.search.loop import SearchState
from slimai.search.results import write_results
from slimai.simulator.integer_file import integer_file

if TYPE_CHECKING:
    from slimai.metrics.base import Result
    from slimai.search.evaluate import Validation


FOLDER = "dot_path"
RESULTS_EVERY_S = 1.0
ALL_PROFILES = 2  # output_debug from which every candidate's profile is kept


def correction_facts(outcomes: Sequence[Outcome], network: str, delivered: Outcome | None) -> dict[str, Any] | None:
    """Return what run.json tells of the empirical correction, or None when there was none."""
    corrected = next((item for item in outcomes if Variant.EMPIRICAL in item.candidate.variant), None)
    if corrected is None:
        return None
    before = next(
        item
        for item in outcomes
        if item is not corrected and corrected_candidate(item.candidate) == corrected.candidate
    )
    return {
        "profile": f"{corrected.candidate.profile(network)}.yaml",
        "accuracy_level": corrected.candidate.level,
        "score_before": before.score,
        "score": corrected.score,
        "delivered": delivered is not None and delivered.candidate == corrected.candidate,
    }


def write_network(job: Job) -> None:
    """Write the optimized float network."""
    from slimai.graph.save import to_onnx  # noqa: PLC0415 - spares onnx

    data = to_onnx(job.graph, batch="N" if job.graph.batchable else 1).SerializeToString(deterministic=True)
    write_bytes(job.config.path.output_dir / f"tvmgen_{job.config.network.name}_slimai_main_0.onnx", data)


class Delivery:
    """Writes results into the output folder. Only `finish` and `results` replace earlier ones."""

    def __init__(self, job: Job, quantizer: Quantizer, seconds: dict[str, float], float_result: Result | None) -> None:
        self.job = job
        self._quantizer = quantizer
        self.output = job.config.path.output_dir
        self.name = job.config.network.name
        self.float_result = float_result
        self.host_layers: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.hurts: tuple[Mapping[str, Any], ...] = ()
        self.suggested: tuple[str, ...] = ()
        self.report: Path | None = None
        self.export: ExportFacts | None = None
        self._seconds = seconds
        self._best: Outcome | None = None
        self._written_at = -math.inf
        self._written = Journal(self.output / ".slimai" / "profiles.jsonl")
        self._profiles = _earlier_profiles(self.output) | _journaled_profiles(self._written, self.output)

    def tell_hurts(self, rows: Sequence[Mapping[str, Any]], files: tuple[str, ...]) -> None:
        """Take what the analysis says of the layers that hurt, worst first, and the suggested files, for run.json."""
        self.hurts, self.suggested = tuple(rows), files

    def folder(self, candidate: Candidate) -> Path:
        """Return where the profile files of a candidate lie: ``acc<level>`` when there are several levels."""
        several = len(self.job.config.quantization.accuracy_level) > 1
        return self.output / f"acc{candidate.level}" if several else self.output

    def progress(self, state: SearchState) -> None:
        """Write the result files when the best has changed, or a second has passed: tables grow with the search."""
        delivered = self.choice(state).delivered
        before, now = (None if item is None else item.candidate for item in (self._best, delivered))
        if now != before or state.cut_short or time.monotonic() - self._written_at >= RESULTS_EVERY_S:
            self.results(state)

    def results(self, state: SearchState) -> None:
        """Write the result files; when the best has changed, its profile and model first."""
        choice = self.choice(state)
        best = choice.delivered
        if best is not None and (self._best is None or best.candidate != self._best.candidate):
            self._deliver_best(best.candidate)
            self._forget(self._best)
            self._best = best
        write_results(
            self.output,
            self.name,
            state.outcomes,
            choice,
            facts=self._facts(state),
            cut_short=state.cut_short,
            several_levels=len(self.job.config.quantization.accuracy_level) > 1,
        )
        self._written_at = time.monotonic()

    def choice(self, state: SearchState) -> Choice:
        """Return the winner and what is delivered under the user's bounds."""
        float_score = None if self.float_result is None else self.float_result.score
        return choose(state.outcomes, delivery_bounds(self.job.config), float_score)

    def _deliver_best(self, candidate: Candidate) -> None:
        item = self._quantizer(candidate)
        self.profile(item)
        if "gen_code" in self.job.config.stages:
            self.code(item)
        if self.job.config.quantization.mix is not False:
            self._dots(item)
        self.host_layers = tuple(layer.name for layer in item.plan.layers if layer.mode == "host")

    def _dots(self, item: QuantizedCandidate) -> None:
        write_dot_stages(self.output / FOLDER, self.job.graph, item.plan)

    def _forget(self, outcome: Outcome | None) -> None:
        """Remove the profile of a best that is one no longer, unless every profile is asked for."""
        if outcome is not None and self.job.config.metric.output_debug < ALL_PROFILES:
            _remove(self.profile_path(outcome.candidate), self.output)

    def profile_path(self, candidate: Candidate) -> Path:
        """Return the path of a candidate's profile."""
        return self.folder(candidate) / f"{candidate.profile(self.name)}.yaml"

    def profile(self, item: QuantizedCandidate) -> None:
        """Write the profile of a candidate."""
        path = self.profile_path(item.candidate)
        if path not in self._profiles:  # noted before it is written: a run that is killed here leaves no orphan
            self._written.append({"profile": path.relative_to(self.output).as_posix()})
            self._profiles.add(path)
        write_text(path, profile_text(item.plan, item.stats))

    @property
    def model_path(self) -> Path:
        """The path of the deployable model."""
        return self.output / f"{self.name}_quant.onnx"

    def code(self, item: QuantizedCandidate) -> None:
        """Write the deployable model: QDQ ONNX and the integer tables."""
        write_bytes(self.model_path, to_qdq(item.plan).SerializeToString(deterministic=True))
        file = io.BytesIO()
        arrays: dict[str, Any] = integer_file(item.program, self.job.config.target)
        np.savez(file, **arrays)
        write_bytes(self.output / f"{self.name}_quant.npz", file.getvalue())
        item.release()

    def c_code(self, item: QuantizedCandidate) -> None:
        """Write the folder of portable C, with test vectors of the first validation images, or steps of a sequence."""
        config = self.job.config
        options = CodeOptions.of(config.codegen, self.name)
        count = config.codegen.test_vectors
        samples: list[Mapping[str, Any]] = [self.job.preprocess(sample)[1] for sample in self.job.validation[:count]]
        if self.job.graph.sequences:
            samples = [ready for ready, _ in islice(item.program.each_step(samples[0]), count)]
        write_tree(self.output / f"{self.name}_c", generate(item.program, config.target, options, samples))
        item.release()

    def checked_model(self, item: QuantizedCandidate, validation: Validation) -> None:
        """Run the deployable model at ONNX Runtime's levels; write it otherwise, or remove it, where one changes it."""
        check = ExportCheck(item.plan, validation, self.job.metric)
        written = self.model_path.read_bytes()
        model, self.export = check.checked(written)
        if model is None:
            self.model_path.unlink()
        elif model != written:
            write_bytes(self.model_path, model)

    def finish(self, state: SearchState, validation: Validation) -> None:
        """Write the last state and remove the profiles that do not belong to it, of this run or an earlier one.

        The model that it ends with is checked on validation images.
        """
        self.results(state)
        if self._best is None:
            return
        if "gen_code" in self.job.config.stages:
            item = self._quantizer(self._best.candidate)
            self.checked_model(item, validation)
            self.results(state)
            if self.job.config.codegen.language == "c":
                self.c_code(item)
        kept = [self._best.candidate]
        if self.job.config.metric.output_debug >= ALL_PROFILES:
            kept = [item.candidate for item in state.outcomes]
            for candidate in kept:
                self.profile(self._quantizer(candidate))
        for path in self._profiles - {self.profile_path(candidate) for candidate in kept}:
            remove_blobs(path.with_suffix(""))
            _remove(path, self.output)

    def timings(self) -> None:
        """Write what may differ between equal runs: seconds, host, time."""
        document = {
            "seconds": self._seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "python": platform.python_version(),
        }
        write_text(self.output / "timings.json", json.dumps(document, indent=1) + "\n")

    def _rounding_facts(self, state: SearchState) -> dict[str, Any] | None:
        """Return what run.json tells of the compensated candidate: the one delivered, else the best; None without."""
        delivered = self.choice(state).delivered
        rounded = [item for item in ranked(state.outcomes) if Variant.COMPENSATED in item.candidate.variant]
        if not rounded:
            return None
        shown = delivered if delivered in rounded else rounded[0]
        return {
            "profile": f"{shown.candidate.profile(self.name)}.yaml",
            "accuracy_level": shown.candidate.level,
            "delivered": shown == delivered,
            "layers": rounding_facts(self._quantizer.rounding(shown.candidate).reports),
        }

    def _output_shape(self, name: str) -> list[int]:
        """Return the shape that a metric gets of one sample, the model's own where that is no sequence."""
        return list(self.job.graph.shape(name) if self.job.steps is None else self.job.sample_shape(name))

    def _facts(self, state: SearchState) -> Mapping[str, Any]:
        config, result = self.job.config, self.float_result
        return {
            "slimai": slimai.__version__,
            "network": self.name,
            "config": config.key(),
            "metric": self.job.metric.name,
            "arithmetic": config.target.arithmetic,
            "target": config.target.name,
            "target_settings": config.target.model_dump(mode="json"),
            "images": {"calibration": len(self.job.calibration), "validation": len(self.job.validation)},
            "float": None
            if result is None
            else {
                "value": finite(result.value),
                "score": finite(result.score),
                "values": {name: finite(value) for name, value in result.values.items()},
            },
            "reference": reference_name(self.job),
            "host_layers": list(self.host_layers),
            "warnings": list(self.warnings),
            "what_hurts": list(self.hurts),
            "suggested": list(self.suggested),
            "empirical_bias_correction": correction_facts(state.outcomes, self.name, self.choice(state).delivered),
            "weight_rounding": self._rounding_facts(state),
            "exported_model": None if self.export is None else self.export.to_json(),
            **({} if state.guarantee is None else {"search": state.guarantee.to_json()}),
            KEY: facts_of(
                config.path.image_dir,
                config.network.network_class,
                config.metric.model_dump(mode="json"),
                self.job.preprocess.inputs,
            ),
            "outputs": [{"name": name, "shape": self._output_shape(name)} for name in self.job.outputs],
        }


def rounding_facts(reports: Sequence[LayerReport]) -> list[dict[str, Any]]:
    """Return what run.json tells of each weighted layer, in order: errors on held-out images, and what was decided."""
    return [{**asdict(report), "kept": report.kept, "gain": report.gain} for report in reports]


def reference_name(job: Job) -> str:
    """Return what ``float`` in run.json is the score of."""
    if job.stored is None:
        return "float32"

    return reference_text(job)


def _remove(profile: Path, output: Path) -> None:
    """Remove a profile, and its level's folder when nothing else is in it."""
    profile.unlink(missing_ok=True)
    folder = profile.parent
    if folder != output and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _journaled_profiles(written: Journal, output: Path) -> set[Path]:
    """Return the profiles that runs of this folder have written, finished or not."""
    parts = [PurePosixPath(str(entry.get("profile"))).parts for entry in written.entries()]
    return {output.joinpath(*part) for part in parts if len(part) <= 2 and ".." not in part and "/" not in part}


def _earlier_profiles(output: Path) -> set[Path]:
    """Return the profile files that an earlier run of this folder lists."""
    try:
        earlier = json.loads((output / "run.json").read_text(encoding="utf-8"))
        rows = [(str(row["profile"]), int(row["accuracy_level"])) for row in earlier["candidates"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    plain = [(Path(profile).name, level) for profile, level in rows]
    return {output / name for name, _ in plain} | {output / f"acc{level}" / name for name, level in plain}
