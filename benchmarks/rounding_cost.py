"""What weight rounding costs on MobileNetV2 at 224 x 224: seconds of one core, F, and memory above the process.

Usage: python benchmarks/rounding_cost.py [--images 64] [--level 3] [--size 224]

F is one ONNX Runtime float32 forward on one thread, its median measured before and after. The images are noise smoothed
to look like photographs to the arithmetic: the cost does not depend on what they show. Compiled loops are warmed first.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from networks import mobilenet_v2

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.rounding_pass import Images, RoundingPass

MIB = 1 << 20


def pictures(count: int, size: int) -> list[dict[str, np.ndarray]]:
    """Return smooth noise in -1..1."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        coarse = rng.normal(size=(1, 3, size // 8, size // 8))
        fine = np.kron(coarse, np.ones((1, 1, 8, 8))) + 0.2 * rng.normal(size=(1, 3, size, size))
        found.append({"input": np.clip(fine / 2, -1, 1).astype(np.float32)})
    return found


def forward(session: FloatSession, feeds: dict[str, np.ndarray]) -> float:
    """Return the median seconds of a forward."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        session.run(feeds)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rounded(graph: Any, images: list[dict[str, np.ndarray]], level: int) -> tuple[float, float, int]:
    """Return processor seconds, wall seconds and the layers that are kept."""
    what = {"tensors": quantized_tensors(graph), "per_channel": weighted_inputs(graph)}
    stats = collect(graph, images, **what)
    plan = build_plan(graph, stats, QuantOptions(level=level, bias_correction=True), TargetSection())
    with tempfile.TemporaryDirectory() as folder:
        start, wall = time.process_time(), time.perf_counter()
        found = RoundingPass(graph, plan, TargetSection(), Images(len(images), lambda: images), Path(folder)).run()
        return time.process_time() - start, time.perf_counter() - wall, len(found.layers)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(mobilenet_v2(size=given.size).SerializeToString())
        graph = load_onnx(path)
    images = pictures(given.images, given.size)
    rounded(graph, images[:4], given.level)  # the compiled loops
    session = FloatSession(graph)
    before, held = forward(session, images[0]), psutil.Process().memory_info().rss
    seconds, wall, kept = rounded(graph, images, given.level)
    unit = min(before, forward(session, images[0]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held
    print(
        f"level {given.level}, {given.images} images: {seconds:.1f} s of one core ({wall:.1f} s on the wall), "
        f"{seconds / unit:,.0f} F of {unit * 1000:.1f} ms, {peak / MIB:.0f} MiB above the process, {kept} layers kept"
    )


if __name__ == "__main__":
    main()
