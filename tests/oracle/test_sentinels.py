"""Masks and paddings that only say "never the largest": no data to calibration, the lowest integer to the network."""

from __future__ import annotations

import numpy as np
import pytest
from float_levels import F32, LEVELS, Case, network, plain_session, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.graph.sentinels import sentinel_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

LEAST = float(np.finfo(F32).min)
VALUES = (-1e4, -65504.0, -1e9, LEAST, -np.inf)
SHAPE = (1, 2, 5, 6)
PRESETS = ("native", "xi_sym", "gemmlowp", "single", "ort_f32")


def keeps(rng):
    """Return [5, 6] booleans: which places take part; at least one in every row."""
    kept = rng.random((5, 6)) < 0.6
    kept[np.arange(5), rng.integers(0, 6, 5)] = True
    return kept


def masked_network(form, value, between, kept):
    """Return the nodes from scores `s` to the masked scores `m`, and their constants."""
    value = F32(value)
    mask = np.where(kept, F32(0), value)
    if form == "add":
        nodes, constants = [("Add", ["s", "mask"], ["m"], {})], {"mask": mask}
    elif form == "add_bias":  # a mask that also carries a bias of position
        bias = np.linspace(-0.5, 0.5, 30, dtype=F32).reshape(5, 6)
        nodes, constants = [("Add", ["mask", "s"], ["m"], {})], {"mask": np.where(kept, bias, value)}
    elif form == "where":
        nodes, constants = [("Where", ["kept", "s", "v"], ["m"], {})], {"kept": kept, "v": value}
    elif form == "where_not":
        nodes, constants = [("Where", ["hidden", "v", "s"], ["m"], {})], {"hidden": ~kept, "v": value}
    elif form == "computed":  # (1 - a) * value + s, a from the input
        nodes = [
            ("Sub", ["one", "a"], ["n"], {}),
            ("Mul", ["n", "v"], ["k"], {}),
            ("Add", ["s", "k"], ["m"], {}),
        ]
        constants = {"one": F32(1), "v": value}
    else:  # where, then an addition: T5
        nodes = [("Where", ["kept", "zero", "v"], ["k"], {}), ("Add", ["s", "k"], ["m"], {})]
        constants = {"kept": kept, "zero": np.zeros((5, 6), F32), "v": value}
    last = "m"
    if between == "mul":
        nodes, last, constants["factor"] = [*nodes, ("Mul", ["m", "factor"], ["m2"], {})], "m2", F32(0.37)
    elif between == "reshape":
        nodes, last = [*nodes, ("Transpose", ["m"], ["m2"], {"perm": [0, 2, 1, 3]})], "m2"
    return nodes, constants, last


@st.composite
def masks(draw):
    form = draw(st.sampled_from(["add", "add_bias", "where", "where_not", "computed", "where_add"]))
    value = draw(st.sampled_from([v for v in VALUES if form != "computed" or np.isfinite(v)]))
    between = draw(st.sampled_from(["", "mul", "reshape"]))
    return form, value, between, draw(st.sampled_from([0.5, 3.0, 40.0])), draw(st.integers(0, 3))


def mask_case(folder, form, value, between, size, seed):
    rng = np.random.default_rng(seed)
    kept = keeps(rng)
    nodes, constants, last = masked_network(form, value, between, kept)
    constants["w"] = np.eye(6, dtype=F32)
    nodes = [("MatMul", ["x", "w"], ["s"], {}), *nodes, ("Softmax", [last], ["y"], {"axis": -1})]
    inputs = {"x": SHAPE, **({"a": (1, 1, 5, 6)} if form == "computed" else {})}
    feeds = samples(rng, {"x": SHAPE}, low=-size, high=size)
    if form == "computed":
        feeds = [{**feed, "a": kept.reshape(1, 1, 5, 6).astype(F32)} for feed in feeds]
    return Case(folder, network(nodes, inputs, ["y"], constants), feeds)


@settings(max_examples=60, deadline=None)
@given(masks(), st.sampled_from(PRESETS))
def test_masked_places_weigh_nothing_and_the_others_are_right(tmp_path_factory, chosen, arithmetic):
    case = mask_case(tmp_path_factory.mktemp("mask"), *chosen)
    size = chosen[3]
    case.check_float()
    for level in LEVELS:
        plan = build_plan(case.graph, case.stats, QuantOptions(level=level), TargetSection())
        program = compile_plan(plan, TargetSection(), arithmetic=arithmetic)
        params = plan.tensors["y"]
        for feed, wanted in zip(case.feeds, case.wanted, strict=True):
            found = program.run(feed)["y"]
            hidden = wanted["y"] == 0  # of masked places; exp(-80) and more is no zero in float32
            assert hidden.any()
            assert (found[hidden] == params.zero_point).all(), f"level {level}"
    if size < 10:
        case.check_levels(0.1, arithmetic=arithmetic, steps=4.0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["add", "where", "computed"])
def test_exported_model_masks_too(tmp_path, form, level):
    case = mask_case(tmp_path, form, LEAST, "", 0.5, 1)
    plan = build_plan(case.graph, case.stats, QuantOptions(level=level), TargetSection())
    session = plain_session(to_qdq(plan).SerializeToString())
    for feed, wanted in zip(case.feeds, case.wanted, strict=True):
        (found,) = session.run(["y"], feed)
        assert (found[wanted["y"] == 0] == 0).all()
        assert np.abs(found - wanted["y"]).max() <= 0.05


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(VALUES), st.sampled_from([(3, 2), (2, 2), (3, 1)]), st.sampled_from(["one", "two", "argmax"]),
    st.booleans(), st.integers(0, 2),
)  # fmt: skip
def test_padding_of_max_pools(tmp_path_factory, value, window, readers, positive, pad):
    """Fused into the MaxPool, or (with two readers, or a padding as large as the window) a Pad of its own."""
    size, stride = window
    rng = np.random.default_rng(pad)
    attrs = {"kernel_shape": [size, size], "strides": [stride, stride]}
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("Relu", ["c"], ["s"], {}) if positive else ("Mul", ["c", "two"], ["s"], {}),
        ("Pad", ["s", "pads", "value"], ["p"], {}),
        ("MaxPool", ["p"], ["y"], attrs),
    ]
    outputs = ["y"]
    if readers == "two":
        nodes, outputs = [*nodes, ("MaxPool", ["p"], ["z"], {**attrs, "strides": [1, 1]})], ["y", "z"]
    elif readers == "argmax":
        nodes = [*nodes, ("ReduceMax", ["p"], ["z"], {"axes": [2, 3]})]
        outputs = ["y", "z"]
    constants = {
        "w": rng.uniform(-1, 1, (4, 3, 1, 1)).astype(F32), "two": F32(2), "value": F32(value),
        "pads": np.array([0, 0, 1, 0, 0, 0, min(pad, size - 1), 1], np.int64),
    }  # fmt: skip
    model = network(nodes, {"x": (1, 3, 7, 7)}, outputs, constants)
    case = Case(tmp_path_factory.mktemp("pad"), model, samples(rng, {"x": (1, 3, 7, 7)}))
    case.check_float()
    case.check_levels(0.04)


def test_high_sentinels_in_front_of_a_minimum(tmp_path):
    mask = np.where(np.eye(6, dtype=bool), F32(0), F32(1e9))
    nodes = [
        ("Sigmoid", ["x"], ["s"], {}),
        ("Add", ["s", "mask"], ["m"], {}),
        ("ReduceMin", ["m"], ["r"], {"axes": [1]}),
        ("Neg", ["r"], ["y"], {}),
    ]
    model = network(nodes, {"x": (1, 6, 6)}, ["y"], {"mask": mask})
    case = Case(tmp_path, model, samples(np.random.default_rng(0), {"x": (1, 6, 6)}))
    assert sentinel_tensors(case.graph)["m"].side == 1
    case.check_levels(0.02)


@pytest.mark.parametrize("other", ["output", "relu", "conv", "none"])
def test_large_constants_that_are_data_stay_data(tmp_path, other):
    """What is read by anything but a maximum, or is an output, is data however large it is."""
    mask = np.array([0, 0, 0, -2e4, 0, 0], F32)
    nodes = [("Relu", ["x"], ["s"], {}), ("Add", ["s", "mask"], ["m"], {}), ("Softmax", ["m"], ["y"], {"axis": -1})]
    outputs, constants = ["y"], {"mask": mask}
    if other == "output":
        outputs = ["y", "m"]
    elif other == "relu":
        nodes, outputs = [*nodes, ("Sigmoid", ["m"], ["z"], {})], ["y", "z"]
    elif other == "conv":
        nodes = [*nodes, ("MatMul", ["m", "w"], ["z"], {})]
        outputs, constants["w"] = ["y", "z"], np.eye(6, dtype=F32)
    model = network(nodes, {"x": (1, 3, 6)}, outputs, constants)
    case = Case(tmp_path, model, samples(np.random.default_rng(0), {"x": (1, 3, 6)}))
    assert ("m" in sentinel_tensors(case.graph)) == (other == "none")
    assert (case.stats["m"].minimum > -1) == (other == "none")


def test_classes_that_are_never_meant(tmp_path):
    """A bias of -1e4 in front of Softmax: it stays a bias, and costs the weights of its channel nothing."""
    rng = np.random.default_rng(0)
    bias = np.array([0.1, -1e4, 0.3, LEAST, 0.0, -0.2], F32)
    nodes = [("Gemm", ["x", "w", "b"], ["m"], {}), ("Softmax", ["m"], ["y"], {"axis": -1})]
    constants = {"w": rng.uniform(-1, 1, (8, 6)).astype(F32), "b": bias}
    case = Case(tmp_path, network(nodes, {"x": (1, 8)}, ["y"], constants), samples(rng, {"x": (1, 8)}))
    case.check_levels(0.05)
