"""Clustered channels: the same function, ranges of like size together, and what is left alone."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import utils

from slimai.app.run.mix_ranking import merged
from slimai.calibration.collect import channel_magnitudes, collect
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.rewrites.clustering import chains, cluster_channels
from slimai.quantizer.rewrites.clusters import MOST_CLUSTERS, SMALLEST_SAVING, clusters
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.search.knee import Raisable
from slimai.simulator.program import compile_plan

SIZES = np.array([0.01, 100.0, 1.0, 0.02, 90.0, 1.1])  # of the six channels: three pairs
PAIRS = [[0, 3], [2, 5], [1, 4]]


def images(graph, count=3):
    draw = np.random.default_rng(3)
    return [
        {name: draw.normal(size=(2, *graph.shape(name)[1:])).astype(np.float32) for name in graph.inputs}
        for _ in range(count)
    ]


def chain(n, rng, source, prefix, activation="SiLU", after="SiLU"):
    """Add convolution, activation, depthwise convolution and activation; return the tensor at the end."""
    rows = SIZES[:, None, None, None]
    weights = rng.choice([-1.0, 1.0], (6, n.tensors[source].shape[1], 1, 1)) * rows
    n.conv(source, f"{prefix}a", weights, rng.uniform(0.1, 0.2, 6) * SIZES)
    n.node(activation, (f"{prefix}a",), f"{prefix}b")
    n.conv(f"{prefix}b", f"{prefix}c", 1 / rows, np.ones(6), group=6)
    n.node(after, (f"{prefix}c",), f"{prefix}d")
    return f"{prefix}d"


def clustered(graph, **options):
    return cluster_channels(graph, channel_magnitudes(graph, images(graph)), **options)


def same(graph, changed):
    """Oracle: ONNX Runtime on the network as it was; tolerance 2e-6 of the largest output (order of float32 sums)."""
    for feeds in images(graph):
        before, after = FloatSession(graph).run(feeds), FloatSession(changed).run(feeds)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, rtol=0, atol=2e-6 * np.abs(value).max())


@pytest.fixture
def case(net, rng):
    """Two chains, the second read by two convolutions; the reader of the first is the second's convolution."""
    n = net()
    end = chain(n, rng, chain(n, rng, "x", "p"), "q")
    n.conv(end, "y", rng.normal(size=(3, 6, 1, 1)), rng.normal(size=3))
    n.conv(end, "z", rng.normal(size=(2, 6, 1, 1)))
    return n.graph("y", "z")


def test_it_computes_the_same(case):
    made = clustered(case)
    assert len(made.decisions) == 2
    assert [node.op for node in made.graph.nodes].count("Concat") == 2
    same(case, made.graph)


def test_channels_of_like_range_are_together(case):
    made = clustered(case)
    rows = [made.graph.constants[f"pa_w_c{place}"] for place in range(3)]
    for channels, found in zip(PAIRS, rows, strict=True):
        np.testing.assert_array_equal(found, case.constants["pa_w"][channels])
    assert made.decisions[0].where == "n_pa, n_pb, n_pc, n_pd"
    assert made.decisions[0].what == "channels clustered by range"
    assert made.decisions[0].why == "clusters of 2, 2, 2 channels, put together for n_qa"
    assert made.decisions[1].why.endswith(" channels, put together for n_y, n_z")
    assert made.graph.by_name["n_pc_c1"].attrs["group"] == 2


def test_each_cluster_has_its_own_scale_and_the_output_is_nearer(case):
    """Level 3: the smallest cluster's step is below a hundredth of what it was; the outputs gain at least 6 dB."""
    made = clustered(case).graph
    plans = {graph is made: plan_of(graph, level=3) for graph in (case, made)}
    assert plans[True].tensors["pb_c0"].scale < plans[False].tensors["pb"].scale / 100
    assert noise(case, plans[False]) > 4 * noise(case, plans[True])


def plan_of(graph, **options):
    return build_plan(graph, collect(graph, images(graph), per_channel=True), QuantOptions(**options), TargetSection())


def noise(graph, plan):
    program, total = compile_plan(plan, TargetSection()), 0.0
    for feeds in images(graph):
        truth, found = FloatSession(graph).run(feeds), program.dequantize(program.run(feeds))
        total += sum(float(np.square(found[name] - truth[name]).sum() / np.square(truth[name]).sum()) for name in truth)
    return total


@pytest.mark.parametrize("level", range(5))
def test_every_node_of_the_export_is_within_one_step(case, level):
    """Each layer alone in ONNX Runtime, on the simulator's integers: at most one step of its output's grid.

    At 16 bits SiLU is read from 513 knots and a line between them: 3e-3 of the largest integer.
    """
    plan = plan_of(clustered(case).graph, level=level)
    model = onnx.shape_inference.infer_shapes(to_qdq(plan))
    onnx.checker.check_model(model, full_check=True)
    extractor, program = utils.Extractor(model), compile_plan(plan, TargetSection())
    feeds = images(case)[0]
    values = program.run(feeds, capture=[name for layer in plan.layers for name in layer.outputs])
    values |= program.entering(feeds)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for layer in plan.layers:
        (output,) = layer.outputs
        part = extractor.extract_model([f"{name}__q" for name in layer.inputs], [f"{output}__q"])
        alone = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        theirs = alone.run(None, {f"{name}__q": values[name] for name in layer.inputs})[0]
        steps = 98 if level == 4 and layer.node.op == "SiLU" else 1
        assert np.abs(theirs.astype(int) - values[output]).max() <= steps, layer.name


@pytest.mark.parametrize("pair", [("Relu", "Relu"), ("LeakyRelu", "Relu"), ("Clip", "Clip")])
def test_what_equalization_or_a_clamp_evens_out_is_left_alone_unless_asked(net, rng, pair):
    n = net()
    n.conv(chain(n, rng, "x", "p", *pair), "y", rng.normal(size=(3, 6, 1, 1)))
    attrs = {"LeakyRelu": {"alpha": 0.1}, "Clip": {"lo": 0.0, "hi": 50.0}}
    graph = n.graph("y")
    graph = graph.edited([node.with_attrs(**attrs.get(node.op, {})) for node in graph.nodes])
    assert clustered(graph).graph is graph
    made = clustered(graph, everywhere=True)
    assert len(made.decisions) == 1
    same(graph, made.graph)


def test_even_ranges_stay_one(net, rng):
    n = net()
    n.conv("x", "a", np.sign(rng.normal(size=(6, 4, 1, 1))))
    n.node("SiLU", ("a",), "b")
    n.conv("b", "c", np.ones((6, 1, 1, 1)), group=6)
    n.node("SiLU", ("c",), "d")
    n.conv("d", "y", rng.normal(size=(3, 6, 1, 1)))
    graph = n.graph("y")
    assert len(list(chains(graph))) == 1
    made = clustered(graph)
    assert made.graph is graph
    assert (made.decisions, made.origin) == ((), {})


def _outputs(*names):
    return lambda *_: names


def _added(n, rng):
    n.node("Add", ("pd", "pa"), "s")
    return ("s", "y")


def _grouped_reader(n, rng):
    n.conv("pd", "g", rng.normal(size=(4, 3, 1, 1)), group=2)
    return ("g", "y")


def _depthwise_reader(n, rng):
    n.conv("pd", "g", rng.normal(size=(6, 1, 1, 1)), group=6)
    n.conv("g", "h", rng.normal(size=(3, 6, 1, 1)))
    return ("h", "y")


def _shared_weights(n, rng):
    n.node("Mul", ("x", n.const("k", np.ones((1, 4, 1, 1)))), "x2")
    n.node("Conv", ("x2", "pa_w"), "t", (1, 6, 8, 8), **n.nodes[0].attrs)
    return ("t", "y")


@pytest.mark.parametrize(
    "spoil",
    [
        *(_outputs("y", name) for name in ("pa", "pb", "pc", "pd")),
        _added,
        _grouped_reader,
        _depthwise_reader,
        _shared_weights,
    ],
)
def test_another_reader_leaves_it_alone(net, rng, spoil):
    n = net()
    n.conv(chain(n, rng, "x", "p"), "y", rng.normal(size=(3, 6, 1, 1)))
    graph = n.graph(*spoil(n, rng))
    assert clustered(graph).graph is graph


def test_two_channels_from_one_leave_it_alone(net, rng):
    n = net()
    n.conv("x", "a", rng.normal(size=(6, 4, 1, 1)) * SIZES[:, None, None, None])
    n.node("SiLU", ("a",), "b")
    n.conv("b", "c", rng.normal(size=(12, 1, 1, 1)), group=6)
    n.node("SiLU", ("c",), "d")
    n.conv("d", "y", rng.normal(size=(3, 12, 1, 1)))
    graph = n.graph("y")
    assert clustered(graph).graph is graph


def test_taken_names_are_not_used_twice(net, rng):
    n = net()
    n.conv(chain(n, rng, "x", "p"), "y", rng.normal(size=(3, 6, 1, 1)))
    n.node("SiLU", ("y",), "pa_c0")
    graph = n.graph("pa_c0")
    made = clustered(graph).graph
    assert len(made.producers) == len(made.nodes) == len({node.name for node in made.nodes})
    same(graph, made)


def test_what_was_said_of_a_node_holds_for_its_parts(case):
    made = clustered(case)
    found = made.spread({"n_pa": (8, 16), "n_pd": (16, 8), "n_y": (16, 16)})
    assert found == {
        "n_pa": (8, 16),
        "n_pd": (16, 8),
        "n_y": (16, 16),
        **{f"n_pa_c{place}": (8, 16) for place in range(3)},
        **{f"n_pd_c{place}": (16, 8) for place in range(3)},
        "n_pd_clustered": (8, 8),
    }
    assert made.spread({}) == {}


def test_the_parts_of_a_node_are_raised_together():
    layers = [Raisable(name, noise, cost, (f"{name}_in",), (f"{name}_out",)) for name, noise, cost in ROWS]
    first, second = merged(layers, {"a_c0": "a", "a_c1": "a"})
    assert first == Raisable("a", 0.5, 7.0, ("a_c0_in", "a_c1_in"), ("a_c0_out", "a_c1_out"))
    assert second == layers[1]


ROWS = [("a_c0", 0.25, 3.0), ("b", 1.0, 1.0), ("a_c1", 0.5, 4.0)]
MAGNITUDES = arrays(float, (2, 7), elements=st.sampled_from([0.0, 1e-12, 0.01, 0.5, 1.0, 3.0, 100.0, 1e12]))


def wasted(magnitudes, members):
    """Return the bits that channels of one cluster waste, as the module defines it: Python's own arithmetic."""
    total = 0.0
    for row in magnitudes:
        bits = [0.0 if value == 0 else max(np.log2(value / row.max()), -8.0) for value in row]
        total += sum(max(bits[at] for at in members) - bits[at] for at in members)
    return total


@given(MAGNITUDES)
def test_every_channel_is_in_one_cluster_and_the_last_cut_paid(magnitudes):
    found = clusters(tuple(magnitudes))
    assert sorted(itertools.chain.from_iterable(found)) == list(range(7))
    assert all(np.array_equal(members, np.sort(members)) for members in found)
    assert 1 <= len(found) <= MOST_CLUSTERS
    saved = wasted(magnitudes, range(7)) - sum(wasted(magnitudes, members) for members in found)
    assert saved >= (len(found) - 1) * SMALLEST_SAVING * 7 - 1e-9


@given(MAGNITUDES)
def test_the_first_cut_is_the_best_of_all(magnitudes):
    """Oracle: every cut by the order of one of the tensors, tried one by one."""
    cuts = []
    for row in magnitudes:
        order = np.argsort(np.where(row == 0, np.inf, np.maximum(row, row.max() * 2.0**-8)), kind="stable")
        cuts += [(order[:at], order[at:]) for at in range(1, 7)]
    whole = wasted(magnitudes, range(7))
    best = max(whole - wasted(magnitudes, low) - wasted(magnitudes, high) for low, high in cuts)
    assert (len(clusters(tuple(magnitudes))) > 1) == (best >= SMALLEST_SAVING * 7) or abs(best - 2.45) < 1e-9


def test_no_range_at_all_is_one_cluster():
    assert len(clusters((np.zeros(4), np.zeros(4)))) == 1
    assert len(clusters((np.array([5.0]), np.array([5.0])))) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_range_that_is_not_finite_decides_nothing_and_warns_of_nothing(bad):
    """Calibration ends such a run with a message of its own."""
    assert len(clusters((np.array([100.0, bad, 0.01]), np.array([100.0, 1.0, 0.01])))) == 1
    assert len(clusters((np.array([100.0, 1.0, 0.01]), np.array([100.0, 1.0, 0.01])))) == 3
