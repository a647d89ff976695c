"""One layer's fit: its errors are those of the samples themselves, its bias the one of the mean."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.quantizer.params import S8
from slimai.quantizer.plan import QWeight
from slimai.quantizer.rounding.fit import PULLS, Problem, Trust, shrinkage, tried_pulls
from slimai.quantizer.rounding.moments import Moments, target_units
from slimai.quantizer.rounding.result import LayerReport, RoundedLayer, Rounding
from slimai.quantizer.weight_layout import WeightLayout
from slimai.quantizer.weight_store import WeightStore

STEP = 0.05  # of the layer's inputs


class Samples:
    """Rows of a layer of two groups: integers that it reads, and what it should give."""

    def __init__(self, seed, count, *, groups=2, inputs=5, outputs=3, shift=0.0):
        rng = np.random.default_rng(seed)
        base = np.random.default_rng(99)
        mixing = np.eye(inputs) + 0.5 * base.normal(size=(groups, inputs, inputs))
        x = np.einsum("gnk,gkj->gnj", 20 * rng.normal(size=(groups, count, inputs)), mixing) + 11
        self.v = np.clip(np.rint(x), -127, 127).astype(np.int16)
        self.weights = base.normal(size=(groups, outputs, inputs))
        y = np.einsum("gnk,gok->ngo", STEP * x, self.weights).reshape(count, -1) + 3.0 + shift
        self.units = target_units(y)
        self.y = np.rint(y / self.units).astype(np.int16)
        self.moments = Moments.empty(groups, inputs, outputs)
        self.moments.add(self.v, self.y, 127)

    def problem(self, high=127, *, biased=True):
        scale = np.broadcast_to(np.abs(self.weights).max() / high, self.weights.shape[:2])
        return Problem(self.weights, scale, STEP, self.units.reshape(self.weights.shape[:2]), high, biased)

    def error(self, problem, integers, bias):
        """Oracle: every sample, in float64."""
        real = STEP * self.v.astype(float)
        made = np.einsum("gnk,gok->ngo", real, integers * problem.scale[..., None]) + bias
        meant = (self.y * self.units).reshape(made.shape)
        return float(np.square(meant - made).mean())


@pytest.mark.parametrize("high", [7, 127])
def test_the_error_from_moments_is_that_of_the_samples(high):
    samples = Samples(1, 400)
    problem = samples.problem(high)
    integers = np.rint(samples.weights / problem.scale[..., None]).astype(np.int64)
    for bias in (np.zeros((2, 3)), problem.bias(integers, samples.moments)):
        want = samples.error(problem, integers, bias)
        assert problem.error(integers, bias, samples.moments) == pytest.approx(want, rel=1e-7)


def test_the_bias_takes_the_mean_error_to_zero():
    samples = Samples(2, 300, shift=5.0)
    problem = samples.problem(7)
    integers = np.zeros((2, 3, 5), np.int64)
    integers[..., 0] = 3
    bias = problem.bias(integers, samples.moments)
    made = np.einsum("gnk,gok->ngo", STEP * samples.v, integers * problem.scale[..., None]) + bias
    np.testing.assert_allclose(made.mean(axis=0).reshape(-1), (samples.y * samples.units).mean(axis=0), rtol=1e-9)


def test_fitted_integers_have_a_smaller_error_than_nearest_ones_on_other_samples():
    fit, held = Samples(3, 600), Samples(4, 300)
    problem = fit.problem(7)
    nearest = np.rint(fit.weights / problem.scale[..., None]).astype(np.int64)
    trust = problem.trusted(fit.moments, held.moments)
    found = problem.fitted(fit.moments, trust)
    assert np.abs(found.integers).max() <= 7
    before = held.error(problem, nearest, problem.bias(nearest, fit.moments))
    after = held.error(problem, found.integers, found.bias)
    assert after < 0.6 * before


def test_without_a_place_for_a_bias_the_weights_answer_for_the_mean_too():
    """Oracle: all 7^3 rows of integers within -3..3, each with the error of the samples themselves."""
    every = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for seed in range(5):
        samples = Samples(seed, 300, groups=1, inputs=3, outputs=2)
        problem = samples.problem(3, biased=False)
        free = Trust(np.full((1, 2), len(PULLS) - 1))  # of all pulls the one nearest to least squares
        found = problem.fitted(samples.moments, free)
        np.testing.assert_array_equal(found.bias, np.zeros((1, 2)))
        error = samples.error(problem, found.integers, found.bias)
        assert problem.error(found.integers, found.bias, samples.moments) == pytest.approx(error, rel=1e-7)
        made = STEP * samples.v[0].astype(float) @ every.T * problem.scale[0, 0]
        errors = np.square(made[:, :, None] - (samples.y * samples.units)[:, None, :]).mean(axis=0)  # [343, O]
        assert error <= errors.min(axis=0).mean() * 1.02, "the ridge of 1e-4 and the pull of 1e-3 may cost 2 %"


def test_a_channel_leaves_its_float_weights_only_where_held_out_samples_gain():
    """The inputs are noise that has nothing to do with what is meant: nothing to learn, everything to overfit."""
    fit, held = Samples(5, 40), Samples(6, 2000)
    for samples in (fit, held):
        rng = np.random.default_rng(len(samples.y))
        moments = Moments.empty(2, 5, 3)
        samples.y = np.rint(samples.y * 0.2 + 12000 * rng.normal(size=samples.y.shape).clip(-2, 2)).astype(np.int16)
        moments.add(samples.v, samples.y, 127)
        samples.moments = moments
    problem = fit.problem()
    free = problem.fitted(fit.moments, Trust(np.full((2, 3), len(PULLS) - 1)))
    trusted = problem.fitted(fit.moments, problem.trusted(fit.moments, held.moments))
    assert held.error(problem, trusted.integers, trusted.bias) < held.error(problem, free.integers, free.bias)


@pytest.mark.parametrize(("samples", "inputs", "share"), [(400, 100, 0.0), (399, 100, 100 / 399), (100, 100, 1.0)])
def test_shrinkage_is_none_with_four_samples_a_weight_and_whole_with_one(samples, inputs, share):
    assert shrinkage(samples, inputs) == pytest.approx(share)


def rounding():
    weight = QWeight(np.arange(-6, 6, dtype=np.int8).reshape(3, 2, 2), S8, np.array([0.1, 0.2, 0.3]), 0)
    reports = (LayerReport("a", "", 512, 4, 0.5, 0.1), LayerReport("b", "held-out images do not gain", 64, 9, 0.1, 0.2))
    return Rounding({"a": RoundedLayer(weight, np.array([1.0, -2.0, 1e-7]))}, reports)


def test_a_rounding_is_read_as_it_was_written_and_equal_ones_give_equal_bytes(tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    rounding().save(first)
    rounding().save(second)
    assert first.read_bytes() == second.read_bytes()
    found = Rounding.load(first)
    assert found.reports == rounding().reports
    assert [report.kept for report in found.reports] == [True, False]
    assert set(found.layers) == {"a"}
    weight = found.layers["a"].weight
    assert (weight.dtype, weight.axis) == (S8, 0)
    np.testing.assert_array_equal(weight.values, np.arange(-6, 6).reshape(3, 2, 2))
    assert weight.values.dtype == np.int8
    np.testing.assert_array_equal(weight.scale, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(found.layers["a"].bias, [1.0, -2.0, 1e-7])


@pytest.mark.parametrize("keep", [0, 1, 30, 200])
def test_a_damaged_file_is_a_plain_error(tmp_path, keep):
    path = tmp_path / "a.npz"
    rounding().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((ValueError, OSError, KeyError)):
        Rounding.load(path)


def test_channels_of_another_scale_keep_their_nearest_integers():
    rounded = QWeight(np.full((3, 2), 5, np.int8), S8, np.array([0.1, 0.2, 0.3]), 0)
    nearest = QWeight(np.full((3, 2), 1, np.int8), S8, np.array([0.1, 0.25, 0.3]), 0)
    store = WeightStore()
    mixed = store.mixed(rounded, nearest, WeightLayout(0))
    assert mixed.values.tolist() == [[5, 5], [1, 1], [5, 5]]
    np.testing.assert_array_equal(mixed.scale, nearest.scale)
    assert store.mixed(rounded, nearest, WeightLayout(0)) is mixed, "candidates share it"
    same = QWeight(nearest.values, S8, rounded.scale, 0)
    assert store.mixed(rounded, same, WeightLayout(0)) is rounded
    other = QWeight(nearest.values, S8, rounded.scale * 2, 0)
    assert store.mixed(rounded, other, WeightLayout(0)) is other


@pytest.mark.parametrize(("inputs", "count"), [(9, len(PULLS)), (1024, len(PULLS)), (1025, 3), (2304, 2), (4608, 2)])
def test_wide_layers_try_fewer_pulls_but_always_none_and_some(inputs, count):
    tried = tried_pulls(inputs)
    assert len(tried) == count
    assert tried[0] == 0
    assert np.isinf(PULLS[tried[0]])
    assert list(tried) == sorted(tried)
