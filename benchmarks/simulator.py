"""What the integer simulator costs a picture, in F: the time of one ONNX Runtime float32 forward beside it.

Usage: python benchmarks/simulator.py [--levels 0,1,2,3,4] [--batch 1,8] [--threads 1] [--arithmetic native]
       [--shared ../shared] [--networks mobilenet_v2,kws,...] [--repeat 15]

Each figure is the least of --repeat runs of process time, with F measured right before and after it.
Peers, from the same network on another machine (2 vCPU AVX512-VNNI, one thread): AIMET 18-22 F, PPQ 7.3-8.6 F; neither
is bit-exact. The aim is 1.5 F at 8 bits, the bound 2.5 F.
With --shared every network of the folder is measured too; --networks names those that are wanted by a part of their
names, and --json keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from networks import mobilenet_v2, photographs, saved

from slimai.calibration.collect import collect
from slimai.graph.ir import Graph
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

Feeds = Mapping[str, np.ndarray]
Table = dict[str, dict[str, float]]  # network -> "level, batch" -> F
SHORT = 0.1  # seconds


def least(run: Callable[[], Any], repeat: int) -> float:
    """Return the least process time of `repeat` runs (more of short ones) after one to warm up, in seconds."""
    run()
    times: list[float] = []
    while len(times) < repeat or (sum(times) < SHORT and len(times) < 50 * repeat):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measure(graph: Graph, feeds: list[Feeds], options: argparse.Namespace) -> dict[str, float]:
    """Print one line a level: F of each batch size, and how near the outputs are to float. Return the figures."""
    figures: dict[str, float] = {}
    statistics = collect(graph, feeds)
    session = FloatSession(graph, threads=options.threads)
    for level in options.levels:
        plan = build_plan(graph, statistics, QuantOptions(level=level))
        program = compile_plan(plan, TargetSection(), arithmetic=options.arithmetic, threads=options.threads)
        parts = []
        for size in options.batch:
            batch = {name: np.concatenate([feed[name] for feed in feeds[:size]]) for name in graph.inputs}
            before = least(partial(session.run, feeds[0]), options.repeat)
            spent = least(partial(program.run, batch), options.repeat) / size
            unit = min(before, least(partial(session.run, feeds[0]), options.repeat))
            parts.append(f"b{size} {spent / unit:5.2f} F")
            figures[f"{level}, {size}"], figures["ms"] = spent / unit, unit * 1e3
        found, real = program.dequantize(program.run(feeds[0])), session.run(feeds[0])
        near = min(cosine(found[name], real[name]) for name in graph.outputs)
        rules = ",".join(sorted(set(program.arithmetic.values())))
        host = f", {len(program.host_layers)} on the host" if program.host_layers else ""
        print(
            f"  level {level}: {'  '.join(parts)}  (F = {unit * 1e3:.2f} ms)  cosine {near:.4f}  {rules}{host}",
            flush=True,
        )
    return figures


def means(table: Table) -> dict[str, float]:
    """Return the geometric means over the networks, "level, batch" -> F."""
    keys = [key for key in next(iter(table.values())) if key != "ms"]
    return {key: float(np.exp(np.mean([np.log(row[key]) for row in table.values()]))) for key in keys}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine similarity of two arrays, 0 when one is all zero."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size else 0.0


def random_feeds(graph: Graph, count: int) -> list[Feeds]:
    """Return `count` single samples of normal noise for each input."""
    rng = np.random.default_rng(0)
    return [
        {name: rng.normal(0, 1, graph.shape(name)).astype(np.float32) for name in graph.inputs} for _ in range(count)
    ]


def main() -> None:
    """Run the benchmark of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"type": lambda text: [int(word) for word in text.split(",")]}
    parser.add_argument("--levels", default=[0, 1, 2, 3, 4], **numbers)
    parser.add_argument("--batch", default=[1, 8], **numbers)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arithmetic", default="native")
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--networks", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    wanted = options.networks.split(",")
    if any(word in "mobilenet_v2" for word in wanted):
        with tempfile.TemporaryDirectory() as folder:
            graph = load_onnx(saved(mobilenet_v2(), Path(folder)))
        print("mobilenet_v2 224x224 (seeded weights); bound 2.5 F, aim 1.5 F at 8 bits; AIMET 18-22 F, PPQ 7.3-8.6 F")
        measure(graph, [{"input": picture} for picture in photographs(max(options.batch))], options)
    table: Table = {}
    for path in sorted((options.shared / "data" / "models" / "onnx").glob("*.onnx")) if options.shared else ():
        if any(word in path.stem for word in wanted):
            print(path.stem)
            real = load_onnx(path)
            table[path.stem] = measure(real, random_feeds(real, max(options.batch)), options)
            if options.json:
                options.json.write_text(json.dumps(table, indent=1), encoding="utf-8")
    if table:
        found = means(table)
        print(
            f"geometric means of {len(table)}: " + ", ".join(f"[{key}] {value:.2f} F" for key, value in found.items())
        )


if __name__ == "__main__":
    main()
