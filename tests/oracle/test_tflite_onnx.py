"""Stored networks as QDQ ONNX: ONNX Runtime in float agrees with the integers, and so does the meaning of axes.

Tolerance: 1 step of the output (2 for what TFLite computes coarsely), because float rounds once where integers
round twice. At most a fiftieth of the elements may differ, a third where ties are usual or where both roundings
of TFLite are of whole numbers.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from small_network import small_network
from stored_networks import read
from test_tflite_operators import CASES, UINT8, seeded

from slimai.graph.save import to_onnx
from slimai.quantizer.prequantized import stored_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

# TFLite's 16-bit fixed point HARD_SWISH is coarser than a float one.
STEPS = {"hard-swish": 2, "softmax": 2, "softmax-4d": 2}
OFTEN = ("hard-swish", "softmax", "average-pool", "mean", "bilinear", "quantize", "leaky-relu")
# What the file claims about the grids is not what its integers mean there: MAXIMUM compares integers, whatever their
# scales; roots of integers below zero are no numbers, and TFLite writes some.
NOT_REAL = {"reshape-other-grid", "maximum-grids", "minimum-grids", "sqrt", "rsqrt"}


def plain_session(model):
    """Return ONNX Runtime without its integer kernels, which saturate on some processors."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def random_reals(plan, rng, batch):
    """Return real inputs that lie on the plan's own grid: their quantization has no ties."""
    feeds = {}
    for name in plan.graph.inputs:
        params = plan.tensors[name]
        shape = (batch, *plan.graph.shape(name)[1:])
        integers = rng.integers(params.dtype.low, params.dtype.high + 1, shape).astype(params.dtype.numpy)
        feeds[name] = params.dequantize(integers)
    return feeds


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("case", [*CASES, *UINT8[::3]], ids=str)
def test_qdq_says_what_the_integers_say(case, level):
    if case.name in NOT_REAL:
        pytest.skip("TFLite copies integers to another grid: their real values change")
    network = read(case.make(seeded(str(case)), case.dtype, **case.options))
    plan = stored_plan(network, level)
    program = compile_plan(plan, TargetSection(), arithmetic="gemmlowp" if level == 3 else "single")
    feeds = random_reals(plan, np.random.default_rng(3), 8 if network.graph.batchable else 1)
    mine, theirs = program.run(feeds), plain_session(to_qdq(plan)).run(None, feeds)
    for name, real in zip(network.graph.outputs, theirs, strict=True):
        params = plan.tensors.get(name)
        steps = np.abs(real - (mine[name] if params is None else params.dequantize(mine[name])))
        if params is not None:
            steps = steps / params.scale
            allowed = STEPS.get(case.name, 1)
            assert steps.max() < allowed + 0.1
        assert np.mean(steps > 0.1) < (1 / 3 if case.name.startswith(OFTEN) else 0.02)


def test_the_float_network_has_the_file_s_axes_and_any_batch():
    network = read(small_network())
    feeds = random_reals(stored_plan(network), np.random.default_rng(4), 3)
    whole = FloatSession(network.graph).run(feeds)["classes"]
    single = [FloatSession(to_onnx(network.graph).SerializeToString()).run({"image": x[None]}) for x in feeds["image"]]
    assert whole.shape == (3, 5)
    np.testing.assert_allclose(whole, np.concatenate([item["classes"] for item in single]), atol=1e-6)
    program = compile_plan(stored_plan(network), TargetSection(), arithmetic="gemmlowp")
    np.testing.assert_allclose(program.dequantize(program.run(feeds))["classes"], whole, atol=0.1)
