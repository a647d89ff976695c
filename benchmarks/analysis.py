"""The per-layer report of a MobileNetV2-sized network, in float forwards.

Usage: python benchmarks/analysis.py [--images 30] [--level 1]

F is the time of one float32 forward of the same network by ONNX Runtime on one thread, taken beside every batch of
the analysis; all times are process times, so that other programs on the machine weigh less. Counted: the analysis of
all layers (entire and single), the probes, and the trials of remedies with their planning and compiling. The goal is
at most 60 F an image. The peer is tpu-mlir's search_qtable, whose published log on MobileNetV2 (116 layers, 2 methods,
30 images) takes 667.6 s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from networks import mobilenet_v2, photographs, saved

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.report.analysis import Analyser, batch_for
from slimai.report.probes import probes
from slimai.report.ranking import Remedy, Trials, rank
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan

GOAL, PEER_SECONDS, TRIED = 60.0, 667.6, 4


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Return process seconds and value."""
    start = time.process_time()
    value = step()
    return time.process_time() - start, value


class Bench:
    """One network, planned; the clock of ONNX Runtime beside it."""

    def __init__(self, level: int, images: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.graph = load_onnx(saved(mobilenet_v2(), Path(folder)))
        self.images = list(photographs(images))
        self.stats = collect(self.graph, ({"input": image} for image in self.images[:8]), bins=2048)
        self.options, self.target = QuantOptions(level=level), TargetSection()
        self.session = FloatSession(self.graph)
        self.forwards: list[float] = []

    def compiled(self, options: QuantOptions) -> Program:
        """Return the program of some options."""
        plan = build_plan(self.graph, self.stats, options, self.target)
        return compile_plan(plan, self.target, arithmetic=self.target.arithmetic)

    def rebuilt(self, remedy: Remedy) -> Program:
        """Return the program with a remedy applied."""
        return self.compiled(replace(self.options, limits=remedy.limits, datatypes=remedy.datatypes))

    def measure_f(self) -> None:
        """Time three float forwards of one image."""
        for image in self.images[:3]:
            self.forwards.append(timed(lambda image=image: self.session.run({"input": image}))[0])

    def run(self) -> dict[str, float]:
        """Return the seconds of each part."""
        program = self.compiled(self.options)
        step = batch_for(self.graph)
        Analyser(self.graph, program).add({"input": self.images[0]})  # compiles the loops and warms up
        self.forwards.clear()
        seconds, analyser = timed(lambda: Analyser(self.graph, program))
        total = {"analysis": seconds}
        for start in range(0, len(self.images), step):
            feeds = {"input": np.concatenate(self.images[start : start + step])}
            seconds, (truth, _) = timed(lambda feeds=feeds: analyser.add(feeds))
            total["analysis"] += seconds
            if start == 0:
                few = {"input": feeds["input"][:TRIED]}
                outputs = {name: truth[name][:TRIED] for name in self.graph.outputs}
            self.measure_f()
        total["probes"], _ = timed(lambda: probes(self.graph, program.plan, few, outputs))
        self.measure_f()
        trials = Trials(few, outputs, self.rebuilt)
        total["remedies"], found = timed(
            lambda: rank(analyser.rows(), program.plan, self.graph, self.stats, program, trials, self.measure_f)
        )
        total["remedies"] -= sum(self.forwards[-3 * len([item for item in found if item.gain is not None]) :])
        self.layers = len(analyser.rows())
        return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--level", type=int, default=1)
    options = parser.parse_args()
    bench = Bench(options.level, options.images)
    total = bench.run()
    unit = statistics.median(bench.forwards)
    print(f"{bench.layers} layers, {options.images} images, level {options.level}, F = {unit * 1e3:.1f} ms (median)")
    for name, seconds in total.items():
        print(f"{name:<10} {seconds:8.2f} s  {seconds / unit / options.images:6.1f} F an image")
    whole = sum(total.values())
    print(f"{'whole':<10} {whole:8.2f} s  {whole / unit / options.images:6.1f} F an image (goal {GOAL:.0f})")
    print(f"tpu-mlir's published log: {PEER_SECONDS} s, {PEER_SECONDS / whole:.0f} times as long (another machine)")


if __name__ == "__main__":
    main()
