"""Scores of the labelled networks: float, levels 0..4, accuracy aids, and peers on the same images.

Usage: SLIMAI_SHARED=../shared python benchmarks/accuracy.py [--networks a,b] [--levels 0,1,2,3,4]
       [--images N] [--calibration N] [--aids default,none,fold+eq+act+bc,...] [--peers MinMax,Percentile,Entropy]
       [--json out.json] [--from a.json b.json ...]

The networks and pictures are those of conf/model that need SLIMAI_SHARED. Each row gives scores and signal-to-noise
ratios, and at the end comes the mean over networks of score / float score, `ort best` and `default best` taking the
best method of each network at level 3. Aids: default = those of slimai.quantizer.aids by level, fold constant
channels, eq weights, act = eq with activations, clamp = eq through clamps (on a target that has one a channel), bc =
analytic bias correction, emp = empirical, clip = clipped weights, absorb = biases absorbed (absorb3s: mean - 3 sigma
of a channel instead of its smallest value). default+absorb, default+clamp add one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = (
    "kws_dscnn",
    "resnet20_cifar10",
    "mobilenet_v1_imagenet",
    "mobilenetv2_yolov3_nano_voc",
    "ultraface_ssd",
    "faceboxes_ssd",
    "yolo_fastest_coco",
    "yolox_nano_coco",
    "espnet_camvid",
    "portrait_segmentation",
    "fsrcnn_x2",
)


STRIDE = 8  # calibration images whose activations ONNX Runtime holds at once


def preset(name: str, work: Path) -> Any:
    """Return the validated configuration of a preset of conf/model."""
    from omegaconf import OmegaConf

    from slimai.schema.root import SlimaiConfig

    data: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml"), resolve=True)
    data["path"]["output_dir"] = str(work / name)
    if name == "kws_dscnn":
        from unpack_kws import unpack

        unpack(Path(os.environ["SLIMAI_SHARED"]) / "data" / "datasets" / "kws", work / "kws_arrays")
        data["path"]["image_dir"] = str(work / "kws_arrays")
    return SlimaiConfig.model_validate(data, context={"base": ROOT})


class Score(NamedTuple):
    """Score of the metric, and signal-to-quantization-noise ratio of the outputs in dB."""

    score: float
    sqnr: float


@dataclass
class Bench:
    """One network with its images in memory, its float outputs and its metric."""

    name: str
    job: Any
    calibration: list[dict[str, np.ndarray]]
    validation: list[tuple[Any, dict[str, np.ndarray]]]
    reference: list[dict[str, np.ndarray]] = field(default_factory=list)
    float_score: float = 0.0

    @classmethod
    def load(cls, name: str, work: Path, images: int, calibration: int) -> Bench:
        """Return the network with at most so many images of each kind."""
        from slimai.app.prepare import prepare
        from slimai.data.loader import iter_batches
        from slimai.runtime.session import FloatSession

        config = preset(name, work)
        job = prepare(config)
        calib = [arrays for _, arrays in iter_batches(job.calibration[:calibration], job.preprocess, 1)]
        step = max(1, len(job.validation) // images)
        chosen = job.validation[::step][:images] if images else job.validation
        val = [(samples[0], arrays) for samples, arrays in iter_batches(chosen, job.preprocess, 1)]
        bench = cls(name, job, calib, val)
        session = FloatSession(job.graph)
        bench.reference = [session.run(arrays) for _, arrays in val]
        bench.float_score = bench.measure(bench.reference)
        return bench

    def measure(self, outputs: Sequence[Mapping[str, np.ndarray]]) -> float:
        """Return the metric's score of float outputs by name, one mapping an image."""
        job = self.job
        records = []
        for (sample, _), mine, truth in zip(self.validation, outputs, self.reference, strict=True):
            ours = [mine[name] for name in job.outputs]
            theirs = [truth[name] for name in job.outputs] if job.metric.uses_float else None
            records.append(job.metric.measure(sample, ours, theirs))
        result = job.metric.combine(records)
        return float(result.score if result.score is not None else result.value)

    def plan_score(self, plan: Any, threads: int = 1) -> Score:
        """Return score and noise of an integer network in the target's own arithmetic."""
        from slimai.simulator.program import compile_plan

        program = compile_plan(plan, self.job.config.target, arithmetic="native", threads=threads)
        outputs = [program.dequantize(program.run(arrays)) for _, arrays in self.validation]
        return Score(self.measure(outputs), self.noise(outputs))

    def noise(self, outputs: Sequence[Mapping[str, np.ndarray]]) -> float:
        """Return the signal-to-quantization-noise ratio of all outputs in dB, the mean over images and outputs."""
        ratios = []
        for mine, truth in zip(outputs, self.reference, strict=True):
            for name, value in truth.items():
                power, error = np.square(value, dtype=float).sum(), np.square(mine[name] - value, dtype=float).sum()
                ratios.append(10 * np.log10((power + 1e-30) / (error + 1e-30)))
        return float(np.mean(ratios))


def variants(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (label, options) of each `name[+name...]` in a comma list: none, eq, bc, clip, default."""
    for label in text.split(","):
        yield label, {part: True for part in label.split("+") if part not in {"none", ""}}


def default_aids(level: int) -> dict[str, Any]:
    """Return the aids that are on by default at a level, by their short names here."""
    from slimai.quantizer.aids import aids_for

    found = aids_for(level, "auto", "auto", "auto", "auto")
    parts = {
        "eq": found.equalization,
        "act": found.equalization,
        "absorb": found.bias_absorption,
        "bc": found.bias_correction,
    }
    return {"fold": True, **{name: True for name, on in parts.items() if on}}


def run(bench: Bench, level: int, aids: Mapping[str, Any], extra: Mapping[str, Any], cache: dict[Any, Any]) -> Score:
    """Return the score of one level with the given accuracy aids."""
    from slimai.app.quantize import nonnegative_inputs
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan

    aids = {**default_aids(level), **aids} if "default" in aids else aids
    target = bench.job.config.target
    key = (bench.name, *(bool(aids.get(part)) for part in ("fold", "eq", "act", "clamp", "absorb", "absorb3s")))
    if key not in cache:
        cache[key] = calibrated(bench, aids)
    graph, stats = cache[key]
    options = QuantOptions(
        level=level,
        nonnegative_inputs=nonnegative_inputs(bench.job),
        **{name: True for key, name in (("bc", "bias_correction"), ("clip", "weight_clipping")) if aids.get(key)},
        **extra,
    )
    if aids.get("emp"):
        from slimai.app.bias import corrected_options

        options = corrected_options(graph, stats, options, target, bench.calibration)
    return bench.plan_score(build_plan(graph, stats, options, target))


def calibrated(bench: Bench, aids: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the float network that these aids make, and its statistics."""
    from slimai.calibration.collect import channel_extremes, channel_magnitudes, collect
    from slimai.quantizer.absorption import absorb_biases
    from slimai.quantizer.constant_channels import fold_constant_channels
    from slimai.quantizer.equalization import equalize

    graph = bench.job.graph
    if aids.get("fold"):
        graph, _ = fold_constant_channels(graph)
    if aids.get("eq"):
        seen = channel_magnitudes(graph, bench.calibration[:16]) if aids.get("act") else None
        graph = equalize(graph, seen, clamp_per_channel=bool(aids.get("clamp"))).graph
    for name, extremes in (("absorb", channel_extremes), ("absorb3s", three_sigma)):
        if aids.get(name):
            graph = absorb_biases(graph, extremes(graph, bench.calibration)).graph
    return graph, collect(graph, bench.calibration, bins=10240, per_channel=True)


def three_sigma(graph: Any, images: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return activation -> [2, C] mean - 3 sigma and mean + 3 sigma of each channel over these images."""
    from slimai.calibration.collect import float_activations
    from slimai.runtime.session import FloatSession

    names = [name for name in float_activations(graph) if name not in graph.inputs and len(graph.shape(name)) > 1]
    session = FloatSession(graph, outputs=names)
    moments: dict[str, np.ndarray] = {}
    for feeds in images:
        for name, values in session.run(feeds).items():
            rows = np.moveaxis(values.astype(float), 1, 0).reshape(values.shape[1], -1)
            added = np.stack([rows.mean(axis=1), np.square(rows).mean(axis=1)]) / len(images)
            moments[name] = moments.get(name, 0.0) + added
    found = {}
    for name, (mean, square) in moments.items():
        reach = 3 * np.sqrt(np.maximum(square - np.square(mean), 0.0))
        found[name] = np.stack([mean - reach, mean + reach])
    return found


class _Reader:
    """Calibration images for ONNX Runtime's quantizer, in strides so that it does not hold all activations."""

    def __init__(self, images: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._all = images
        self._images = iter(images)

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._images = iter(self._all[start_index:end_index])

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._images, None)


def peer_score(bench: Bench, method: str, work: Path) -> Score:
    """Return the score of ONNX Runtime's quantize_static: u8 activations, s8 weights per channel, QDQ.

    It runs without graph optimizations, in float between Q and DQ: on processors without VNNI the fused u8 x s8
    kernels saturate inside, which would be held against the peer. `method` may end in a percentile: Percentile99.99.
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    from slimai.graph.save import to_onnx

    source, target = work / f"{bench.name}.onnx", work / f"{bench.name}_{method}.onnx"
    source.write_bytes(to_onnx(bench.job.graph).SerializeToString())
    quantize_static(
        source,
        target,
        _Reader(bench.calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method.rstrip("0123456789.")],
        extra_options={"CalibStridedMinMax": math.gcd(len(bench.calibration), STRIDE)}
        | ({"CalibPercentile": float(method[10:])} if method[10:] else {}),
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    outputs = [dict(zip(names, session.run(None, arrays), strict=True)) for _, arrays in bench.validation]
    return Score(bench.measure(outputs), bench.noise(outputs))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--levels", default="0,1,2,3,4")
    parser.add_argument("--images", type=int, default=100, help="validation images a network (0: all)")
    parser.add_argument("--calibration", type=int, default=32)
    parser.add_argument("--aids", default="default", help="comma list of combinations such as none,eq,eq+bc")
    parser.add_argument("--methods", default="100", help="comma list of 100, p99.99, ImprovedMSE, ImprovedKL")
    parser.add_argument(
        "--peers", default="MinMax,Percentile,Entropy", help="comma list such as MinMax,Percentile99.99"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", type=Path, nargs="*", dest="earlier", help="print the summary of these files alone")
    given = parser.parse_args()
    if given.earlier:
        summary([as_row(row) for path in given.earlier for row in json.loads(path.read_text(encoding="utf-8"))])
        return
    sys.path.insert(0, str(Path(__file__).parent))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.networks.split(","):
            rows += table_of(name, Path(folder), given)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    summary(rows)


def settings_of(method: str) -> dict[str, Any]:
    """Return the quantizer's options of `100` (range in percent), `p99.99` (share of the mass) or a method's name."""
    if method.startswith("Improved"):
        return {"method": method}
    if method.startswith("p"):
        return {"percent": float(method[1:]), "range_mode": "percentile"}
    return {"percent": float(method)}


def table_of(name: str, work: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Print and return the rows of one network."""
    start = time.perf_counter()
    bench = Bench.load(name, work, given.images, given.calibration)
    print(f"{name}: float {bench.float_score:.4f} on {len(bench.validation)} images")
    rows, cache = [], {}
    for label, aids in variants(given.aids):
        for method in filter(None, given.methods.split(",")):
            extra = settings_of(method)
            scores = {int(n): run(bench, int(n), aids, extra, cache) for n in given.levels.split(",")}
            shown = "  ".join(f"{level}: {score.score:.4f} {score.sqnr:5.2f}dB" for level, score in scores.items())
            print(f"  {label:10s} {method:12s} {shown}  ({time.perf_counter() - start:.0f} s)", flush=True)
            rows.append(
                {
                    "network": name,
                    "float": bench.float_score,
                    "aids": label,
                    "method": method,
                    **{str(k): v for k, v in scores.items()},
                }
            )
    for method in filter(None, given.peers.split(",")):
        score = peer_score(bench, method, work)
        print(f"  ONNX Runtime {method:10s} {score.score:.4f} {score.sqnr:5.2f}dB", flush=True)
        rows.append({"network": name, "float": bench.float_score, "aids": "ort", "method": method, "3": score})
    return rows


def as_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a JSON file as it was before it was written."""
    return {key: Score(*value) if key.isdigit() else value for key, value in row.items()}


def best_of(rows: Sequence[Mapping[str, Any]], aids: str) -> list[dict[str, Any]]:
    """Return one row a network: at level 3 the best of its rows with these aids, whatever the method, by score."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["aids"] == aids and "3" in row:
            found = {key: row[key] for key in ("network", "float", "3")} | {"aids": f"{aids} best", "method": "of each"}
            best[row["network"]] = max(best.get(row["network"], found), found, key=lambda item: item["3"].score)
    return list(best.values())


def summary(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print, for each kind of row, the mean over networks of score / float score by level."""
    rows = [*rows, *best_of(rows, "default"), *best_of(rows, "ort")]
    kinds = dict.fromkeys((row["aids"], row["method"]) for row in rows)
    print("mean over networks of score / float score")
    for kind in kinds:
        mine = [row for row in rows if (row["aids"], row["method"]) == kind]
        levels = sorted({key for row in mine for key in row if key.isdigit()})
        means = {level: np.mean([row[level].score / row["float"] for row in mine if level in row]) for level in levels}
        shown = "  ".join(f"{level}: {value:.4f}" for level, value in means.items())
        print(f"  {kind[0]:18s} {kind[1]:12s} {shown}  ({len(mine)} networks)")


if __name__ == "__main__":
    main()
