"""Depthwise convolutions behind joins: the same function in parts, whatever stands between, and nearer in integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import channel_magnitudes, collect
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rewrites.clustering import Clustered, cluster_channels
from slimai.quantizer.rewrites.clusters import bits_below, contiguous_clusters
from slimai.quantizer.rewrites.seams import joined_depthwise, seams, split_at_seams
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

POOL = {"kernel_shape": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "ceil_mode": 0}
RESIZE = {
    "mode": "nearest",
    "scales": (1.0, 1.0, 2.0, 2.0),
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


def images(graph, count=2):
    draw = np.random.default_rng(3)
    return [
        {name: draw.normal(size=(1, *graph.shape(name)[1:])).astype(np.float32) for name in graph.inputs}
        for _ in range(count)
    ]


def split(graph):
    return split_at_seams(graph, channel_magnitudes(graph, images(graph)))


def same(graph, changed):
    """Oracle: ONNX Runtime on the network as it was; tolerance 2e-6 of the largest output (order of float32 sums)."""
    for feeds in images(graph):
        before, after = FloatSession(graph).run(feeds), FloatSession(changed).run(feeds)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, rtol=0, atol=2e-6 * np.abs(value).max() + 1e-30)


class Draft:
    """A network with joins of unlike ranges, grown a step at a time."""

    def __init__(self, n, seed):
        self.n, self.rng, self.count = n, np.random.default_rng(seed), 0

    def name(self):
        self.count += 1
        return f"t{self.count}"

    def channels(self, tensor):
        return self.n.tensors[tensor].shape[1]

    def source(self, channels, size, like="x"):
        weights = self.rng.normal(size=(channels, self.channels(like), 1, 1)) * size
        return self.n.conv(like, self.name(), weights, self.rng.normal(size=channels) * size)

    def join(self, parts):
        _, _, *spatial = self.n.tensors[parts[0]].shape
        channels = sum(self.channels(part) for part in parts)
        return self.n.node("Concat", parts, self.name(), (1, channels, *spatial), axis=1)

    def step(self, kind, tensor):  # noqa: PLR0911 - one for each kind
        n, (_, channels, height, width) = self.n, self.n.tensors[tensor].shape
        if kind in ("MaxPool", "AveragePool"):
            extra = {"count_include_pad": 0} if kind == "AveragePool" else {}
            return n.node(kind, (tensor,), self.name(), **POOL, **extra)
        if kind == "Resize":
            sizes = (1, channels, 2 * height, 2 * width)
            return n.node(kind, (tensor,), self.name(), sizes, sizes=sizes, **RESIZE)
        if kind == "Pad":
            dims = (1, channels, height + 1, width + 2)
            return n.node(kind, (tensor,), self.name(), dims, pads=(0, 0, 1, 0, 0, 0, 0, 2), mode="constant", value=0.0)
        if kind == "PRelu":
            slopes = n.const(self.name(), self.rng.uniform(0.1, 0.9, (channels, 1, 1)))
            return n.node(kind, (tensor, slopes), self.name())
        if kind in ("Add", "Sub"):
            other = self.source(channels, 1.0) if (height, width) == n.tensors["x"].shape[2:] else tensor
            return n.node(kind, (tensor, other), self.name())
        if kind == "Slice" and channels > 2:
            bounds = {"starts": (1,), "ends": (channels,), "axes": (1,), "steps": (1,)}
            return n.node(kind, (tensor,), self.name(), (1, channels - 1, height, width), **bounds)
        if kind == "Split" and channels > 2:
            names = (self.name(), self.name())
            n.node(kind, (tensor,), names, (1, channels - 1, height, width), axis=1, split=(1, channels - 1))
            n.tensors[names[0]] = type(n.tensors[names[0]])(names[0], (1, 1, height, width))
            return names[1]
        return tensor if kind in ("Slice", "Split") else n.node(kind, (tensor,), self.name())

    def depthwise(self, tensor, sizes=1.0):
        channels = self.channels(tensor)
        weights = self.rng.uniform(0.5, 1.5, (channels, 1, 1, 1)) / np.reshape(sizes, (-1, 1, 1, 1))
        return self.n.conv(tensor, self.name(), weights, self.rng.normal(size=channels), group=channels)


POINTWISE = ("Relu", "HardSwish", "SiLU", "PRelu")
KINDS = (*POINTWISE, "MaxPool", "AveragePool", "Resize", "Pad", "Add", "Sub", "Slice", "Split")


@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.01, 1.0, 30.0])), min_size=2, max_size=5),
    before=st.lists(st.sampled_from(KINDS), max_size=4),
    after=st.lists(st.sampled_from(["Relu", "PRelu", "HardSwish", "MaxPool"]), max_size=2),
    nested=st.booleans(),
    read_again=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_computes_the_same_whatever_stands_between(net_class, parts, before, after, nested, read_again, seed):
    draft = Draft(net_class(), seed)
    sources = [draft.source(channels, size) for channels, size in parts]
    tensor = draft.join(sources)
    if nested:
        tensor = draft.join([draft.step("Relu", tensor), draft.source(2, 5.0)])
    joined = tensor
    for kind in before:
        tensor = draft.step(kind, tensor)
    tensor = draft.depthwise(tensor)
    for kind in after:
        tensor = draft.step(kind, tensor)
    tensor = draft.depthwise(draft.join([tensor, tensor]))
    outputs = [draft.source(3, 1.0, tensor), *([draft.source(2, 1.0, joined)] if read_again else [])]
    graph = draft.n.graph(*outputs)
    made = split(graph)
    same(graph, made.graph)
    assert bool(made.joins) == bool(made.decisions)
    assert made.joins <= set(made.graph.by_name)
    assert set(made.origin) <= set(made.graph.by_name)
    assert set(made.origin.values()) <= set(graph.by_name)


@pytest.fixture
def shuffle(net):
    """A join of unlike ranges in front of a depthwise convolution, read by another convolution as well."""
    draft = Draft(net(), 5)
    sizes = (40.0, 0.2, 1.0)
    joined = draft.join([draft.step("HardSwish", draft.source(8, size)) for size in sizes])
    end = draft.step("HardSwish", draft.depthwise(draft.step("MaxPool", joined), np.repeat(sizes, 8)))
    return draft.n.graph(draft.source(4, 1.0, end), draft.source(4, 1.0, joined))


def test_a_depthwise_convolution_behind_a_join_is_split_and_each_part_has_its_own_scale(shuffle):
    made = split(shuffle)
    same(shuffle, made.graph)
    assert [item.what for item in made.decisions] == ["split at the seams of a join"]
    assert made.decisions[0].why == "parts of 8, 8, 8 channels, joined behind"
    parts = [node for node in made.graph.nodes if node.op == "Conv" and node.attrs["group"] == 8]
    assert len(parts) == 3
    plan = build_plan(made.graph, collect(made.graph, images(made.graph)), QuantOptions(level=3), TargetSection())
    scales = [plan.tensors[node.inputs[0]].scale for node in parts]
    assert scales[0] > 20 * scales[2] > 40 * scales[1]


def test_the_depthwise_convolution_s_output_is_nearer_in_integers(shuffle):
    """Level 3: what the depthwise convolution computes gains at least 10 dB in the channels of the smaller parts."""
    ratios = []
    for graph in (shuffle, split(shuffle).graph):
        end = graph.by_name[shuffle.producers[shuffle.outputs[0]].name].inputs[0]
        plan = build_plan(graph, collect(graph, images(graph)), QuantOptions(level=3), TargetSection())
        program, truth = compile_plan(plan, TargetSection()), FloatSession(graph, outputs=[end])
        error = power = 0.0
        for feeds in images(graph):
            real = truth.run(feeds)[end][:, 8:]
            made = plan.tensors[end].dequantize(program.run(feeds, capture=[end])[end])[:, 8:]
            error, power = error + np.square(made - real).sum(), power + np.square(real).sum()
        ratios.append(10 * np.log10(power / error))
    assert ratios[1] > ratios[0] + 10


def test_parts_of_like_range_stay_together(net):
    draft = Draft(net(), 5)
    joined = draft.join([draft.source(8, size) for size in (1.0, 1.0, 1.0)])
    graph = draft.n.graph(draft.source(4, 1.0, draft.depthwise(joined)))
    assert joined_depthwise(graph)
    assert seams(graph, joined) == (8, 16)
    made = split(graph)
    assert made.graph is graph
    assert not made.decisions


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9), st.data())
def test_the_cuts_are_the_best_ones_one_after_the_other(values, data):
    """Oracle: every further cut tried, the bits of a part are those of its largest channel."""
    count = len(values)
    places = sorted(data.draw(st.sets(st.integers(1, count - 1), min_size=1)))
    ranges = bits_below(np.array(values))
    found = contiguous_clusters(ranges, places)
    assert set(found) <= set(places)
    assert list(found) == sorted(found)

    def needed(cuts):
        edges = [0, *sorted(cuts), count]
        return sum(max(ranges[a:b]) * (b - a) for a, b in itertools.pairwise(edges))

    more = [needed(found) - needed([*found, at]) for at in places if at not in found]
    assert len(found) >= 7 or not more or max(more) < 0.35 * count + 1e-9


def test_ranges_that_are_not_finite_decide_nothing():
    assert bits_below(np.array([1.0, np.nan])) is None


def test_two_rewrites_are_told_as_one(shuffle):
    """Parts of parts come from the node of the given network; what was split is in the joins."""
    first = split(shuffle)
    second = cluster_channels(first.graph, channel_magnitudes(first.graph, images(first.graph)), everywhere=True)
    both = second.after(first)
    assert set(both.origin) >= set(first.origin) & set(second.graph.by_name)
    assert set(both.origin.values()) <= set(shuffle.by_name)
    assert both.joins >= first.joins
    part = Clustered(second.graph, (), {"part": next(iter(first.origin))}).after(first)
    assert part.origin["part"] == first.origin[next(iter(first.origin))]
