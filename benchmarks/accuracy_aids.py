"""The accuracy aids of benchmarks/accuracy.py by their short names, and one score with some of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_bench import Bench
from accuracy_summary import Score

_OPTIONS = {"bc": "bias_correction", "clip": "weight_clipping", "tails": "tail_clipping"}
_FOUR_BITS = ("w4", "peak")  # weights of 4 bits; with the scale of the peak, not that of the least squared error


def four_bits(aids: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantizer's options of 4-bit weights, where the aids name them."""
    return {"weight_bits": 4, "narrow_clipping": not aids.get("peak")} if aids.get("w4") else {}


def default_aids(level: int) -> dict[str, Any]:
    """Return the aids that are on by default at a level, by their short names here."""
    from slimai.quantizer.rewrites.aids import DEFAULTS

    found = DEFAULTS[level]
    parts = {
        "eq": found.equalization,
        "act": found.equalization,
        "absorb": found.bias_absorption,
        "bc": found.bias_correction,
        "cluster": found.channel_clustering,
        "tails": found.tail_clipping,
    }
    return {"fold": True, **{name: True for name, on in parts.items() if on}}


def run(bench: Bench, level: int, aids: Mapping[str, Any], extra: Mapping[str, Any], cache: dict[Any, Any]) -> Score:
    """Return the score of one level with the given accuracy aids."""
    return bench.plan_score(plan_of(bench, level, aids, extra, cache))


def plan_of(bench: Bench, level: int, aids: Mapping[str, Any], extra: Mapping[str, Any], cache: dict[Any, Any]) -> Any:
    """Return the plan of one level with the given accuracy aids."""
    from slimai.app.candidates.quantizer import nonnegative_inputs
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan

    aids = {**default_aids(level), **aids} if "default" in aids else aids
    target = bench.job.config.target
    parts = ("fold", "eq", "act", "clamp", "absorb", "absorb3s", "cluster", "all", "seams")
    key = (bench.name, *(bool(aids.get(part)) for part in parts))
    if key not in cache:
        cache[key] = calibrated(bench, aids)
    graph, stats = cache[key]
    options = QuantOptions(
        level=level,
        nonnegative_inputs=nonnegative_inputs(bench.job),
        **{name: True for key, name in _OPTIONS.items() if aids.get(key)},
        **four_bits(aids),
        **extra,
    )
    if aids.get("round") or aids.get("own"):
        found = rounding(bench, level, aids, cache, (key, extra if aids.get("own") else {}))
        options = replace(options, rounding=found.layers)
    if aids.get("emp"):
        from slimai.app.candidates.empirical_bias import corrected_options

        options = corrected_options(graph, stats, options, target, bench.calibration)
    return build_plan(graph, stats, options, target)


def rounding(bench: Bench, level: int, aids: Mapping[str, Any], cache: dict[Any, Any], at: tuple[Any, Any]) -> Any:
    """Return the rounding of the weights at a level. at: the key of the float network in `cache`, and the limits."""
    from slimai.app.candidates.quantizer import nonnegative_inputs
    from slimai.quantizer.options import QuantOptions
    from slimai.quantizer.planner import build_plan
    from slimai.simulator.rounding_guard import guarded
    from slimai.simulator.rounding_pass import Images, RoundingPass

    key, limits = at
    own = (key, "round", level, str(limits), *(bool(aids.get(part)) for part in (*_OPTIONS, *_FOUR_BITS)))
    if own not in cache:
        graph, stats = cache[key]
        switches: dict[str, Any] = {name: True for short, name in _OPTIONS.items() if aids.get(short)}
        switches |= four_bits(aids)
        options = QuantOptions(level=level, nonnegative_inputs=nonnegative_inputs(bench.job), **limits, **switches)
        plan = build_plan(graph, stats, options, bench.job.config.target)
        images = Images(len(bench.calibration), lambda: bench.calibration)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            target = bench.job.config.target
            found = RoundingPass(graph, plan, target, images, Path(folder)).run()
            cache[own] = guarded(graph, plan, found, target, images, arithmetic="native")
            kept = sum(report.kept for report in cache[own].reports)
            print(f"    rounding: {kept} of {len(cache[own].reports)} layers, {time.process_time() - start:.1f} s")
    return cache[own]


def calibrated(bench: Bench, aids: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the float network that these aids make, and its statistics."""
    from slimai.calibration.collect import channel_extremes, channel_magnitudes, collect
    from slimai.quantizer.rewrites.absorption import absorb_biases
    from slimai.quantizer.rewrites.clustering import cluster_channels
    from slimai.quantizer.rewrites.constant_channels import fold_constant_channels
    from slimai.quantizer.rewrites.equalization import equalize

    graph = bench.job.graph
    if aids.get("fold"):
        graph, _ = fold_constant_channels(graph)
    if aids.get("seams"):
        from slimai.quantizer.rewrites.seams import split_at_seams

        found = split_at_seams(graph, channel_magnitudes(graph, bench.calibration[:16]))
        graph = found.graph
    if aids.get("eq"):
        seen = channel_magnitudes(graph, bench.calibration[:16]) if aids.get("act") else None
        graph = equalize(graph, seen, clamp_per_channel=bool(aids.get("clamp"))).graph
    for name, extremes in (("absorb", channel_extremes), ("absorb3s", three_sigma)):
        if aids.get(name):
            graph = absorb_biases(graph, extremes(graph, bench.calibration)).graph
    if aids.get("cluster"):
        seen = channel_magnitudes(graph, bench.calibration[:16])
        graph = cluster_channels(graph, seen, everywhere=bool(aids.get("all"))).graph
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
