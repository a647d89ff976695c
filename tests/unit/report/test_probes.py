"""Weights alone and activations alone, against the networks that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.quantizer.options import QuantOptions
from slimai.report.probes import probes, with_rounded_weights
from slimai.runtime.session import FloatSession


def test_rounded_weights_are_multiples_of_their_scales(digits):
    plan = digits.plan(QuantOptions(level=1))
    rounded = with_rounded_weights(digits.graph, plan)
    changed = [
        name for name, value in rounded.constants.items() if not np.array_equal(value, digits.graph.constants[name])
    ]
    weights = {layer.node.inputs[1]: layer.weight for layer in plan.layers if layer.weight is not None}
    assert set(changed) == set(weights)
    for name, weight in weights.items():
        shape = [-1] + [1] * (weight.values.ndim - 1)
        steps = rounded.constants[name] / weight.scale.reshape(
            shape if weight.per_channel else [1] * weight.values.ndim
        )
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 3, 4])
def test_probes_tell_weights_from_activations(digits, level):
    plan = digits.plan(QuantOptions(level=level))
    feeds = {name: value[:4] for name, value in digits.feeds.items()}
    truth = FloatSession(digits.graph).run(feeds)
    weights, activations = probes(digits.graph, plan, feeds, truth)
    assert (weights.name, activations.name) == ("weights only", "activations only")
    whole = digits.program(QuantOptions(level=level)).run(feeds)
    real = {name: plan.tensors[name].dequantize(value) for name, value in whole.items()}
    noise = sum(float(((truth[n] - real[n]) ** 2).sum()) for n in truth)
    signal = sum(float((truth[n] ** 2).sum()) for n in truth)
    both = 10 * np.log10(signal / noise)
    assert min(weights.sqnr, activations.sqnr) < both + 6  # neither alone explains less than a quarter of the noise
    if level == 4:
        assert weights.sqnr > 60  # s16 weights cost nothing, so that all of the noise is that of the activations
        assert activations.sqnr == pytest.approx(both, abs=1.5)  # two roundings of 2^-16 of a range, by chance


def test_float_weights_leave_only_the_activations(digits):
    """With 16-bit weights the weights-only probe shows nearly nothing; with 8 bits a scale a tensor it shows more."""
    feeds = {name: value[:4] for name, value in digits.feeds.items()}
    truth = FloatSession(digits.graph).run(feeds)
    fine, coarse = (
        probes(digits.graph, digits.plan(QuantOptions(level=level)), feeds, truth)[0].sqnr for level in (4, 0)
    )
    assert fine > coarse + 20
