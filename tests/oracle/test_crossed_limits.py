"""Clip whose limits cross, and clamps that follow one another: y = min(max(x, lo), hi), also where lo > hi."""

from __future__ import annotations

import numpy as np
from float_levels import F32, Case, network, samples
from hypothesis import given, settings
from hypothesis import strategies as st

limits = st.one_of(st.none(), st.sampled_from([-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 6.0]))
clamps = st.one_of(st.tuples(limits, limits), st.just("Relu"))


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.lists(clamps, min_size=1, max_size=3))
def test_clamps(tmp_path_factory, behind_conv, chosen):
    rng = np.random.default_rng(4)
    nodes, constants, last = [], {}, "x"
    if behind_conv:
        nodes, last = [("Conv", ["x", "w"], ["c"], {})], "c"
        constants["w"] = rng.uniform(-1, 1, (3, 3, 1, 1)).astype(F32)
    for place, clamp in enumerate(chosen):
        if clamp == "Relu":
            nodes.append(("Relu", [last], [f"k{place}"], {}))
        else:
            names = ["" if limit is None else f"l{place}{side}" for side, limit in enumerate(clamp)]
            constants |= {name: F32(limit) for name, limit in zip(names, clamp, strict=True) if name}
            nodes.append(("Clip", [last, *names], [f"k{place}"], {}))
        last = f"k{place}"
    model = network(nodes, {"x": (1, 3, 4, 4)}, [last], constants)
    case = Case(tmp_path_factory.mktemp("clip"), model, samples(rng, {"x": (1, 3, 4, 4)}, low=-4.0, high=4.0))
    case.check_float()
    case.check_levels(0.15)  # a range that the next clamp cuts costs steps; crossed limits taken wrongly cost all


def test_a_negative_upper_limit_behind_relu(tmp_path):
    nodes = [("Relu", ["x"], ["r"], {}), ("Sigmoid", ["r"], ["z"], {}), ("Clip", ["r", "", "hi"], ["y"], {})]
    model = network(nodes, {"x": (1, 3, 4, 4)}, ["y", "z"], {"hi": F32(-3)})
    case = Case(tmp_path, model, samples(np.random.default_rng(4), {"x": (1, 3, 4, 4)}))
    case.check_float()
    case.check_levels(0.02)
