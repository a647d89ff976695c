"""Plans of small networks: folding, parameters, host layers, exemptions, extremes."""

import numpy as np
import pytest

from slimai.errors import InputError
from slimai.graph.sign import nonnegative_tensors
from slimai.quantizer.key import plan_key
from slimai.quantizer.layers import layer_steps, quantized_tensors
from slimai.quantizer.options import QuantOptions, VisionDsp
from slimai.quantizer.planner import build_plan

W = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)


def conv_relu(net):
    n = net()
    n.conv("x", "a", W, np.ones(4))
    n.node("Relu", ("a",), "y")
    return n.graph("y")


def test_a_clamp_folds_and_takes_the_output_parameters(net, stats_of):
    graph = conv_relu(net)
    assert quantized_tensors(graph) == ("x", "y")
    plan = build_plan(graph, stats_of(x=[-1, 1], y=[0, 2]), QuantOptions(level=2))
    (layer,) = plan.layers
    assert (layer.kind, layer.activation.op, layer.outputs) == ("Conv", "Relu", ("y",))
    assert plan.tensors["y"].dtype.name == "u8"
    assert plan.profile_names == {"x": "Input_x__1:0", "y": "Relu_n_y__1:0"}
    assert layer.name == "Conv_n_a__1"


@pytest.mark.parametrize("outputs", [("y", "a"), ("y", "z")])
def test_a_clamp_stays_where_its_input_is_read_elsewhere(net, stats_of, outputs):
    n = net()
    n.conv("x", "a", W)
    n.node("Relu", ("a",), "y")
    n.node("Sigmoid", ("a",), "z")
    graph = n.graph(*outputs)
    plan = build_plan(graph, stats_of(x=[-1, 1], a=[-2, 2], y=[0, 2], z=[0, 1]), QuantOptions(level=3))
    assert [layer.kind for layer in plan.layers][:2] == ["Conv", "Relu"]
    assert plan.layers[0].activation is None


def test_depthwise_kind(net):
    n = net()
    n.conv("x", "d", np.ones((4, 1, 1, 1)), group=4)
    assert layer_steps(n.graph("d"))[0].kind == "DepthwiseConv"


def test_range_scales_calibrated_tensors_only(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.node("Sigmoid", ("a",), "s")
    n.conv("s", "b", W)
    stats = stats_of(x=[-1, 1], a=[-2, 1], s=[0.1, 0.7], b=[1, 3])
    plan = build_plan(n.graph("b"), stats, QuantOptions(level=3, percent=90))
    assert plan.tensors["x"].scale == float(np.float32(2 / 255))
    assert plan.tensors["a"].scale == float(np.float32(0.9 * 3 / 255))
    assert plan.tensors["s"].scale == 1 / 256
    assert plan.tensors["b"].scale == float(np.float32(0.9 * 3 / 255))  # zero is included first


def test_host_layers_keep_floats_between_them(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.node("Atan", ("a",), "e")
    n.node("Ceil", ("e",), "c")
    n.conv("c", "b", W)
    n.node("Atan", ("b",), "out")
    graph = n.graph("out")
    assert quantized_tensors(graph) == ("x", "a", "c", "b")
    plan = build_plan(graph, stats_of(x=[-1, 1], a=[-1, 1], c=[-1, 1], b=[-1, 1]), QuantOptions(level=1))
    assert set(plan.tensors) == {"x", "a", "c", "b"}
    host = [layer for layer in plan.layers if layer.mode == "host"]
    assert [layer.note for layer in host] == [f"{op} has no integer kernel" for op in ("Atan", "Ceil", "Atan")]
    assert [d.where for d in plan.decisions] == ["n_e", "n_c", "n_out"]


def test_index_output_has_no_parameters(net, stats_of):
    n = net()
    n.conv("x", "a", W)
    n.node("ArgMax", ("a",), "i", (1, 1, 8, 8), dtype="int64", axis=1, keepdims=1, select_last_index=0)
    plan = build_plan(n.graph("i"), stats_of(x=[-1, 1], a=[-1, 1]), QuantOptions(level=3))
    assert set(plan.tensors) == {"x", "a"}
    assert plan.layers[-1].mode == "integer"


@pytest.mark.parametrize(("level", "dtype", "zero"), [(1, "s8", 0), (2, "u8", 0), (3, "u8", 0), (4, "s16", 0)])
def test_constant_operands_get_their_own_parameters(net, stats_of, level, dtype, zero):
    n = net()
    n.const("k", np.full((1, 4, 1, 1), 0.5))
    n.node("Mul", ("x", "k"), "y")
    plan = build_plan(n.graph("y"), stats_of(x=[-1, 1], y=[-1, 1]), QuantOptions(level=level))
    ((position, (values, params)),) = plan.layers[0].operands.items()
    assert (position, params.dtype.name, params.zero_point) == (1, dtype, zero)
    assert set(values.ravel().tolist()) == {params.dtype.high}
    assert plan.layers[0].inputs == ("x",)


def test_slopes_are_weights(net, stats_of):
    n = net()
    n.const("slope", np.array([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1))
    n.node("PRelu", ("x", "slope"), "y")
    plan = build_plan(n.graph("y"), stats_of(x=[-1, 1], y=[-1, 1]), QuantOptions(level=3))
    assert plan.layers[0].weight.values.ravel().tolist() == [32, 64, 95, 127]


def test_level4_weights_s8(net, stats_of):
    stats = stats_of(x=[-1, 1], y=[0, 2])
    wide = build_plan(conv_relu(net), stats, QuantOptions(level=4))
    narrow = build_plan(conv_relu(net), stats, QuantOptions(level=4, level4_weights="s8"))
    assert wide.layers[0].weight.dtype.name == "s16"
    assert narrow.layers[0].weight.dtype.name == "s8"
    assert wide.tensors == narrow.tensors
    assert plan_key(wide) != plan_key(narrow)


def test_per_channel_is_an_ability_of_the_target(net, stats_of):
    stats = stats_of(x=[-1, 1], y=[0, 2])
    graph = conv_relu(net)
    assert build_plan(graph, stats, QuantOptions(level=1)).layers[0].weight.per_channel
    none = VisionDsp(per_channel_ops=())
    assert not build_plan(graph, stats, QuantOptions(level=1), none).layers[0].weight.per_channel
    assert not build_plan(graph, stats, QuantOptions(level=0)).layers[0].weight.per_channel


def test_edited_limits_are_final(net, stats_of):
    stats = stats_of(x=[-1, 1], y=[0, 2])
    options = QuantOptions(level=3, percent=50, limits={"y": (0.0, 1.5)})
    assert build_plan(conv_relu(net), stats, options).tensors["y"].scale == float(np.float32(1.5 / 255))


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("magnitude", [0.0, 1e-30, 1e30])
def test_extreme_ranges_give_usable_networks(net, stats_of, level, magnitude):
    plan = build_plan(conv_relu(net), stats_of(x=[-1, 1], y=[0, magnitude]), QuantOptions(level=level))
    layer = plan.layers[0]
    scale = plan.tensors["y"].scale
    assert scale > 1e-37
    assert np.isfinite(scale)
    multiplier = plan.tensors["x"].scale * layer.weight.scale / scale
    assert multiplier.max() < 2**16


def test_an_unreachable_output_grid_is_reported(net, stats_of):
    plan = build_plan(conv_relu(net), stats_of(x=[-1, 1], y=[0, 1e-30]), QuantOptions(level=1))
    assert plan.decisions[-1].where == "n_a"
    assert plan.decisions[-1].why.endswith("the target's largest multiplier could not reach it")


def test_key_follows_the_integers_only(net, stats_of):
    stats = stats_of(x=[-1, 1], y=[0, 2])
    graph = conv_relu(net)
    one, same = (build_plan(graph, stats, QuantOptions(level=1)) for _ in range(2))
    assert plan_key(one) == plan_key(same)
    narrowed = build_plan(graph, stats, QuantOptions(level=1, percent=99))
    assert plan_key(one) != plan_key(narrowed)
    other = build_plan(graph, stats, QuantOptions(level=1, bias_offsets={"n_a": np.full(4, 0.5)}))
    assert plan_key(one) != plan_key(other)


def test_unseen_tensors_are_all_named(net, stats_of):
    with pytest.raises(InputError) as caught:
        build_plan(conv_relu(net), stats_of(z=[0, 1]), QuantOptions())
    assert str(caught.value) == (
        "x: calibration has not seen this tensor; calibrate this network anew\n"
        "y: calibration has not seen this tensor; calibrate this network anew"
    )


def test_unknown_level(net, stats_of):
    with pytest.raises(InputError, match="there is no level 7; levels are 0, 1, 2, 3, 4"):
        build_plan(conv_relu(net), stats_of(x=[0, 1], y=[0, 1]), QuantOptions(level=7))


def test_signs_follow_from_operators(net):
    n = net()
    n.conv("x", "a", W)
    n.node("Relu", ("a",), "r")
    n.node("Clip", ("a",), "c", lo=0.0, hi=6.0)
    n.node("Clip", ("a",), "d", lo=-1.0, hi=6.0)
    n.node("Add", ("r", "c"), "s")
    n.node("Sub", ("r", "c"), "t")
    n.node("MaxPool", ("s",), "p")
    n.node("Pad", ("s",), "q", pads=(0,) * 8, mode="constant", value=-1.0)
    graph = n.graph("t", "p", "q", "d")
    assert nonnegative_tensors(graph) == {"r", "c", "s", "p"}
    assert "x" in nonnegative_tensors(graph, ("x",))


def test_a_clip_to_negative_limits_is_negative_whatever_it_reads(net):
    n = net()
    n.node("Relu", ("x",), "r")
    for name, low, high in (("both", -3.0, -1.0), ("upper", 1.0, -1.0), ("over", -3.0, 0.0)):
        n.node("Clip", ("r",), name, lo=low, hi=high)
    assert nonnegative_tensors(n.graph("both", "upper", "over")) == {"r", "over"}
