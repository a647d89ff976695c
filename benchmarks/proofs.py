"""Proofs about a MobileNetV2-sized network: bits of every layer's sums, and where two arithmetics differ.

Usage: python benchmarks/proofs.py [--level 1] [--runs 5]

Times are process times, so that other programs on the machine weigh less; the best of some runs is given, each with the
plan's layers made anew. The goal is one second for the bits, witnesses and all, of the whole network.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from networks import mobilenet_v2, photographs, saved

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.plan import QuantPlan
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import integer_contexts
from slimai.simulator.proofs.bounds import Reach, reaches
from slimai.simulator.proofs.presets import compare_presets

GOAL = 1.0
PRESETS = ("xi_sym", "single", "gemmlowp", "tflite_s64")


def planned(level: int) -> QuantPlan:
    """Return the network at a level, calibrated on eight pictures."""
    with tempfile.TemporaryDirectory() as folder:
        graph = load_onnx(saved(mobilenet_v2(), Path(folder)))
    stats = collect(graph, ({"input": image} for image in photographs(8)), bins=2048)
    return build_plan(graph, stats, QuantOptions(level=level))


def proved(plan: QuantPlan, target: TargetSection) -> tuple[Reach, ...]:
    """Return the reach of every weighted layer."""
    return reaches(plan, integer_contexts(plan, target, "native"))


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    plan = planned(given.level)
    for bits in (32, 16):
        target, seconds = TargetSection(acc_bits=bits), []
        for _ in range(given.runs):
            start = time.process_time()
            found = proved(plan, target)
            seconds.append(time.process_time() - start)
        over = sum(item.overflows for item in found)
        print(
            f"bits of {len(found)} layers, {bits}-bit accumulator: {min(seconds):.3f} s (goal {GOAL:g}), "
            f"median {sorted(seconds)[len(seconds) // 2]:.3f}; most {max(item.needed for item in found)} bits, "
            f"{over} with a witness"
        )
    for first, second in itertools.combinations(PRESETS, 2):
        start = time.process_time()
        pairs = compare_presets(plan, TargetSection(), first, second)
        print(f"{first} and {second}, {len(pairs)} layers: {time.process_time() - start:.3f} s")


if __name__ == "__main__":
    main()
