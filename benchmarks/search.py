"""The 32-candidate search beside plain and expert loops over ONNX Runtime, in F (one float forward of the network).

Usage: taskset -c 1 python benchmarks/search.py [--images 64] [--size 224] [--what exhaustive,racing,expert,plain]
       [--peer-candidates 2] [--json out.json]

Levels 0-3 x 8 ranges (93..100), `images` calibration and as many validation images, MobileNetV2 with seeded weights,
cosine metric, one thread; process time, without the report. Every contestant runs in a process of its own; F is
measured beside each. The plain loop calls quantize_static for every candidate; the expert loop collects histograms
once and reads percentiles from them again. Only `peer-candidates` candidates of a peer are run and the rest is
extrapolated: the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

RANGES, LEVELS = tuple(range(93, 101)), (0, 1, 2, 3)
CANDIDATES = len(RANGES) * len(LEVELS)
WHAT = ("exhaustive", "racing", "expert", "plain")


def make_inputs(folder: Path, images: int, size: int) -> None:
    """Write the network, the arrays and their lists."""
    from networks import mobilenet_v2, photographs, saved

    saved(mobilenet_v2(size=size), folder)
    for index, array in enumerate(photographs(2 * images, size)):
        np.save(folder / f"{index:04d}.npy", array[0])
    names = [f"{index:04d}.npy" for index in range(2 * images)]
    for name, part in (("calib.txt", names[:images]), ("val.txt", names[images:])):
        (folder / name).write_text("\n".join([str(len(part)), *part]) + "\n", encoding="utf-8")


def arrays(folder: Path, name: str) -> Iterator[np.ndarray]:
    """Yield the [1, 3, size, size] float32 arrays of a list."""
    for line in (folder / name).read_text(encoding="utf-8").splitlines()[1:]:
        yield np.load(folder / line)[None]


def session(model: Any) -> Any:
    """Return a one-thread session of ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def forward_seconds(folder: Path) -> float:
    """Return F: the median process time of a float forward of one image."""
    run = session(folder / "mobilenet_v2.onnx")
    feeds = {"input": next(arrays(folder, "val.txt"))}
    times = []
    for _ in range(25):
        before = time.process_time()
        run.run(None, feeds)
        times.append(time.process_time() - before)
    return float(np.median(times[5:]))


def search_config(folder: Path, output: Path, settings: dict[str, Any]) -> Any:
    """Return the configuration of the search; `settings`: its section smart_search."""
    from slimai.schema.root import SlimaiConfig

    return SlimaiConfig.model_validate(
        {
            "path": {"image_dir": str(folder), "output_dir": str(output)},
            "network": {
                "name": "mobilenet_v2",
                "input_model": str(folder / "mobilenet_v2.onnx"),
                "class": "Other",
                "input_data_layout": "NonImage",
                "mean": 0.0,
                "stddev": 1.0,
            },
            "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
            "quantization": {
                "accuracy_level": list(LEVELS),
                "range": f"{RANGES[0]}:{RANGES[-1]}:1",
                "weight_rounding": "nearest",  # rounding has a benchmark of its own
            },
            "smart_search": settings,
            "metric": {"metric_cls": "cosine"},
        },
        context={"base": folder},
    )


def slimai_search(folder: Path, strategy: str) -> dict[str, Any]:
    """Run the search and return its figures."""
    from slimai import __version__
    from slimai.app.run import pipeline

    report = Stopwatch(pipeline.Inspection.finish)
    setattr(pipeline.Inspection, "finish", lambda *words: report(*words))  # noqa: B010, PLW0108 - becomes a method
    config = search_config(folder, folder / strategy, {"strategy": strategy})
    before = time.process_time()
    result = pipeline.run_job(config)
    seconds = time.process_time() - before
    best = result.best
    parts = {name: value for name, value in result.seconds.items() if value >= 0.05}
    sweep = seconds - report.seconds
    measured = sum(item.images for item in {item.key: item for item in result.candidates}.values())
    return {
        "seconds": sweep,
        "parts": parts,
        "report seconds": report.seconds,
        "images run": measured,
        "best": None if best is None else [best.candidate.level, best.candidate.label, best.score],
        "version": __version__,
    }


class Stopwatch:
    """A function that adds up the process time of its calls."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step, self.seconds = step, 0.0

    def __call__(self, *words: Any) -> Any:
        """Return what the function does."""
        before = time.process_time()
        found = self._step(*words)
        self.seconds += time.process_time() - before
        return found


class Reader:
    """Feeds calibration arrays to ONNX Runtime."""

    def __init__(self, folder: Path) -> None:
        self._arrays = arrays(folder, "calib.txt")

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next feeds, or None."""
        found = next(self._arrays, None)
        return None if found is None else {"input": found}


def peer_options(level: int) -> dict[str, Any]:
    """Return what comes nearest to an accuracy level: per-channel weights from 1, asymmetric activations from 2."""
    from onnxruntime.quantization import QuantFormat, QuantType

    return {
        "quant_format": QuantFormat.QDQ,
        "per_channel": level >= 1,
        "weight_type": QuantType.QInt8,
        "activation_type": QuantType.QUInt8 if level >= 2 else QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": level < 2},
    }


def peer_points(count: int) -> list[tuple[int, int]]:
    """Return `count` candidates spread over the levels."""
    points = [(level, percent) for percent in RANGES for level in LEVELS]
    return points[:: max(1, len(points) // count)][:count]


def mean_cosine(folder: Path, model: Path) -> float:
    """Return the mean cosine similarity of the logits of both networks over the validation list."""
    truth, mine = session(folder / "mobilenet_v2.onnx"), session(model)
    values = []
    for array in arrays(folder, "val.txt"):
        a, b = (run.run(None, {"input": array})[0].ravel() for run in (truth, mine))
        values.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12)))
    return float(np.mean(values))


def plain_loop(folder: Path, count: int) -> dict[str, Any]:
    """Return the figures of quantize_static(Percentile) and an evaluation for each candidate."""
    from onnxruntime.quantization import CalibrationMethod, quantize_static

    scores = []
    before = time.process_time()
    for level, percent in peer_points(count):
        options = peer_options(level)
        extra = {"CalibPercentile": percent_of(percent), **options.pop("extra_options")}
        target = folder / "plain.onnx"
        quantize_static(
            folder / "mobilenet_v2.onnx",
            target,
            Reader(folder),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options=extra,
            **options,
        )
        scores.append(mean_cosine(folder, target))
    seconds = time.process_time() - before
    return {"seconds": seconds * CANDIDATES / count, "measured": count, "best": max(scores)}


def percent_of(percent: int) -> float:
    """Return the percentile of the histogram that stands for a range: 93..100 become 99.3..100."""
    return 90 + percent / 10 if percent < 100 else 99.999


def expert_loop(folder: Path, count: int) -> dict[str, Any]:
    """Return the figures of one histogram collection whose percentiles are read again for each candidate."""
    from importlib import import_module

    from onnxruntime.quantization import CalibrationMethod, quantize_static
    from onnxruntime.quantization.calibrate import create_calibrator

    ort_quantize: Any = import_module("onnxruntime.quantization.quantize")  # the package has a function of that name

    before = time.process_time()
    calibrator = create_calibrator(
        folder / "mobilenet_v2.onnx",
        None,
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"symmetric": False},
    )
    calibrator.collect_data(Reader(folder))
    collected = time.process_time() - before
    scores = []
    real = ort_quantize.create_calibrator
    before = time.process_time()
    try:
        for level, percent in peer_points(count):
            calibrator.collector.percentile = percent_of(percent)
            calibrator.collector.symmetric = level < 2
            ort_quantize.create_calibrator = lambda *_, **__: _Collected(calibrator)
            target = folder / "expert.onnx"
            quantize_static(
                folder / "mobilenet_v2.onnx",
                target,
                Reader(folder),
                calibrate_method=CalibrationMethod.Percentile,
                **peer_options(level),
            )
            scores.append(mean_cosine(folder, target))
    finally:
        ort_quantize.create_calibrator = real
    each = (time.process_time() - before) / count
    return {"seconds": collected + each * CANDIDATES, "collect": collected, "measured": count, "best": max(scores)}


class _Collected:
    """A calibrator that has collected already."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def collect_data(self, _: Any) -> None:
        """Collect nothing again."""

    def compute_data(self) -> Any:
        """Return the limits at the percentile that is set now."""
        return self._inner.compute_data()


def contest(folder: Path, name: str, count: int) -> dict[str, Any]:
    """Run one contestant in this process; F is measured before and after it."""
    before = forward_seconds(folder)
    if name in ("exhaustive", "racing"):
        row = slimai_search(folder, name)
    else:
        row = (expert_loop if name == "expert" else plain_loop)(folder, count)
    forward = (before + forward_seconds(folder)) / 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"what": name, "F": row["seconds"] / forward, "forward_ms": forward * 1e3, "peak_mb": peak, **row}


def main() -> None:
    """Run every contestant in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--what", default=",".join(WHAT))
    parser.add_argument("--peer-candidates", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--in-folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_folder:
        print(json.dumps(contest(given.in_folder, given.what, given.peer_candidates)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, given.images, given.size)
        print("| contestant | F | seconds | one F, ms | peak MB | images run | notes |\n|---|---|---|---|---|---|---|")
        for what in given.what.split(","):
            words = ["--in-folder", name, "--what", what, "--peer-candidates", str(given.peer_candidates)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, __file__, *words], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def line(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    note = f"{row['measured']} of {CANDIDATES} run, the rest extrapolated" if "measured" in row else str(row["parts"])
    if "report seconds" in row:
        note += f"; report {1000 * row['report seconds'] / row['forward_ms']:.0f} F, {row['report seconds']:.1f} s"
    images = row.get("images run", "-")
    return (
        f"| {row['what']} | {row['F']:.0f} | {row['seconds']:.1f} | {row['forward_ms']:.2f} | {row['peak_mb']:.0f} |"
        f" {images} | {note}; best {row['best']} |"
    )


if __name__ == "__main__":
    main()
