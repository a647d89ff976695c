"""Resize of float networks: sizes and places are ONNX Runtime's at every level, whatever the recipe could express."""

from __future__ import annotations

import numpy as np
import pytest
from float_levels import F32, LEVELS, Case, network, plain_session, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai.errors import UnsupportedError
from slimai.simulator.ops.resize_taps import nearest_index

PLACES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
SCALES = (0.5, 0.6, 1 / 3, 0.75, 1.0, 1.02, 1.25, 1.4, 1.5, 1.8, 2.0, 2.5, 2.6, 2.8, 3.0)


@st.composite
def resizes(draw):
    """Return (mode, attributes, input shape, scales or None, sizes or None)."""
    mode = draw(st.sampled_from(["nearest", "linear"]))
    attrs = {"mode": mode, "coordinate_transformation_mode": draw(st.sampled_from(PLACES))}
    if mode == "nearest":
        attrs["nearest_mode"] = draw(st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    height, width = draw(st.integers(2, 17)), draw(st.integers(2, 17))
    if draw(st.booleans()):
        return attrs, (1, 3, height, width), None, (1, 3, draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    rows, columns = (draw(st.sampled_from([scale for scale in SCALES if scale * n >= 1])) for n in (height, width))
    return attrs, (1, 3, height, width), (1.0, 1.0, rows, columns), None


def resize_case(folder, attrs, shape, scales, sizes, opset=17):
    constants = {"s": np.array(scales, F32)} if scales else {"n": np.array(sizes, np.int64)}
    rng = np.random.default_rng(5)
    constants["w"] = rng.uniform(-1, 1, (3, shape[1], 1, 1)).astype(F32)
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("Resize", ["c", "", "s"] if scales else ["c", "", "", "n"], ["r"], attrs),
        ("Relu", ["r"], ["y"], {}),
    ]
    return Case(folder, network(nodes, {"x": shape}, ["y"], constants, opset), samples(rng, {"x": shape}))


@settings(max_examples=60, deadline=None)
@given(resizes())
def test_every_resize(tmp_path_factory, chosen):
    folder = tmp_path_factory.mktemp("resize")
    try:
        case = resize_case(folder, *chosen)
    except UnsupportedError:
        if not unsayable(*chosen[1:3]):
            raise
        return
    case.check_float()
    case.check_levels(0.04)


def unsayable(shape, scales):
    """Whether scale * size is on the edge of an integer on one axis, and on another no size means the same scale."""
    if scales is None:
        return False
    sizes = np.array(shape)
    single, double = (np.floor(np.array(sizes, kind) * np.array(scales, F32).astype(kind)) for kind in (F32, float))
    ratios = single.astype(F32) / sizes.astype(F32)
    return not np.array_equal(single, double) and not np.array_equal(ratios, np.array(scales, F32))


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.5, 0.7])
@pytest.mark.parametrize("place", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize("arithmetic", ["gemmlowp", "tflite_s64", "xi_sym", "single", "ort_f32"])
def test_ratio_that_is_not_that_of_the_sizes(tmp_path, scale, place, arithmetic):
    """7 pixels at 0.5 are 3, at places 2 i + 0.5: no recipe may take 7 / 3 for it."""
    attrs = {"mode": "linear", "coordinate_transformation_mode": place}
    case = resize_case(tmp_path, attrs, (1, 3, 7, 7), (1.0, 1.0, scale, scale), None)
    case.check_levels(0.04, levels=(1, 3, 4), arithmetic=arithmetic)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("scale", "size"), [(13 / 5, 13), (14 / 5, 14), (2.6, 13), (1.4, 7), (1.8, 9)])
@pytest.mark.parametrize("place", ["half_pixel", "align_corners"])
def test_product_on_the_edge_of_an_integer(tmp_path, mode, scale, size, place):
    attrs = {"mode": mode, "coordinate_transformation_mode": place}
    case = resize_case(tmp_path, attrs, (1, 3, 5, 5), (1.0, 1.0, scale, scale), None)
    assert case.graph.shape("y") == (1, 3, size, size)
    case.check_float()
    case.check_levels(0.04)


def test_product_on_the_edge_beside_a_scale_that_is_no_ratio(tmp_path):
    """1.4 on 5 would be 7 in float32 and 6 in double; beside it 1.5 on 5 is 7.5, which sizes cannot say."""
    case = resize_case(tmp_path, {"mode": "linear"}, (1, 3, 5, 5), (1.0, 1.0, 1.4, 1.5), None)
    assert case.graph.shape(case.graph.outputs[0]) == (1, 3, 7, 7)
    case.check_float()
    case.check_levels(0.04)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("place", PLACES)
def test_equal_sizes_are_a_copy(tmp_path, mode, place):
    attrs = {"mode": mode, "coordinate_transformation_mode": place}
    case = resize_case(tmp_path, attrs, (1, 3, 38, 20), (1.0, 1.0, 1.02, 1.04), None)
    assert "Resize" not in [node.op for node in case.graph.nodes]
    case.check_float()
    case.check_levels(0.03)


def test_one_equal_size_keeps_its_scale(tmp_path):
    attrs = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    case = resize_case(tmp_path, attrs, (1, 3, 30, 10), (1.0, 1.0, 1.03, 2.0), None)
    assert case.graph.shape("y") == (1, 3, 30, 20)
    case.check_float()
    case.check_levels(0.03)


@pytest.mark.parametrize("factor", [2.5, 1.5, 3.0])
def test_upsample_of_operator_set_9(tmp_path, factor):
    nodes = [("Upsample", ["x", "s"], ["y"], {"mode": "linear"})]
    model = network(nodes, {"x": (1, 2, 4, 5)}, ["y"], {"s": np.array([1, 1, 2, factor], F32)}, opset=9)
    case = Case(tmp_path, model, samples(np.random.default_rng(1), {"x": (1, 2, 4, 5)}))
    case.check_float()
    case.check_levels(0.02, levels=LEVELS)


def test_a_place_just_below_a_half(tmp_path):
    """1 / (2 / 7) is 3.4999998 in float32, which counts as 3.5: pixel 4."""
    attrs = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "round_prefer_ceil"}
    case = resize_case(tmp_path, attrs, (1, 3, 2, 7), None, (1, 3, 1, 2))
    case.check_float()
    case.check_levels(0.04)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 60), st.sampled_from(PLACES[:4]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
)  # fmt: skip
def test_the_pixels_that_nearest_takes(size, out, place, rounding):
    attrs = {"mode": "nearest", "coordinate_transformation_mode": place, "nearest_mode": rounding}
    sizes = {"n": np.array([1, 1, 1, out], np.int64)}
    session = plain_session(
        network(
            [("Resize", ["x", "", "", "n"], ["y"], attrs)], {"x": (1, 1, 1, size)}, ["y"], sizes
        ).SerializeToString()
    )
    (wanted,) = session.run(None, {"x": np.arange(size, dtype=F32).reshape(1, 1, 1, size)})
    ratio = float(F32(out) / F32(size))
    assert wanted.ravel().tolist() == nearest_index(size, out, ratio, place, rounding, "n").tolist()
