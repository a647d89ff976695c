"""Stored parameters at the four levels, and weights that become symmetric, against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.tflite.stored import StoredNetwork, StoredParams
from slimai.quantizer.params import S8, U8, QParams
from slimai.quantizer.prequantized import MADE_SYMMETRIC, level_params, stored_plan, symmetric_weight


def stored(dtype, scale, zero):
    return StoredParams(dtype, np.array([scale]), zero)


@pytest.mark.parametrize(
    ("given", "level", "expected"),
    [
        # level 3 keeps what is there
        (stored("int8", 0.5, -128), 3, QParams(S8, 0.5, -128)),
        (stored("uint8", 0.5, 7), 3, QParams(U8, 0.5, 7)),
        # |-128 - (-128)| = 0, |127 - (-128)| = 255: s = 0.5 * 255 / 127
        (stored("int8", 0.5, -128), 0, QParams(S8, float(np.float32(0.5 * 255 / 127)))),
        (stored("int8", 0.5, -128), 1, QParams(S8, float(np.float32(0.5 * 255 / 127)))),
        # not negative: u8 with its own scale
        (stored("int8", 0.5, -128), 2, QParams(U8, 0.5)),
        (stored("uint8", 0.25, 0), 2, QParams(U8, 0.25)),
        # max(|-128 - 20|, |127 - 20|) = 148
        (stored("int8", 0.5, 20), 2, QParams(S8, float(np.float32(0.5 * 148 / 127)))),
        # max(|0 - 117|, |255 - 117|) = 138
        (stored("uint8", 0.5, 117), 1, QParams(S8, float(np.float32(0.5 * 138 / 127)))),
        # a symmetric int8 tensor reaches -128
        (stored("int8", 0.5, 0), 1, QParams(S8, float(np.float32(0.5 * 128 / 127)))),
    ],
)
def test_parameters_of_an_activation(given, level, expected):
    assert level_params(given, level) == expected


def test_weights_within_127_steps_are_only_shifted():
    values = np.array([[1, 128, 255]], np.uint8)
    weight, (what, why) = symmetric_weight(values, stored("uint8", 0.1, 128))
    np.testing.assert_array_equal(weight.values, [[-127, 0, 127]])
    assert weight.values.dtype == np.int8
    assert weight.scale.tolist() == [0.1]
    assert (what, why) == (MADE_SYMMETRIC, "zero point 128 taken away: no weight changes")


def noise(rows, kept):
    step = kept / 127
    found = np.clip(np.rint(rows / step), -127, 127) * step
    return float(np.mean((((found - rows) ** 2).sum(axis=1) / (rows**2).sum(axis=1)) ** 2))


def test_one_far_weight_is_clipped_and_the_others_keep_their_integers():
    values = np.where(np.arange(640).reshape(16, 40) % 2, 99, 101).astype(np.uint8)
    values[3, 5] = 255  # 155 steps from the zero point
    weight, (_, why) = symmetric_weight(values, stored("uint8", 0.1, 100))
    centred = values.astype(int) - 100
    assert weight.scale[0] < 0.107
    assert np.count_nonzero(weight.values != centred) == 1
    assert weight.values[3, 5] == 127
    assert why.startswith("zero point 100 reaches 155 steps: 1 of 640 weights clipped at 1")


def test_the_kept_range_is_that_of_least_noise_a_channel():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (6, 50)).astype(np.uint8)
    weight, (_, why) = symmetric_weight(values, stored("uint8", 0.02, 40))
    rows = values.astype(float) - 40
    best = min(range(127, 216), key=lambda kept: (noise(rows, kept), kept))
    assert weight.scale[0] == float(np.float32(0.02 * best / 127))
    assert f"clipped at {best}," in why
    real = weight.values * weight.scale[0]
    assert np.abs(real - rows * 0.02)[np.abs(rows) <= best].max() <= weight.scale[0] / 2 + 1e-9


def dense(weight_zero=0, bias=True):
    """Return the stored network of one fully connected layer."""
    kind = "int8" if weight_zero == 0 else "uint8"
    integers = {"w": np.array([[10, -20, 30], [5, 100, -128 if weight_zero == 0 else 255]]).astype(kind)}
    params = {
        "x": stored("int8", 0.5, -128),
        "w": StoredParams(kind, np.array([0.25, 0.125]) if weight_zero == 0 else np.array([0.25]), weight_zero),
        "y": stored("int8", 2.0, 3),
    }
    inputs = ("x", "w", "b") if bias else ("x", "w")
    if bias:
        integers["b"] = np.array([1000, -2000], np.int32)
        params["b"] = StoredParams("int32", 0.5 * params["w"].scale)
    constants = {name: params[name].dequantize(value) for name, value in integers.items()}
    shapes = {"x": (1, 3), "w": (2, 3), "b": (2,), "y": (1, 2)}
    graph = Graph(
        "net",
        (Node("y", "Gemm", inputs, ("y",), {"transB": 1}),),
        ("x",),
        ("y",),
        {name: TensorInfo(name, shapes[name]) for name in (*inputs, "y")},
        constants,
    )
    return StoredNetwork(graph, params, integers, frozenset(), {})


def test_level_three_is_what_is_stored():
    plan = stored_plan(dense(), 3)
    (layer,) = plan.layers
    assert plan.tensors == {"x": QParams(S8, 0.5, -128), "y": QParams(S8, 2.0, 3)}
    assert layer.weight.scale.tolist() == [0.25, 0.125]
    assert layer.weight.values.tolist() == [[10, -20, 30], [5, 100, -128]]
    assert layer.bias.tolist() == [1000, -2000]
    assert plan.decisions == ()
    assert plan.limits == {"x": (0.0, 127.5), "y": (-262.0, 248.0)}


def test_the_bias_follows_the_scale_of_the_input():
    scale = float(np.float32(0.5 * 255 / 127))
    (layer,) = stored_plan(dense(), 1).layers
    assert layer.bias.tolist() == [round(1000 * 0.5 / scale), round(-2000 * 0.5 / scale)]
    (layer,) = stored_plan(dense(), 2).layers
    assert layer.bias.tolist() == [1000, -2000]
    (layer,) = stored_plan(dense(bias=False), 1).layers
    assert layer.bias is None


def test_levels_zero_and_one_agree():
    from slimai.quantizer.key import plan_key

    assert plan_key(stored_plan(dense(), 0)) == plan_key(stored_plan(dense(), 1))
    assert plan_key(stored_plan(dense(), 1)) != plan_key(stored_plan(dense(), 2))


def test_asymmetric_weights_are_kept_on_demand():
    kept = stored_plan(dense(weight_zero=90), 3, keep_asymmetric_weights=True)
    assert kept.layers[0].weight.zero_point == 90
    assert kept.layers[0].weight.dtype == U8
    assert kept.decisions == ()
    changed = stored_plan(dense(weight_zero=90), 3)
    assert changed.layers[0].weight.zero_point == 0
    assert changed.layers[0].weight.dtype == S8
    (decision,) = changed.decisions
    assert (decision.where, decision.what) == ("y", MADE_SYMMETRIC)
    # the bias keeps its real value where the weight scale has changed
    ratio = 0.25 / changed.layers[0].weight.scale[0]
    assert changed.layers[0].bias.tolist() == [round(1000 * ratio), round(-2000 * ratio)]


def test_level_four_is_refused():
    with pytest.raises(InputError, match=r"a pre-quantized model allows levels 0 to 3 \(got 4\)"):
        stored_plan(dense(), 4)
