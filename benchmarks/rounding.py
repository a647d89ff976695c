"""What weight rounding wins: score and output noise with nearest, compensated and (nearly) float weights.

Usage: SLIMAI_SHARED=../shared python benchmarks/rounding.py [--networks a,b] [--levels 0,1,3] [--images N]
       [--calibration N] [--aids default] [--json out.json]

Validation images that are calibration images are left out. Noise is that of each output over all images, as a share of
its power, the mean over outputs. `float weights` has weights of 13 bits, one scale a channel, with the activations of
the level: the noise that no rounding of weights can win back by itself. won = (nearest - compensated) / (nearest -
float weights), of the noise.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from accuracy import NETWORKS, listed
from accuracy_aids import plan_of
from accuracy_bench import Bench

from slimai.quantizer.params import IntType

GAP = 0.5  # dB between nearest and float weights, from which on a network counts


class FineWeights(IntType):
    """Weights of 13 bits in 16: 32 times as fine as 8 bits, with sums that still fit 32."""

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type that holds them."""
        return np.dtype(np.int16)


FINE = FineWeights("s16", 13, signed=True)


def noise(bench: Bench, outputs: Sequence[Mapping[str, np.ndarray]]) -> float:
    """Return the noise of the outputs as a share of their power."""
    shares = []
    for name in bench.reference[0]:
        pairs = [
            (mine[name].astype(float), truth[name].astype(float))
            for mine, truth in zip(outputs, bench.reference, strict=True)
        ]
        error = sum(float(np.square(mine - truth).sum()) for mine, truth in pairs)
        shares.append(error / max(sum(float(np.square(truth).sum()) for _, truth in pairs), 1e-30))
    return float(np.mean(shares))


def measured(bench: Bench, plan: Any) -> tuple[float, float]:
    """Return score and noise of a plan."""
    from slimai.simulator.program import compile_plan

    program = compile_plan(plan, bench.job.config.target)
    outputs = [program.dequantize(program.run(arrays)) for _, arrays in bench.validation]
    return bench.score(outputs).score, noise(bench, outputs)


def decibel(share: float) -> float:
    """Return the ratio of power to noise in dB."""
    return -10 * float(np.log10(max(share, 1e-30)))


def rows_of(bench: Bench, levels: Sequence[int], aids: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a level, printed."""
    from slimai.quantizer.planner import LayerBuilder

    cache: dict[Any, Any] = {}
    rows = []
    for level in levels:
        nearest = measured(bench, plan_of(bench, level, aids, {}, cache))
        start = time.process_time()
        plan = plan_of(bench, level, {**aids, "round": True}, {}, cache)
        seconds = time.process_time() - start
        rounded = measured(bench, plan)
        with (
            patch("slimai.quantizer.planner.weight_type", lambda *_: FINE),
            patch.object(LayerBuilder, "_per_channel", lambda self, step: step.node.op in self.target.per_channel_ops),
        ):
            fine = measured(bench, plan_of(bench, level, aids, {}, cache))
        won = (
            (nearest[1] - rounded[1]) / (nearest[1] - fine[1]) if decibel(fine[1]) - decibel(nearest[1]) > GAP else None
        )
        rows.append(
            {
                "network": bench.name,
                "level": level,
                "float": bench.float_score.score,
                "nearest": nearest,
                "rounded": rounded,
                "fine": fine,
                "won": won,
                "seconds": seconds,
            }
        )
        shown = "  ".join(f"{score:.4f} {decibel(share):6.2f} dB" for score, share in (nearest, rounded, fine))
        gain = "-" if won is None else f"{won:.2f}"
        print(
            f"| {bench.name} ({bench.float_score.score:.4f}) | {level} | {shown} | {gain} | {seconds:.0f} s", flush=True
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--levels", default="0,1,3")
    parser.add_argument("--images", type=int, default=100, help="validation images a network (0: all)")
    parser.add_argument("--calibration", type=int, default=None, help="calibration images (default: all)")
    parser.add_argument("--aids", default="default")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    aids = dict.fromkeys(given.aids.split("+"), True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in listed(given.networks):
            bench = Bench.load(name, Path(folder), given.images, given.calibration, apart=True)
            rows += rows_of(bench, [int(level) for level in listed(given.levels)], aids)
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for level in listed(given.levels):
        summary([row for row in rows if row["level"] == int(level)])


def summary(rows: list[dict[str, Any]]) -> None:
    """Print the means of one level over its networks."""
    if not rows:
        return
    won = [row["won"] for row in rows if row["won"] is not None]
    change = [decibel(row["rounded"][1]) - decibel(row["nearest"][1]) for row in rows]
    before, after = (float(np.mean([row[kind][0] / row["float"] for row in rows])) for kind in ("nearest", "rounded"))
    print(
        f"level {rows[0]['level']}: won {np.mean(won or [0]):.3f} of the noise ({len(won)} networks), "
        f"worst change {min(change):+.2f} dB, score / float {before:.4f} -> {after:.4f}"
    )


if __name__ == "__main__":
    main()
