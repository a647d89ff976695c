"""Operator sets before 17: what the converter changes beside the operator set is put back."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from slimai.errors import UnsupportedError
from slimai.graph.load import load_onnx
from slimai.runtime.session import FloatSession


@pytest.mark.parametrize("opset", [7, 8, 9, 10])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_several_upsamples_keep_their_places(build, compare, opset, mode):
    """The converter renames outputs that are read inside; each Resize keeps its own meaning. Tolerance 1e-6."""
    scales = {"a": np.array([1, 1, 2, 2], np.float32), "b": np.array([1, 1, 3, 1], np.float32)}
    op = "Upsample" if opset < 10 else "Resize"

    def node(x, key, y):
        if opset < 9:
            return op, [x], [y], {"mode": mode, "scales": scales[key].tolist()}
        return op, [x, key], [y], {"mode": mode}

    nodes = [node("x", "a", "u"), ("Relu", ["u"], ["r"], {}), node("r", "b", "y")]
    constants = {} if opset < 9 else scales
    path = build(nodes, {"x": [1, 3, 2, 5]}, ["y"], constants, opset)
    compare(path, load_onnx(path), 1e-6)


def test_nodes_of_one_name_can_be_converted(build):
    """ONNX Runtime, which runs the model before and after, refuses equal names; exporters write them."""
    scales = {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}
    nodes = [("Upsample", ["x"], ["u"], scales), ("Upsample", ["u"], ["y"], scales)]
    path = build(nodes, {"x": [1, 3, 2, 5]}, ["y"], {}, 8)
    apart = load_onnx(path)
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = "up"
    onnx.save(model, path)
    feeds = {"x": np.random.default_rng(1).normal(size=(1, 3, 2, 5)).astype(np.float32)}
    np.testing.assert_array_equal(FloatSession(load_onnx(path)).run(feeds)["y"], FloatSession(apart).run(feeds)["y"])


CHAINS = ("Identity", "Cast", "Transpose", "Reshape", "Mul", "Slice")


def behind(steps, scales):
    """Return nodes and constants that end in a tensor `scales` with these values."""
    nodes, constants, name = [], {"c": scales}, "c"
    for place, step in enumerate(steps):
        made = "scales" if place == len(steps) - 1 else f"c{place}"
        kinds = {
            "Identity": ([("Identity", [name], [made], {})], {}),
            "Cast": ([("Cast", [name], [f"{made}w"], {"to": 11}), ("Cast", [f"{made}w"], [made], {"to": 1})], {}),
            "Transpose": ([("Transpose", [name], [made], {"perm": [0]})], {}),
            "Reshape": ([("Reshape", [name, f"{made}s"], [made], {})], {f"{made}s": np.array([-1])}),
            "Mul": ([("Mul", [name, f"{made}k"], [made], {})], {f"{made}k": np.array([1.0], np.float32)}),
            "Slice": ([("Slice", [name], [made], {"axes": [0], "starts": [0], "ends": [9]})], {}),
        }
        found, more = kinds[step]
        nodes += found
        constants |= more
        name = made
    return nodes, constants


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(CHAINS), min_size=1, max_size=4),
    mode=st.sampled_from(["nearest", "linear"]),
)
def test_scales_of_an_old_upsample_behind_other_nodes(build, compare, steps, mode):
    """What steers it is a constant, whatever nodes it stands behind. Tolerance 1e-6."""
    nodes, constants = behind(steps, np.array([1, 1, 2, 3], np.float32))
    nodes.append(("Upsample", ["x", "scales"], ["y"], {"mode": mode}))
    path = build(nodes, {"x": [1, 3, 2, 5]}, ["y"], constants, 9)
    compare(path, load_onnx(path), 1e-6)


def test_scales_that_depend_on_an_input_are_refused(build):
    nodes = [("Mul", ["k", "c"], ["scales"], {}), ("Upsample", ["x", "scales"], ["y"], {"mode": "nearest"})]
    path = build(nodes, {"x": [1, 3, 2, 5], "k": [4]}, ["y"], {"c": np.ones(4, np.float32)}, 9)
    with pytest.raises(UnsupportedError, match="has computed scales"):
        load_onnx(path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    scales=st.tuples(*[st.sampled_from([1.4, 0.8, 2.6, 1 / 3, 1.1, 0.7, 1.5]) for _ in range(2)]),
    mode=st.sampled_from(["nearest", "linear"]),
)
@example(shape=(5, 9), scales=(1.4, 0.8), mode="linear")
def test_a_size_on_the_edge_of_an_integer_beside_one_that_is_not(build, compare, shape, scales, mode):
    """1.4f * 5 is 7 in float32 and 6.9999999 in double; 0.8 * 9 is no integer, so sizes cannot say it. 1e-5."""
    assume(all(np.float32(size) * np.float32(scale) >= 1 for size, scale in zip(shape, scales, strict=True)))
    node = ("Resize", ["x", "", "s"], ["y"], {"mode": mode, "coordinate_transformation_mode": "asymmetric"})
    path = build([node], {"x": [1, 2, *shape]}, ["y"], {"s": np.array([1, 1, *scales], np.float32)}, 17)
    compare(path, load_onnx(path), 1e-5)
