"""Which layers have weights of 4 bits, and what they are: ranges, scales, the first and the last layers, rules."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from slimai.app.commands.inspect import inspected
from slimai.calibration.collect import collect
from slimai.errors import InputError
from slimai.quantizer.clipping import FOUR_BIT_RATIOS, clipped_peaks
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.mix_rules import expand_rules, parse_rules
from slimai.quantizer.options import QuantOptions, VisionDsp
from slimai.quantizer.params import S4, S8, S16
from slimai.quantizer.planner import build_plan
from slimai.quantizer.profile import profile_text, read_profile
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.weight_layout import WeightLayout
from slimai.quantizer.weight_types import FIRST, LAST, STACKED, WIDE, four_bit_layers

BOTH = (8, 4)


def network(net, rng):
    """Two branches from one input, one of a single layer; a head behind them, a Gemm and a MatMul of 3-D weights."""
    n = net()
    n.conv("x", "a", rng.normal(size=(6, 4, 1, 1)))
    n.node("Relu", ("a",), "ra")
    n.conv("ra", "d", rng.normal(size=(6, 1, 1, 1)), rng.normal(size=6), group=6)
    n.conv("d", "b", rng.normal(size=(5, 6, 1, 1)))
    n.conv("x", "s", rng.normal(size=(5, 4, 1, 1)))
    n.node("Add", ("b", "s"), "sum")
    n.node("GlobalAveragePool", ("sum",), "g", (1, 5, 1, 1))
    n.node("Reshape", ("g",), "f", (1, 5), shape=(1, 5))
    n.const("fc", rng.normal(size=(7, 5)))
    n.node("Gemm", ("f", "fc"), "h", (1, 7), transB=1)
    n.node("Reshape", ("h",), "r", (1, 1, 7), shape=(1, 1, 7))
    n.const("m", rng.normal(size=(1, 7, 3)))
    n.node("MatMul", ("r", "m"), "k", (1, 1, 3))
    n.const("l", rng.normal(size=(3, 3)))
    n.node("MatMul", ("k", "l"), "y", (1, 1, 3))
    return n.graph("y")


def planned(graph, rng, **options):
    images = [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]
    return build_plan(graph, collect(graph, images, per_channel=True), QuantOptions(level=3, **options), VisionDsp())


def types(plan):
    return {layer.node.name: layer.weight.dtype.name for layer in plan.layers if layer.weight is not None}


def told(plan):
    return {item.where: item.why for item in plan.decisions if item.what == "weights stay at 8 bits"}


def test_the_first_and_the_last_layers_of_every_path_stay_at_8(net, rng):
    graph = network(net, rng)
    reasons = four_bit_layers(graph, layer_steps(graph))
    assert reasons == {"n_a": FIRST, "n_d": "", "n_b": "", "n_s": FIRST, "n_h": "", "n_k": STACKED, "n_y": LAST}
    plan = planned(graph, rng, weight_bits=4)
    assert types(plan) == {
        "n_a": "s8", "n_d": "s4", "n_b": "s4", "n_s": "s8", "n_h": "s4", "n_k": "s8", "n_y": "s8",
    }  # fmt: skip
    assert told(plan) == {name: why for name, why in reasons.items() if why}


def test_8_bits_are_as_they_were(net, rng):
    graph = network(net, rng)
    plan = planned(graph, rng)
    assert set(types(plan).values()) == {"s8"}
    assert told(plan) == {}


def test_one_scale_an_output_channel_whatever_the_target_says_and_7_at_most(net, rng):
    plan = planned(network(net, rng), rng, weight_bits=4)
    assert "Gemm" not in VisionDsp().per_channel_ops
    for layer in plan.layers:
        if layer.weight is not None and layer.weight.dtype == S4:
            assert layer.weight.scale.size == plan.graph.shape(layer.outputs[0])[1]
            assert np.abs(layer.weight.values).max() <= 7
            assert layer.weight.values.dtype == np.int8
    assert {layer.weight.scale.size for layer in plan.layers if layer.node.op == "MatMul"} == {1}


def test_a_rule_names_layers_that_would_stay_and_frees_others(net, rng):
    graph = network(net, rng)
    plan = planned(graph, rng, weight_bits=4, weights={"n_a": S4, "n_y": S4, "n_d": S8})
    assert types(plan) == {
        "n_a": "s4", "n_d": "s8", "n_b": "s4", "n_s": "s8", "n_h": "s4", "n_k": "s8", "n_y": "s4",
    }  # fmt: skip
    assert types(planned(graph, rng, weights={"n_b": S4}))["n_b"] == "s4"  # also beside weight_bits: 8


def test_a_layer_that_a_rule_raises_has_the_weights_of_16_bits_or_what_the_rule_says(net, rng):
    graph = network(net, rng)
    raised = {"n_b": (16, 8)}
    assert types(planned(graph, rng, weight_bits=4, datatypes=raised))["n_b"] == "s16"
    assert types(planned(graph, rng, weight_bits=4, datatypes=raised, weights={"n_b": S8}))["n_b"] == "s8"
    plan = planned(graph, rng, datatypes=raised, weights={"n_b": S4})  # rules files refuse it; here it cannot happen
    assert types(plan)["n_b"] == "s8"
    assert told(plan) == {"n_b": WIDE}


def test_a_profile_an_inspection_and_the_file_show_s4(net, rng, tmp_path):
    plan = planned(network(net, rng), rng, weight_bits=4)
    entries = {entry.name: entry.weights for entry in read_profile(profile_text(plan), "profile")}
    assert {name.split("__")[0] for name, kind in entries.items() if kind} == {
        "DepthwiseConv_n_d",
        "Conv_n_b",
        "Gemm_n_h",
    }
    assert set(entries.values()) == {"s4", ""}
    path = tmp_path / "net.onnx"
    path.write_bytes(to_qdq(plan).SerializeToString())
    shown = [row.weights for row in inspected(path).rows if row.weights]
    assert sorted(shown) == ["s4"] * 3 + ["s8"] * 4


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-8, 8, width=32)))
@settings(max_examples=60, deadline=None)
def test_the_scale_of_4_bits_is_the_best_of_its_candidates(rows):
    """Brute force in float64 over the same ratios; and never worse than the scale of the peak."""
    kept = clipped_peaks(rows, WeightLayout(0), S4, per_channel=True)

    def error(row, peak):
        if peak == 0:
            return 0.0
        scale = peak / 7
        return float(np.square(row - np.clip(np.rint(row / scale), -7, 7) * scale).sum())

    for row, found in zip(rows.astype(np.float64), kept, strict=True):
        peak = np.abs(row).max()
        best = min(error(row, peak * ratio) for ratio in FOUR_BIT_RATIOS)
        assert error(row, found) <= best * (1 + 1e-6) + 1e-12
        assert found <= peak


def expanded(graph, names, level=3, bits=BOTH):
    return expand_rules(graph, level, parse_rules(names, "net.yaml").rules, (), bits)


def test_rules_of_weights_are_read_and_expanded(net, rng):
    graph = network(net, rng)
    found = expanded(
        graph, "- nodes: [n_a, n_ra]\n  weighttypes: [s4]\n- nodes: [n_b]\n  intypes: [s16]\n  weighttypes: s16\n"
    )
    assert (found.weights, found.datatypes) == ({"n_a": S4, "n_b": S16}, {"n_b": (16, 8)})
    assert found.warnings == []


def test_a_rule_of_weights_for_what_has_none_or_a_stack_is_a_warning(net, rng):
    found = expanded(network(net, rng), "- nodes: [n_sum]\n  weighttypes: [s8]\n- nodes: [n_k]\n  weighttypes: [s4]\n")
    assert [str(item) for item in found.warnings] == [
        "net.yaml:1: 'n_sum' names no layer with constant weights: weighttypes says nothing",
        f"net.yaml:3: n_k keeps weights of s8: {STACKED}",
    ]
    assert found.weights == {}


@pytest.mark.parametrize(
    ("rule", "bits", "level", "text"),
    [
        ("[n_b]\n  weighttypes: [s16]", BOTH, 3,
         "net.yaml:1: n_b reads 8 bits: weights of s16 need 16-bit inputs; add intypes: [s16], or take s8"),
        ("[n_b]\n  intypes: [s16]\n  weighttypes: [s4]", BOTH, 3,
         "net.yaml:1: n_b reads 16 bits: weights of s4 need 8-bit inputs; take intypes: [s8], or weighttypes: [s8]"),
        ("[n_b]\n  weighttypes: [s4]", BOTH, 4,
         "net.yaml:1: n_b reads 16 bits: weights of s4 need 8-bit inputs; take intypes: [s8], or weighttypes: [s8]"),
        ("[n_b]\n  weighttypes: [s4]", (8,), 3,
         ("net.yaml:1: weighttypes: the target has no weights of 4 bits (its weight_bits: [8]); "
          "take s8, or a target with 4 among its weight_bits, as npu")),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_are_refused(net, rng, rule, bits, level, text):
    with pytest.raises(InputError) as info:
        expanded(network(net, rng), f"- nodes: {rule}\n", level, bits)
    assert str(info.value) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- nodes: [a]\n  weighttypes: [s32]\n", "unknown type 's32' (got s32); the types are s4, s8 and s16"),
        ("- nodes: [a]\n  intypes: [s4]\n", "unknown type 's4'"),
        ("- nodes: [a]\n  weighttypes: [s4, s8]\n", "the weights of a layer have one type"),
        ("- nodes: [a]\n", "a rule needs `intypes`, `outtypes` or `weighttypes`"),
        ("- nodes: [a]\n  weighttype: [s4]\n", "weighttypes"),
    ],
)
def test_wrong_rules_of_weights(text, said):
    with pytest.raises(InputError) as info:
        parse_rules(text, "net.yaml")
    assert said.split(" (got")[0] in json.dumps(str(info.value), ensure_ascii=False).replace('\\"', '"')
