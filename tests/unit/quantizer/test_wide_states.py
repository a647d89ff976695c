"""What is computed from the step before runs in 16 bits at levels 1 to 3, and only that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import collect
from slimai.graph.samples import run_samples
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.wide_states import fed_back
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

UNITS, STEPS = 6, 12


def cell(net, rng, states):
    """A cell h' = tanh(x W + h R), c' = c / 2 + h', and a ring buffer of the last x; `states` names what is carried."""
    n = net((1, UNITS))
    for name, width in (("h", UNITS), ("c", UNITS), ("ring", 2 * UNITS)):
        n.add_input(name, (1, width))
    n.node("MatMul", ("x", n.const("w", rng.normal(size=(UNITS, UNITS)) / 2)), "from_x")
    n.node("MatMul", ("h", n.const("r", rng.normal(size=(UNITS, UNITS)) / 8)), "from_h")
    n.node("Add", ("from_x", "from_h"), "sum")
    n.node("Tanh", ("sum",), "hn")
    n.node("Mul", ("c", n.const("half", 0.5)), "kept")
    n.node("Add", ("kept", "hn"), "cn")
    n.node("Concat", ("ring", "x"), "longer", (1, 3 * UNITS), axis=1)
    n.node("Slice", ("longer",), "ringn", (1, 2 * UNITS), axes=(1,), starts=(UNITS,), ends=(3 * UNITS,), steps=(1,))
    n.node("MatMul", ("ringn", n.const("v", rng.normal(size=(2 * UNITS, 3)))), "from_ring", (1, 3))
    n.node("MatMul", ("cn", n.const("u", rng.normal(size=(UNITS, 3)))), "from_c", (1, 3))
    n.node("Add", ("from_ring", "from_c"), "y")
    graph = n.graph("y", "hn", "cn", "ringn")
    every = {"h": "hn", "c": "cn", "ring": "ringn"}
    return replace(graph, states={name: every[name] for name in states}, sequences=("x",))


def samples(graph, count, seed=1):
    rng = np.random.default_rng(seed)
    zeros = {name: np.zeros(graph.shape(name), np.float32) for name in graph.inputs if name != "x"}
    return [{"x": rng.normal(size=(1, STEPS, UNITS)).astype(np.float32), **zeros} for _ in range(count)]


def planned(graph, level=3, **options):
    stats = collect(graph, samples(graph, 6), bins=2048)
    return build_plan(graph, stats, QuantOptions(level=level, **options), TargetSection())


@pytest.mark.parametrize(
    ("states", "inside"),
    [
        ((), []),
        (("ring",), []),
        (("c",), ["n_kept", "n_cn"]),
        (("h",), ["n_from_h", "n_sum", "n_hn"]),
        # h acts on c, and c not on h
        (("h", "c", "ring"), ["n_from_h", "n_sum", "n_hn", "n_kept", "n_cn"]),
    ],
)
def test_only_layers_that_compute_a_state_from_itself_are_fed_back(net, states, inside):
    graph = cell(net, np.random.default_rng(0), states)
    assert fed_back(graph, layer_steps(graph)) == inside


def test_two_states_that_feed_each_other_are_one_loop(net):
    n = net((1, 4))
    for name in ("a", "b"):
        n.add_input(name, (1, 4))
    n.node("Add", ("b", "x"), "an")
    n.node("Relu", ("a",), "bn")
    graph = replace(n.graph("an", "bn"), states={"a": "an", "b": "bn"}, sequences=("x",))
    assert fed_back(graph, layer_steps(graph)) == ["n_an", "n_bn"]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_what_is_fed_back_its_sources_and_its_readers_have_16_bits_and_weights_8(net, level):
    graph = cell(net, np.random.default_rng(0), ("h", "c"))
    plan = planned(graph, level)
    bits = {name: plan.tensors[name].dtype.bits for name in (*graph.inputs, "from_x", "from_h", "hn", "cn", "y")}
    assert {bits[name] for name in ("x", "h", "c", "from_x", "from_h", "hn", "cn")} == {16}
    layers = {layer.node.name: layer for layer in plan.layers}
    for name in ("n_from_x", "n_from_h", "n_from_c"):
        assert layers[name].weight.dtype.name == "s8"
        assert plan.tensors[layers[name].inputs[0]].dtype.bits == 16
    told = {item.where: item for item in plan.decisions if "state" in item.why}
    assert {"n_from_h", "n_sum", "n_hn", "n_kept", "n_cn"} <= set(told)
    assert told["n_hn"].what == "runs in 16 bits"


def test_levels_without_wider_types_and_named_layers_stay(net):
    graph = cell(net, np.random.default_rng(0), ("h", "c"))
    assert planned(graph, 0).tensors["hn"].dtype.bits == 8
    assert planned(graph, 4).tensors["hn"].dtype.bits == 16
    inside = fed_back(graph, layer_steps(graph))
    named = planned(graph, 3, datatypes=dict.fromkeys(inside, (8, 8)))
    assert {named.tensors[name].dtype.bits for name in ("x", "hn", "cn")} == {8}


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_late_steps_are_nearer_to_float_than_with_8_bit_states(net_class, seed):
    """Of states that forget: a chaotic cell doubles any noise."""
    graph = cell(net_class, np.random.default_rng(seed), ("h", "c"))
    inside = fed_back(graph, layer_steps(graph))
    plans = planned(graph), planned(graph, datatypes=dict.fromkeys(inside, (8, 8)))
    session, feeds = FloatSession(graph), samples(graph, 3, seed=2)
    wanted = np.stack([run_samples(graph, session.run, item)["y"] for item in feeds])
    noise = []
    for plan in plans:
        program = compile_plan(plan, TargetSection())
        found = np.stack([program.dequantize(program.samples(item))["y"] for item in feeds])
        noise.append(np.square(found - wanted)[:, :, STEPS // 2 :].sum())
    assert noise[0] < noise[1]


def spectrum(net, rng, *, quiet):
    """A convolution whose halves are real and imaginary parts, their magnitude, and a linear layer behind it."""
    n = net((1, 1, 16, 16))
    n.conv("x", "both", rng.normal(size=(8, 1, 1, 1)))
    for name, start in (("re", 0), ("im", 4)):
        n.node("Slice", ("both",), name, (1, 4, 16, 16), axes=(1,), starts=(start,), ends=(start + 4,), steps=(1,))
        n.node("Reshape", (name,), f"{name}1", (1, 4, 16, 16, 1), shape=(1, 4, 16, 16, 1))
    n.node("Concat", ("re1", "im1"), "parts", (1, 4, 16, 16, 2), axis=4)
    n.node("ReduceL2", ("parts",), "size", (1, 4, 16, 16), axes=(4,), keepdims=0)
    n.conv("size", "y", rng.normal(size=(3, 4, 1, 1)))
    x = rng.normal(size=(2, 1, 16, 16))
    if quiet:
        x /= 200
        x[0, 0, 0, 0] = 4.0
    return n.graph("y"), [{"x": item[None].astype(np.float32)} for item in x]


@pytest.mark.parametrize("quiet", [False, True])
def test_magnitudes_that_8_bits_cannot_hold_have_16(net, quiet):
    graph, images = spectrum(net, np.random.default_rng(1), quiet=quiet)
    plan = build_plan(graph, collect(graph, images), QuantOptions(level=3), TargetSection())
    bits = {name: plan.tensors[name].dtype.bits for name in ("x", "both", "parts", "size", "y")}
    wide = 16 if quiet else 8
    assert bits == {"x": 8, "both": wide, "parts": wide, "size": wide, "y": 8}
    assert any("it is a magnitude" in item.why for item in plan.decisions) == quiet
