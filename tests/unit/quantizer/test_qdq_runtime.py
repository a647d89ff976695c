"""The exported network under ONNX Runtime's default optimizer, which rewrites biases and fuses layers."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def sqnr(truth, found):
    """Return the signal-to-quantization-noise ratio in dB."""
    return float(10 * np.log10((truth**2).sum() / ((truth - found) ** 2).sum()))


@pytest.mark.parametrize(("level", "bar"), [(1, 20.0), (4, 60.0)])
def test_default_session_agrees_with_the_simulator(repo_root, level, bar):
    graph = load_onnx(repo_root / "examples/data/models/mobilenet_digits.onnx")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 3, 32, 32)).astype(np.float32)
    stats = collect(graph, [{"images": images}], per_channel=True)
    plan = build_plan(graph, stats, QuantOptions(level=level), TargetSection())
    program = compile_plan(plan, TargetSection())
    ours = program.dequantize(program.run({"images": images}))["logits"]
    session = onnxruntime.InferenceSession(to_qdq(plan).SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"images": images})[0]
    assert sqnr(ours, theirs) > bar
