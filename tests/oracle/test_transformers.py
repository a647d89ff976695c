"""Seeded transformers run whole in integers and are no further from float than ONNX Runtime's quantizer is.

SQNR of the output over 6 samples that calibration has not seen; 64 for calibration; range 100, nearest weights, target
npu. ONNX Runtime: weights per channel, the better of MinMax and Percentile 99.99, u8 asymmetric activations beside
level 3 and s8 symmetric ones beside level 1.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from transformer_networks import bert, deit

from slimai.calibration.collect import channel_magnitudes, collect
from slimai.config.target import load_target
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rewrites.aids import DEFAULTS
from slimai.quantizer.rewrites.norm_scaling import norms_with_readers, scale_through_norms
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

NETWORKS = {"bert": bert, "deit": deit}
LEVEL_4_DB = 40.0


def samples(shape, first, count):
    rngs = [np.random.default_rng(first + index) for index in range(count)]
    return [{"input": rng.normal(size=shape).astype(np.float32)} for rng in rngs]


def decibels(wanted, found):
    noise = sum(float(np.square(a.astype(float) - b).sum()) for a, b in zip(wanted, found, strict=True))
    return 10 * np.log10(sum(float(np.square(a.astype(float)).sum()) for a in wanted) / noise)


class Reader:
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def peer(path, folder, calibration, validation, *, symmetric):
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    found = []
    for method, extra in (("MinMax", {}), ("Percentile", {"CalibPercentile": 99.99})):
        target = folder / f"{method}_{symmetric}.onnx"
        kind = QuantType.QInt8 if symmetric else QuantType.QUInt8
        quantize_static(path, target, Reader(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=kind, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod[method],
                        extra_options={**extra, "ActivationSymmetric": symmetric})  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"])
        found.append([session.run(None, feeds)[0] for feeds in validation])
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_in_integers_and_near_float(name, tmp_path):
    path = tmp_path / f"{name}.onnx"
    onnx.save(NETWORKS[name](), path)
    graph = load_onnx(path)
    target = TargetSection.model_validate(load_target(["target=npu"]).values["target"])
    shape, output = graph.shape("input"), graph.outputs[0]
    calibration, validation = samples(shape, 0, 64), samples(shape, 100, 6)
    session = FloatSession(graph)
    wanted = [session.run(feeds)[output] for feeds in validation]
    axes = {item.norm.outputs[0]: len(graph.shape(item.norm.outputs[0])) - 1 for item in norms_with_readers(graph)}
    scaled = scale_through_norms(graph, channel_magnitudes(graph, calibration, axes=axes), target.per_channel_ops).graph
    stats = collect(scaled, calibration, bins=2048, per_channel=True)
    reached = {}
    for level in (1, 3, 4):
        aids = DEFAULTS[level]
        options = QuantOptions(level=level, bias_correction=aids.bias_correction, tail_clipping=aids.tail_clipping)
        program = compile_plan(build_plan(scaled, stats, options, target), target)
        assert not program.host_layers
        reached[level] = decibels(wanted, [program.dequantize(program.run(feeds))[output] for feeds in validation])
    others = {
        level: max(
            decibels(wanted, found) for found in peer(path, tmp_path, calibration, validation, symmetric=level == 1)
        )
        for level in (1, 3)
    }
    assert reached[1] >= others[1], (reached, others)
    assert reached[3] >= others[3], (reached, others)
    assert reached[4] >= LEVEL_4_DB, reached
