"""Residual sums with outliers in front of a normalization run in 16 bits, and only what 8 bits would lose."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import collect
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.wide_sums import LEAST_DB, decibels_at_8_bits
from slimai.runtime.session import FloatSession
from slimai.simulator.program import compile_plan

WIDTH, ROWS, INNER = 32, 24, 48
MATRIX_WRITER, MATRIX_READER = "n_second", "n_next"
generated = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoder(net, rng, *, outlier, viewed):
    """Norm, linear, GELU, linear, residual sum, norm, linear; `outlier` weighs a neuron that is seldom on."""
    n = net((1, ROWS, WIDTH))
    constant = {name: n.const(name, rng.normal(size=shape) * factor + offset) for name, shape, factor, offset in (
        ("gain", WIDTH, 0.1, 1), ("shift", WIDTH, 0.1, 0), ("next_w", (WIDTH, 8), 0.2, 0))}  # fmt: skip
    first, second = rng.normal(size=(WIDTH, INNER)) / 6, rng.normal(size=(INNER, WIDTH)) / 7
    shift = np.zeros(INNER)
    first[:, 3] = 0.0
    first[0, 3], shift[3] = 4.0, -7.0  # on where one channel is 1.75 times its spread: seldom
    second[3, 5] = outlier
    n.node("LayerNormalization", ("x", constant["gain"], constant["shift"]), "l", axis=2, epsilon=1e-5)
    n.node("MatMul", ("l", n.const("first_w", first)), "first", (1, ROWS, INNER))
    n.node("Add", ("first", n.const("bias", shift)), "wide", (1, ROWS, INNER))
    n.node("Gelu", ("wide",), "active", approximate="none")
    n.node("MatMul", ("active", n.const("second_w", second)), "second", (1, ROWS, WIDTH))
    branch = "second"
    if viewed:
        n.node("Reshape", ("second",), "flat", (1, 1, ROWS, WIDTH), shape=(1, 1, ROWS, WIDTH))
        branch = n.node("Reshape", ("flat",), "back", (1, ROWS, WIDTH), shape=(1, ROWS, WIDTH))
    n.node("Add", (branch, "l"), "sum", (1, ROWS, WIDTH))
    n.node("LayerNormalization", ("sum", constant["gain"], constant["shift"]), "m", axis=2, epsilon=1e-5)
    return n.graph(n.node("MatMul", ("m", constant["next_w"]), "next", (1, ROWS, 8)))


def rows(graph, seed, count=3):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=graph.shape("x")).astype(np.float32)} for _ in range(count)]


def planned(graph, level=3, **options):
    stats = collect(graph, rows(graph, 1), bins=2048)
    return build_plan(graph, stats, QuantOptions(level=level, **options)), stats


def noise(graph, plan):
    program, session = compile_plan(plan, _target()), FloatSession(graph)
    pairs = [(session.run(feeds)["next"], program.dequantize(program.run(feeds))["next"]) for feeds in rows(graph, 1)]
    wanted, found = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum())


def _target():
    from slimai.config.target import load_target
    from slimai.schema.target import TargetSection

    return TargetSection.model_validate(load_target(["target=npu"]).values["target"])


@pytest.mark.parametrize("level", [3])
@given(seed=st.integers(0, 2**32 - 1), viewed=st.booleans())
@generated
def test_lost_sums_are_wide_and_keep_the_output(net, level, seed, viewed):
    graph = encoder(net, np.random.default_rng(seed), outlier=20.0, viewed=viewed)
    plan, stats = planned(graph, level)
    narrow = {node.name: (8, 8) for node in graph.nodes}
    assert plan.tensors["sum"].dtype.bits == plan.tensors["second"].dtype.bits == 16
    told = {item.where for item in plan.decisions if item.what == "runs in 16 bits"}
    assert {"sum", "second"} <= told
    assert all(decibels_at_8_bits(stats[name]) < LEAST_DB for name in told)
    assert plan.tensors["next"].dtype.bits == 8
    weights = {layer.node.name: layer.weight.dtype.bits for layer in plan.layers if layer.weight is not None}
    assert set(weights.values()) == {8}
    plain, _ = planned(graph, level, datatypes=narrow)
    assert noise(graph, plan) > noise(graph, plain) + 0.5


def test_what_is_not_lost_stays(net):
    plan, _ = planned(encoder(net, np.random.default_rng(0), outlier=0.2, viewed=False))
    assert {params.dtype.bits for params in plan.tensors.values()} == {8}


@pytest.mark.parametrize("level", [0, 4])
def test_levels_without_a_wider_type_are_left_alone(net, level):
    plan, _ = planned(encoder(net, np.random.default_rng(0), outlier=20.0, viewed=False), level)
    assert {params.dtype.bits for params in plan.tensors.values()} == {16 if level == 4 else 8}


def test_what_the_user_says_of_a_layer_counts(net):
    graph = encoder(net, np.random.default_rng(0), outlier=20.0, viewed=False)
    plan, _ = planned(graph, datatypes={MATRIX_WRITER: (8, 8)})
    assert plan.tensors["second"].dtype.bits == 8
    assert plan.tensors["sum"].dtype.bits == 16


def test_the_ratio_is_that_of_rounding(net):
    """Against rounding itself, 0.1 dB: uniform values on a range that is 50 times as wide."""
    n = net()
    graph = n.graph(n.node("Relu", ("x",), "y"))
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, (1, 4, 8, 8)).astype(np.float32)
    x.flat[0] = 50.0
    stats = collect(graph, [{"x": x}], bins=10240)
    step = 50.0 / 255
    values = np.random.default_rng(4).choice(x.ravel(), 200_000).astype(np.float64)
    values += np.random.default_rng(5).uniform(-step / 2, step / 2, values.size)  # no value stands on a step
    error = np.rint(values / step) * step - values
    expected = 10 * np.log10(np.square(x.astype(float)).mean() / np.square(error).mean())
    assert decibels_at_8_bits(stats["x"]) == pytest.approx(expected, abs=0.1)
