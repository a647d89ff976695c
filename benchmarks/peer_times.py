"""What quantizing and a simulated image take with one quantizer, in F: the time of one ONNX Runtime float forward.

Usage: python benchmarks/peer_times.py TOOL:METHOD [--calibration 16] [--images 24] [--size 224] [--json out.json]

The network is MobileNetV2 with seeded weights; one thread. F is measured before and after. The tool quantizes with the
calibration images and runs 2 validation images, then the same again with `images` more: the difference is what an image
takes, the rest what quantizing takes. TOOL is one of accuracy_peers.py, or slimai with a method of accuracy.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_peers import Feeds, Task, outputs_of
from networks import mobilenet_v2, photographs, saved

FIRST = 2  # validation images of the first run


def split(short: float, long: float, images: int) -> tuple[float, float]:
    """Return (seconds to quantize, seconds an image) of a run over FIRST images and one over `images` more."""
    image = max(0.0, (long - short) / images)
    return max(0.0, short - FIRST * image), image


def forward(model: Path, feed: Feeds, repeats: int = 15) -> float:
    """Return the median seconds of a float forward on one thread."""
    from slimai.runtime.session import FloatSession

    session = FloatSession(model.read_bytes(), threads=1)
    session.run(feed)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        session.run(feed)
        times.append(time.process_time() - start)
    return float(np.median(times))


def ours(method: str, task: Task) -> list[Feeds]:
    """Return the outputs of the simulator at level 3, weights rounded to nearest, limits as `range` 100 has them."""
    from slimai.calibration.collect import collect
    from slimai.graph.load import load_onnx
    from slimai.quantizer.layers import quantized_tensors, weighted_inputs
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan
    from slimai.schema.target import TargetSection
    from slimai.simulator.program import compile_plan

    if method != "100":
        raise SystemExit(f"slimai is timed with method 100 (got {method})")
    graph = load_onnx(task.model)
    stats = collect(
        graph, task.calibration, tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph), bins=10240
    )
    plan = build_plan(graph, stats, QuantOptions(level=3), TargetSection())
    program = compile_plan(plan, TargetSection(), arithmetic="native", threads=1)
    return [program.dequantize(program.run(feeds)) for feeds in task.validation]


def timed(run: Callable[[Task], Any], task: Task) -> float:
    """Return the processor seconds of a run."""
    start = time.process_time()
    run(task)
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", metavar="TOOL:METHOD")
    parser.add_argument("--calibration", type=int, default=16)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tool, _, method = given.what.partition(":")
    run = (lambda task: ours(method, task)) if tool == "slimai" else (lambda task: outputs_of(given.what, task))
    with tempfile.TemporaryDirectory() as folder:
        model = saved(mobilenet_v2(size=given.size), Path(folder))
        images = [{"input": item} for item in photographs(given.calibration + FIRST + given.images, given.size)]
        calibration, rest = images[: given.calibration], images[given.calibration :]
        before = forward(model, rest[0])
        timed(run, Task(model, calibration[:1], rest[:1]))  # imports, compiles
        short = timed(run, Task(model, calibration, rest[:FIRST]))
        long = timed(run, Task(model, calibration, rest))
        unit = (before + forward(model, rest[0])) / 2
    quantize, image = split(short, long, given.images)
    found = {
        "what": given.what,
        "quantize": quantize / unit / given.calibration,
        "image": image / unit,
        "forward_ms": 1000 * unit,
    }
    print(json.dumps(found))
    if given.json:
        given.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
