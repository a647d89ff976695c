"""Integers of weights are made once for each scale, and forms of them once for each weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slimai.quantizer.params import S8, S16
from slimai.quantizer.weight_layout import WeightLayout
from slimai.quantizer.weight_store import MOST_SCALES, WeightStore
from slimai.simulator.weight_forms import ConvWeights

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
LAYOUT = WeightLayout(0)


def expected(scale, dtype):
    """Oracle: one weight after the other, Python's round (half to even)."""
    flat = [
        max(-dtype.high, min(dtype.high, round(float(value) / float(scale[index % len(scale)]))))
        for index, channel in enumerate(WEIGHTS)
        for value in channel.reshape(-1)
    ]
    return np.array(flat).reshape(WEIGHTS.shape)


def test_the_same_scale_gives_the_same_object_and_another_scale_other_integers():
    store = WeightStore()
    scale = np.array([0.01, 0.02, 0.03, 0.04])
    made = store.quantized(WEIGHTS, LAYOUT, S8, scale)
    np.testing.assert_array_equal(made.values, expected(scale, S8))
    assert store.quantized(WEIGHTS, LAYOUT, S8, scale.copy()) is made
    for other in (
        store.quantized(WEIGHTS, LAYOUT, S8, scale * 2),
        store.quantized(WEIGHTS, LAYOUT, S16, scale),
        store.quantized(WEIGHTS.copy(), LAYOUT, S8, scale),
    ):
        assert other is not made
        np.testing.assert_array_equal(other.values, expected(other.scale, other.dtype))
    np.testing.assert_array_equal(store.peaks(WEIGHTS, LAYOUT), np.abs(WEIGHTS).max(axis=(1, 2, 3)))


def test_a_store_forgets_the_scale_that_was_used_longest_ago():
    store = WeightStore()
    made = [store.quantized(WEIGHTS, LAYOUT, S8, np.array([0.01 * (1 + n)])) for n in range(MOST_SCALES)]
    assert store.quantized(WEIGHTS, LAYOUT, S8, made[0].scale) is made[0]
    store.quantized(WEIGHTS, LAYOUT, S8, np.array([1.0]))
    assert store.quantized(WEIGHTS, LAYOUT, S8, made[0].scale) is made[0]
    assert store.quantized(WEIGHTS, LAYOUT, S8, made[1].scale) is not made[1]


def test_forms_stay_with_their_weight_and_a_changed_weight_has_none():
    made = WeightStore().quantized(WEIGHTS, LAYOUT, S8, np.array([0.01]))
    weights = ConvWeights.of(made, 1)
    assert ConvWeights.of(made, 1) is weights
    np.testing.assert_array_equal(weights.sums, made.values.astype(int).sum(axis=(1, 2, 3)))
    changed = replace(made, values=np.ones_like(made.values))
    np.testing.assert_array_equal(ConvWeights.of(changed, 1).sums, np.full(4, 27))


def test_a_cleared_store_makes_the_same_integers_anew():
    store, scale = WeightStore(), np.array([0.01])
    made = store.quantized(WEIGHTS, LAYOUT, S8, scale)
    store.clear()
    again = store.quantized(WEIGHTS, LAYOUT, S8, scale)
    assert again is not made
    np.testing.assert_array_equal(again.values, made.values)


def test_what_follows_from_a_weight_is_made_once_for_each_partner_while_it_lives():
    store, asked = WeightStore(), []
    first, second = object(), object()

    def of(weight, other):
        return store.once(weight, other, lambda: asked.append(other) or len(asked))

    weight = store.quantized(WEIGHTS, LAYOUT, S8, np.array([0.01]))
    twin = WeightStore().quantized(WEIGHTS, LAYOUT, S8, np.array([0.01]))
    assert [of(weight, first), of(weight, second), of(weight, first), of(twin, first)] == [1, 2, 1, 3]
    assert asked == [first, second, first]
    store.clear()
    assert of(weight, first) == 4
