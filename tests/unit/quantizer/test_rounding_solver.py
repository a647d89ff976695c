"""The integer least-squares solver: brute force over the box, and the twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.quantizer.rounding import _kernels, _reference
from slimai.quantizer.rounding.solver import ENUMERATED, best_integers, least_squares, residual, sums


def problem(seed, inputs, outputs, samples, *, spread=1.0):
    """Return H [K, K] and c [O, K] of an ill-conditioned layer, and the real weights in steps [O, K]."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(inputs) + spread * rng.normal(size=(inputs, inputs)) / np.sqrt(inputs)
    rows = rng.normal(size=(samples, inputs)) @ mixing
    h = rows.T @ rows / samples
    weights = rng.uniform(-3, 3, size=(outputs, inputs))
    return h, weights @ h + 0.3 * rng.normal(size=(outputs, inputs)) * np.sqrt(np.diag(h)), weights


def value(h, c, z):
    return float(z @ h @ z - 2 * c @ z)


def least(h, c, high):
    """Oracle: the least sum over every integer vector of the box."""
    grid = np.array(list(itertools.product(range(-high, high + 1), repeat=len(h))), float)
    return float((np.einsum("ni,ij,nj->n", grid, h, grid) - 2 * grid @ c).min())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), inputs=st.integers(1, 5), high=st.integers(1, 4), spread=st.sampled_from((0.0, 1, 3))
)
def test_small_layers_reach_the_global_optimum_of_the_box(seed, inputs, high, spread):
    h, c, weights = problem(seed, inputs, 2, inputs + 3, spread=spread)
    found = best_integers(h, c, weights, high)
    assert np.abs(found).max() <= high
    for row, target in zip(found, c, strict=True):
        assert value(h, target, row) <= least(h, target, high) + 1e-9 * (1 + abs(least(h, target, high)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inputs", [8, 10])
def test_layers_of_ten_weights_reach_the_global_optimum(seed, inputs):
    h, c, weights = problem(seed, inputs, 1, 3 * inputs, spread=2.0)
    found = best_integers(h, c, weights, 1)
    assert value(h, c[0], found[0]) == pytest.approx(least(h, c[0], 1), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_ten_weights_on_the_whole_grid_of_8_bits(seed):
    """Oracle: every integer vector near the real optimum whose cost could be below the one found (float64)."""
    h, c, weights = problem(seed, 10, 1, 60, spread=0.5)
    c, weights = 20 * c, 20 * weights
    found = best_integers(h, c, weights, 127)[0]
    real = np.linalg.solve(h, c[0])
    distance = float((found - real) @ h @ (found - real))
    reach = np.sqrt(distance * np.diag(np.linalg.inv(h)))  # no better vector is further away in any weight
    axes = [range(int(np.ceil(a)), int(np.floor(b)) + 1) for a, b in zip(real - reach, real + reach, strict=True)]
    for first in itertools.product(*axes[:4]):
        rest = np.array(list(itertools.product(*axes[4:])), float)
        grid = np.hstack([np.broadcast_to(first, (len(rest), 4)), rest]) - real
        assert np.einsum("ni,ij,nj->n", grid, h, grid).min(initial=np.inf) >= distance * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    inputs=st.sampled_from((1, 2, 9, 27, 33, 48, 70)),
    outputs=st.integers(1, 3),
    high=st.sampled_from((1, 3, 7, 127)),
)
def test_the_twins_give_the_same_integers(seed, inputs, outputs, high):
    h, c, weights = problem(seed, inputs, outputs, inputs + 9, spread=0.5)
    if inputs > 2:
        h[0], h[:, 0], c[:, 0] = 0.0, 0.0, 0.0  # an input that is always 0
    assert 27 < ENUMERATED < 33, "both ways of the solver are looked at"
    found = best_integers(h, c, weights, high)
    np.testing.assert_array_equal(found, best_integers(h, c, weights, high, kernels=_reference))


@pytest.mark.parametrize("size", [1, 4, 31, 32, 33, 64, 100])
def test_the_factor_is_numpys_and_its_twin_has_the_same_bits(size):
    h, *_ = problem(size, size, 1, 2 * size + 3)
    mine, twin = h.copy(), h.copy()
    assert _kernels.cholesky(mine)
    assert _reference.cholesky(twin)
    np.testing.assert_array_equal(np.tril(mine), np.tril(twin))
    np.testing.assert_allclose(np.tril(mine), np.linalg.cholesky(h), rtol=1e-9, atol=1e-12)
    assert not _kernels.cholesky(-h)
    assert not _reference.cholesky(-h)


def test_larger_layers_are_far_below_nearest_integers_and_below_each_start():
    h, c, weights = problem(5, 120, 6, 300, spread=1.0)
    found = best_integers(h, c, weights, 127)
    nearest = np.rint(np.clip(np.linalg.solve(h, c.T).T, -127, 127))
    mine, theirs = sums(h, c, found.astype(float)), sums(h, c, nearest)
    floor = -np.einsum("oi,io->o", c, np.linalg.solve(h, c.T))  # of real weights
    assert ((mine - floor) < 0.6 * (theirs - floor)).all()


def test_a_weight_that_no_input_moves_stays_at_its_nearest_integer():
    h, c, weights = problem(1, 6, 2, 30)
    h[2], h[:, 2], c[:, 2] = 0.0, 0.0, 0.0
    weights[:, 2] = (1.4, -2.6)
    assert best_integers(h, c, weights, 7)[:, 2].tolist() == [1, -3]


def test_least_squares_with_a_prior_is_the_normal_equation():
    h, c, weights = problem(9, 12, 3, 40)
    pull = np.linspace(0.1, 2.0, 12)
    want = np.linalg.solve(h + np.diag(pull), (c + weights * pull).T).T
    for kernels in (None, _reference):
        found = least_squares(h, weights @ h - c, weights, pull, kernels=kernels)
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)
    assert least_squares(-h, c, weights, np.zeros(12)) is None
    np.testing.assert_allclose(residual(h, c, weights), weights @ h - c, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        sums(h, c, weights), [value(h, a, b) for a, b in zip(c, weights, strict=True)], rtol=1e-9
    )
