"""Clipped tails: limits end where the reader is flat, and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.graph.ir import Node
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.tails import SATURATING, SHARE_OF_STEP, flat_limits
from slimai.schema.target import TargetSection

ATTRS = {
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Elu": {"alpha": 0.7},
    "Gelu": {"approximate": "none"},
    "Selu": {"alpha": 1.6, "gamma": 1.1},
    "Celu": {"alpha": 0.7},
}
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "Sigmoid": (sigmoid, 0.0, 1.0),
    "Tanh": (np.tanh, -1.0, 1.0),
    "HardSigmoid": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), 0.0, 1.0),
    "Elu": (lambda x: np.where(x < 0, 0.7 * np.expm1(np.minimum(x, 0)), x), -0.7, None),
    "HardSwish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 0.0, None),
    "SiLU": (lambda x: x * sigmoid(x), 0.0, None),
    "Gelu": (lambda x: x / 2 * (1 + erf(x / 2**0.5)), 0.0, None),
    "Erf": (erf, -1.0, 1.0),
    "Exp": (np.exp, 0.0, None),
    "Softplus": (lambda x: np.log1p(np.exp(x)), 0.0, None),
    "Selu": (lambda x: 1.1 * np.where(x < 0, 1.6 * np.expm1(np.minimum(x, 0)), x), -1.76, None),
    "Celu": (lambda x: np.where(x < 0, 0.7 * np.expm1(np.minimum(x, 0) / 0.7), x), -0.7, None),
    "Mish": (lambda x: x * np.tanh(np.log1p(np.exp(x))), 0.0, None),
}


def node(op):
    return Node("n", op, ("x",), ("y",), ATTRS.get(op, {}))


@pytest.mark.parametrize("op", SATURATING)
@pytest.mark.parametrize("tolerance", [1e-7, 1e-4, 0.01, 0.05])
def test_beyond_it_the_function_is_flat_and_just_inside_it_is_not(op, tolerance):
    """Oracle: the function itself on 10,001 points beyond and one a thousandth inside; 1e-12 for rounding."""
    function, low, high = FUNCTIONS[op]
    found = flat_limits(node(op), tolerance)
    beyond = np.linspace(found.low - 40, found.low, 10_001)
    assert np.abs(function(beyond) - low).max() <= tolerance + 1e-12
    if op in ("SiLU", "Mish", "Sigmoid", "Tanh", "Elu"):
        assert abs(function(np.array(found.low * 0.999)) - low) > tolerance
    if high is None:
        assert math.isinf(found.high)
        return
    beyond = np.linspace(found.high, found.high + 40, 10_001)
    assert np.abs(function(beyond) - high).max() <= tolerance + 1e-12
    if op != "HardSigmoid":
        assert abs(function(np.array(found.high * 0.999)) - high) > tolerance


@pytest.mark.parametrize("op", SATURATING)
@pytest.mark.parametrize("tolerance", [1e-300, 0.3, 0.6, 1.0, 50.0])
def test_any_tolerance_gives_ordered_limits(op, tolerance):
    found = flat_limits(node(op), tolerance)
    assert found.low <= 0.0 <= found.high
    assert not math.isnan(found.low + found.high) or math.isinf(found.high)


def test_other_functions_have_no_tails():
    assert flat_limits(node("Relu"), 0.1) is None
    assert flat_limits(node("LeakyRelu"), 0.1) is None
    assert flat_limits(Node("n", "HardSigmoid", ("x",), ("y",), {"alpha": -0.2, "beta": 0.5}), 0.1) is None


def silu(net, rng, *more):
    n = net()
    n.conv("x", "a", rng.normal(size=(4, 4, 1, 1)))
    n.node("SiLU", ("a",), "b")
    for op, output in more:
        n.node(op, ("a",), output)
    n.conv("b", "y", rng.normal(size=(4, 4, 1, 1)))
    return n


def planned(graph, stats, **options):
    return build_plan(graph, stats, QuantOptions(**{"tail_clipping": True, **options}), TargetSection())


RANGES = {"x": (-1, 1), "a": (-30, 9), "b": (-0.3, 9), "y": (-5, 5)}


def silu_end(step):
    """Return where |SiLU| falls to a quarter of a step, by a scan of a millionth."""
    points = -np.arange(2, 30, 1e-5)
    return points[np.abs(points * sigmoid(points)) <= SHARE_OF_STEP * step][0]


@pytest.mark.parametrize("level", [1, 3])
def test_the_limits_end_where_silu_is_flat(net, rng, stats_of, level):
    """Within 1e-4 of the scan."""
    graph, stats = silu(net, rng).graph("y"), stats_of(**RANGES)
    plan = planned(graph, stats, level=level)
    low, high = plan.limits["a"]
    assert low == pytest.approx(silu_end(plan.tensors["b"].scale), abs=1e-4)
    assert -7.5 < low < -5.5
    assert high == 9.0
    assert (low, high) != planned(graph, stats, level=level, tail_clipping=False).limits["a"] == (-30.0, 9.0)
    (told,) = [item for item in plan.decisions if item.where == "a"]
    assert told.what == f"limits {low:.4g} to 9"
    assert told.why == "SiLU is flat beyond: -30 to 9 before"


def test_sixteen_bits_see_further(net, rng, stats_of):
    graph, stats = silu(net, rng).graph("y"), stats_of(**RANGES)
    wide, narrow = planned(graph, stats, level=4), planned(graph, stats, level=3)
    assert wide.limits["a"][0] == pytest.approx(silu_end(wide.tensors["b"].scale), abs=1e-4)
    assert wide.limits["a"][0] < narrow.limits["a"][0] - 4
    mixed = planned(graph, stats, level=3, datatypes={"n_b": (8, 16), "n_y": (16, 8)})
    assert mixed.limits["a"][0] == pytest.approx(silu_end(mixed.tensors["b"].scale), abs=1e-4)


def test_limits_inside_stay(net, rng, stats_of):
    graph = silu(net, rng).graph("y")
    plan = planned(graph, stats_of(**{**RANGES, "a": (-3, 9)}), level=3)
    assert plan.limits["a"] == (-3.0, 9.0)
    assert not [item for item in plan.decisions if item.where == "a"]


def test_the_range_is_taken_first(net, rng, stats_of):
    graph, stats = silu(net, rng).graph("y"), stats_of(**RANGES)
    assert planned(graph, stats, level=3, percent=10.0).limits["a"] == (-3.0, pytest.approx(0.9, abs=1e-12))


def test_edited_limits_are_final(net, rng, stats_of):
    plan = planned(silu(net, rng).graph("y"), stats_of(**RANGES), level=3, limits={"a": (-20.0, 8.0)})
    assert plan.limits["a"] == (-20.0, 8.0)
    assert not [item for item in plan.decisions if item.where == "a"]


def test_every_reader_has_to_be_flat(net, rng, stats_of):
    """HardSwish ends at -3 and Relu at 0, so SiLU decides; a Neg decides for the whole range; so does an output."""
    ranges = {**RANGES, "h": (-0.3, 9), "r": (0, 9), "n": (-9, 30)}
    both = planned(silu(net, rng, ("HardSwish", "h")).graph("y", "h"), stats_of(**ranges), level=3)
    assert -7.5 < both.limits["a"][0] < -5.5
    relu = planned(silu(net, rng, ("Relu", "r")).graph("y", "r"), stats_of(**ranges), level=3)
    assert -7.5 < relu.limits["a"][0] < -5.5
    neg = planned(silu(net, rng, ("Neg", "n")).graph("y", "n"), stats_of(**ranges), level=3)
    assert neg.limits["a"] == (-30.0, 9.0)
    output = planned(silu(net, rng).graph("y", "a"), stats_of(**RANGES), level=3)
    assert output.limits["a"] == (-30.0, 9.0)


def test_a_reader_on_the_host_needs_everything(net, rng, stats_of):
    plan = planned(silu(net, rng, ("Atan", "e")).graph("y", "e"), stats_of(**{**RANGES, "e": (-1, 1)}), level=3)
    assert plan.limits["a"] == (-30.0, 9.0)


generated = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
POOL = {"kernel_shape": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "ceil_mode": 0}
PASSING = st.sampled_from(["LeakyRelu", "MaxPool", "Transpose", "Reshape", "Resize"])


@generated
@given(
    st.lists(st.tuples(PASSING, st.floats(0.05, 1.5)), max_size=4),
    st.tuples(st.floats(-3, 0), st.floats(0.1, 5)),
    st.sampled_from([1, 3, 4]),
)
def test_what_leads_to_a_clamp_needs_no_more_than_the_clamp(net, rng, stats_of, chain, ends, level):
    """Oracle: the functions on 20,001 points; limits of the first tensor end where the whole chain becomes flat.

    A mean of neighbours (Resize, linear) tells apart what a clamp behind it does not: nothing in front of it is cut.
    """
    n = net()
    n.conv("x", "t0", rng.normal(size=(4, 4, 1, 1)))
    points = np.linspace(-60, 60, 20_001)
    n.node("LeakyRelu", ("t0",), "l", alpha=1.0)  # what a convolution would take as its clamp is a layer of its own
    ranges, values, last, blind = {"x": (-1, 1), "t0": (-60, 60), "l": (-60, 60)}, points, "l", True
    for place, (op, slope) in enumerate(chain, 1):
        name = f"t{place}"
        if op == "Resize":
            blind = False
            n.node(op, (last,), name, mode="linear", scales=(1.0, 1.0, 2.0, 2.0))
        else:
            attrs = {"LeakyRelu": {"alpha": slope}, "MaxPool": POOL, "Transpose": {"perm": (0, 1, 3, 2)}}
            n.node(op, (last,), name, **attrs.get(op, {}))
        values = np.where(values < 0, values * slope, values) if op == "LeakyRelu" else values
        ranges[name], last = (values[0], values[-1]), name
    n.node("Clip", (last,), "c", lo=ends[0], hi=ends[1])
    n.conv("c", "y", rng.normal(size=(4, 4, 1, 1)))
    plan = planned(n.graph("y"), stats_of(**ranges, c=ends, y=(-5, 5)), level=level)
    clamped = np.clip(values, *ends)
    low, high = plan.limits["t0"]
    inside = points[(clamped > ends[0]) & (clamped < ends[1])]
    room = 2.0 if level == 4 else 1.0
    assert low <= inside.min()
    assert high >= inside.max()
    if blind:  # the points are 0.006 apart
        assert low >= min(inside.min(), 0.0) - 0.013
        assert high <= inside.max() + 0.013
    else:
        assert (low, high) == (-60.0 * room, 60.0 * room)


def test_a_sigmoid_rounds_as_before_beyond_the_limits(net, rng, stats_of):
    """Its grid has steps of 1/256: what lies beyond gets the same integer as the end does, 0 or 255."""
    n = net()
    n.conv("x", "a", rng.normal(size=(4, 4, 1, 1)))
    n.node("Sigmoid", ("a",), "y")
    plan = planned(n.graph("y"), stats_of(x=(-1, 1), a=(-33, 40), y=(0, 1)), level=3)
    low, high = plan.limits["a"]
    assert (low, high) == (pytest.approx(-math.log(1023), abs=1e-9), pytest.approx(math.log(1023), abs=1e-9))
    assert np.rint(256 * sigmoid(np.array([low, -33.0]))).tolist() == [0.0, 0.0]
    assert np.clip(np.rint(256 * sigmoid(np.array([high, 40.0]))), 0, 255).tolist() == [255.0, 255.0]
