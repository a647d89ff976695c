"""Cost and memory of the calibration pass, in F (one float32 forward of the same network on the same threads).

Usage: python benchmarks/calibration.py [--images 16,64,128] [--bins 10240] [--threads 1] [--peers]

The network is MobileNetV2 at 224 x 224 with seeded weights. F is measured before and after each sample; each count of
images runs in a process of its own. The peak memory of ours is that of another process, which opens the network and
calibrates, without the session that the stopwatch needs. --peers adds ONNX Runtime's calibrators.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from networks import mobilenet_v2, photographs, saved


def forward_seconds(session: object, feed: dict[str, np.ndarray], repeats: int = 20) -> float:
    """Return the median process time of one forward."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        session.run(feed)
        times.append(time.process_time() - start)
    return float(np.median(times))


def peak_mb() -> float:
    """Return this process's peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(path: Path, images: int, bins: int, threads: int) -> str:
    """Return the line of one collection of ours."""
    from slimai.calibration.collect import collect
    from slimai.graph.load import load_onnx
    from slimai.quantizer.layers import quantized_tensors, weighted_inputs
    from slimai.runtime.session import FloatSession

    graph = load_onnx(path)
    session = FloatSession(graph, threads=threads)
    feed = {"input": next(photographs(1))}
    what: dict[str, Any] = {"tensors": quantized_tensors(graph), "bins": bins, "per_channel": weighted_inputs(graph)}
    collect(graph, [feed], **what)  # compiles the kernels
    before = forward_seconds(session, feed)
    start = time.process_time()
    stats = collect(
        graph,
        ({"input": image} for image in photographs(images)),
        **what,
        threads=threads,
    )
    seconds = time.process_time() - start
    unit = (before + forward_seconds(session, feed)) / 2
    made = sum(1 for _ in photographs(4))
    start = time.process_time()
    for _ in photographs(made):
        pass
    seconds -= (time.process_time() - start) / made * images  # making the pictures is not calibration
    return (
        f"ours {images:4d} images: {seconds / images / unit:5.2f} F an image "
        f"(F {unit * 1e3:.1f} ms, {len(stats.tensors)} tensors, {bins} bins)"
    )


def memory(path: Path, images: int, bins: int, threads: int) -> str:
    """Return the line of the memory of one collection of ours; it has to be the only work of its process."""
    from slimai.calibration.collect import collect
    from slimai.graph.load import load_onnx
    from slimai.quantizer.layers import quantized_tensors, weighted_inputs

    graph = load_onnx(path)
    collect(
        graph,
        ({"input": image} for image in photographs(images)),
        tensors=quantized_tensors(graph),
        bins=bins,
        per_channel=weighted_inputs(graph),
        threads=threads,
    )
    return f"ours {images:4d} images: peak {peak_mb():.0f} MB, the whole process"


class _Reader:
    """Images for ONNX Runtime's calibrators."""

    def __init__(self, images: int) -> None:
        self._images = photographs(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"input": image}


def theirs(path: Path, images: int, method: str) -> str:
    """Return the line of one collection of ONNX Runtime's."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    from slimai.runtime.session import FloatSession

    session = FloatSession(path.read_bytes())
    feed = {"input": next(photographs(1))}
    before = forward_seconds(session, feed)
    with tempfile.TemporaryDirectory() as folder:
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(path, augmented_model_path=augmented, calibrate_method=CalibrationMethod[method])
        start = time.process_time()
        calibrator.collect_data(_Reader(images))
        calibrator.compute_data()
        seconds = time.process_time() - start
    unit = (before + forward_seconds(session, feed)) / 2
    cost = seconds / images / unit
    return f"ONNX Runtime {method} {images:4d} images: {cost:5.1f} F an image, {peak_mb():.0f} MB in all"


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="16,64,128")
    parser.add_argument("--bins", type=int, default=10240)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        method, path, images = given.one.split("|")
        run = {"ours": ours, "memory": memory}.get(method, theirs)
        extra = (method,) if run is theirs else (given.bins, given.threads)
        print(run(Path(path), int(images), *extra))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = saved(mobilenet_v2(), Path(folder))
        counts = given.images.split(",")
        for method, images in (
            *(("ours", count) for count in counts),
            *(("memory", count) for count in ("1", *counts)),
        ):
            _in_its_own_process(method, path, images)
        for method in ("MinMax", "Percentile", "Entropy") if given.peers else ():
            for images in counts:
                _in_its_own_process(method, path, images)


def _in_its_own_process(method: str, path: Path, images: str) -> None:
    command = [sys.executable, __file__, *sys.argv[1:], "--one", f"{method}|{path}|{images}"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
