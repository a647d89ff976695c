"""Time and quality of single-shot limits: 100 tensors of 10240 bins, symmetric and asymmetric, MSE and KL.

Usage: python benchmarks/thresholds.py [--tensors 100] [--bins 10240] [--samples 100000] [--threads 1] [--peers]

Quality is the squared error over the raw samples against the best of a dense mesh of limits. --peers times ONNX
Runtime's entropy search on one tensor of the same bins (it grows with the square: 10240 takes minutes).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from slimai.calibration.histogram import Histogram, HistogramBuilder
from slimai.calibration.solve import Grid, solve_limits

SYMMETRIC, ASYMMETRIC = Grid(-128, 127), Grid(0, 255, free_zero=True)

SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "gaussian": lambda r, n: r.normal(size=n),
    "laplace": lambda r, n: r.laplace(size=n),
    "half-normal": lambda r, n: np.abs(r.normal(size=n)),
    "rectified": lambda r, n: np.maximum(r.normal(size=n), 0),
    "heavy tail": lambda r, n: r.standard_t(3, n),
    "bimodal": lambda r, n: np.concatenate([r.normal(-3, 0.3, n // 2), r.normal(4, 0.5, n - n // 2)]),
    "uniform": lambda r, n: r.uniform(-1, 1, n),
    "spiky": lambda r, n: np.concatenate([r.normal(size=n - 20), np.full(20, 60.0)]),
    "shifted": lambda r, n: r.normal(2, 1, n),
    "lognormal": lambda r, n: r.lognormal(size=n),
}


def histogram(values: np.ndarray, bins: int) -> Histogram:
    """Return the histogram of the samples with at least `bins` bins."""
    builder = HistogramBuilder(2 * bins)
    builder.add(values.astype(np.float32))
    return builder.result()


def error(values: np.ndarray, low: float, high: float, grid: Grid) -> float:
    """Return the mean squared error of the raw samples on the grid of these limits."""
    if grid.free_zero:
        scale = (high - low) / 255
        bottom = -round(-low / scale)
        integers = np.clip(np.rint(values / scale), bottom, bottom + 255)
    else:
        scale = max(-low, high) / grid.high
        integers = np.clip(np.rint(values / scale), grid.low, grid.high)
    return float(np.square(values - integers * scale).mean())


def brute_force(values: np.ndarray, grid: Grid) -> float:
    """Return the least error over a dense mesh of limits."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if not grid.free_zero:
        return min(error(values, low * f, high * f, grid) for f in np.geomspace(1, 1 / 64, 400))
    lows = low * np.geomspace(1, 1 / 64, 40) if low < 0 else [0.0]
    highs = high * np.geomspace(1, 1 / 64, 40) if high > 0 else [0.0]
    part = values[::10]
    a, b = min(((a, b) for a in lows for b in highs), key=lambda pair: error(part, *pair, grid))
    near = np.geomspace(0.94, 1.06, 13)
    return min(error(values, max(a * f, low), min(b * g, high), grid) for f in near for g in near)


def main() -> None:
    """Print times, then quality."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensors", type=int, default=100)
    parser.add_argument("--bins", type=int, default=10240)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", action="store_true")
    given = parser.parse_args()
    names = list(SHAPES)
    rng = np.random.default_rng(0)
    samples = {name: SHAPES[name](rng, given.samples).astype(np.float32).astype(float) for name in names}
    tensors = {f"{i}": histogram(samples[names[i % len(names)]], given.bins) for i in range(given.tensors)}
    for label, grid in (("symmetric", SYMMETRIC), ("asymmetric", ASYMMETRIC)):
        grids = dict.fromkeys(tensors, grid)
        for method in ("ImprovedMSE", "ImprovedKL"):
            solve_limits(dict(list(tensors.items())[:1]), {"0": grid}, method)  # compiles the kernels
            times = []
            for _ in range(3):
                start = time.perf_counter()
                found = solve_limits(tensors, grids, method, threads=given.threads)
                times.append(time.perf_counter() - start)
            print(f"{label:10s} {method:11s} {given.tensors} tensors: {min(times):.3f} s (best of 3)")
            if method == "ImprovedMSE":
                for i, name in enumerate(names):
                    ratio = error(samples[name], *found[str(i)], grid) / brute_force(samples[name], grid)
                    print(f"    {name:12s} squared error / brute force {ratio:.4f}")
    if given.peers:
        peer(samples["laplace"], given.bins)


def peer(values: np.ndarray, bins: int) -> None:
    """Print the time of ONNX Runtime's entropy search on one tensor."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    for count in (513, 1025, bins + 1):
        collector = HistogramCollector(
            method="entropy", symmetric=True, num_bins=count, num_quantized_bins=128, percentile=99.99, scenario="same"
        )
        collector.collect({"t": [values.astype(np.float32)]})
        start = time.perf_counter()
        collector.compute_collection_result()
        print(f"ONNX Runtime entropy, one tensor, {count} bins: {time.perf_counter() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
