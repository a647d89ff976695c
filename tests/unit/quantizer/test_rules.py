"""Rules files: reading, precedence, wildcards, conflicts, the guide's unindented example; and the plans they give."""

import numpy as np
import pytest

from slimai.errors import InputError
from slimai.quantizer.dot import graph_dot, plan_dot, write_dot_stages
from slimai.quantizer.mix_rules import expand_rules, parse_rules
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.tensor_limits import HEAD_ROOM

W = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)


def network(net):
    n = net()
    n.conv("x", "a", W)
    n.node("Relu", ("a",), "ra")
    n.conv("ra", "b", np.ones((4, 1, 1, 1)), group=4)
    n.conv("b", "c", W)
    n.node("Atan", ("c",), "y")
    return n.graph("y")


def rules(text):
    return parse_rules(text, "net.yaml").rules


def expanded(net, names="", kinds="", level=1):
    return expand_rules(network(net), level, rules(names), rules(kinds))


def test_names_kinds_and_wildcards(net):
    found = expanded(net, "- nodes: [n_a, 'n_[b]']\n  intypes: [s16]\n  outtypes: [s16]\n")
    assert found.datatypes == {"n_a": (16, 16), "n_b": (16, 16)}
    assert found.matched == [("n_a", ("n_a",)), ("n_[b]", ("n_b",))]
    found = expanded(net, kinds="- nodes: [Conv]\n  outtypes: [s16]\n")
    assert found.datatypes == {"n_a": (8, 16), "n_c": (8, 16)}
    assert expanded(net, "- nodes: ['Conv_n_*']\n  intypes: s16\n").datatypes == {"n_a": (16, 8), "n_c": (16, 8)}


def test_a_folded_clamp_stands_for_its_layer(net):
    assert expanded(net, "- nodes: [n_ra]\n  outtypes: [s16]\n").datatypes == {"n_a": (8, 16)}


def test_vendor_kinds_are_aliases(net):
    found = expanded(net, kinds="- nodes: [XIDepthwiseConvolution]\n  intypes: [s16]\n  outtypes: [s16]\n")
    assert found.datatypes == {"n_b": (16, 16)}


def test_names_beat_kinds_and_the_last_rule_wins(net):
    names = "- nodes: ['n_*']\n  intypes: [s16]\n- nodes: [n_a]\n  intypes: [s8]\n  outtypes: [s16]\n"
    found = expanded(net, names, "- nodes: [Conv]\n  intypes: [s8]\n  outtypes: [s8]\n")
    assert found.datatypes == {"n_a": (8, 16), "n_b": (16, 8), "n_c": (16, 8)}
    assert [str(item) for item in found.warnings] == [
        "net.yaml:1: n_y runs on the host, in float: its types are not used",
        "net.yaml:3: n_a is also named by the rule in line 1: this later one wins",
    ]


def test_level_4_can_be_lowered(net):
    found = expanded(net, "- nodes: [n_b]\n  intypes: [s8]\n  outtypes: [s8]\n", level=4)
    assert found.datatypes == {"n_b": (8, 8)}


def test_level_0_is_refused(net):
    with pytest.raises(InputError, match="mixed precision is not possible at accuracy level 0; use levels 1 to 4"):
        expanded(net, "- nodes: [n_a]\n  intypes: [s16]\n", level=0)


def test_patterns_without_a_match_are_all_named(net):
    with pytest.raises(InputError) as caught:
        expanded(net, "- nodes: [n_aa, zzz]\n  intypes: [s16]\n", "- nodes: [Conw]\n  intypes: [s16]\n")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("net.yaml:1: no kind of this network matches 'Conw'; the nearest are Conv")
    assert lines[1].startswith("net.yaml:1: no node of this network matches 'n_aa'; the nearest are n_a")
    assert "matches 'zzz'" in lines[2]


def test_the_unindented_example_is_read_with_a_warning():
    text = '- nodes: ["conv1", "conv2"]\nintypes: [s16]\nouttypes: [s16]\n- nodes: [fc]\nintypes: [s8]\n'
    found = parse_rules(text, "guide.yaml")
    assert [(rule.patterns, rule.reads, rule.writes) for rule in found.rules] == [
        (("conv1", "conv2"), 16, 16),
        (("fc",), 8, None),
    ]
    assert str(found.warnings[0]) == (
        "guide.yaml: `intypes` and `outtypes` are not indented under their `- nodes` item; read as if they were; "
        "indent them by two spaces"
    )


def test_an_empty_file_has_no_rules():
    assert parse_rules("# nothing yet\n", "f").rules == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [a]", "f:1:1: a list of rules is expected; start each rule with `- nodes: [...]`"),
        ("- a", "f:1:3: a rule is a mapping of nodes, intypes, outtypes and weighttypes"),
        ("- intypes: [s8]", "f:1:3: a rule needs `nodes`: a list of names, kinds or patterns"),
        (
            "- nodes: [a]",
            "f:1:3: a rule needs `intypes`, `outtypes` or `weighttypes`; give [s8] or [s16], of weights also [s4]",
        ),
        ("- nodes: [a]\n  intype: [s8]\n  outtypes: [s8]", "f:2:3: unknown key 'intype'; did you mean 'intypes'?"),
        ("- nodes: [a]\n  intypes: [s32]", "f:2:12: unknown type 's32'; the types are s8 and s16"),
        (
            "- nodes: [a]\n  intypes: [s8, s16]",
            "f:2:12: the inputs (or outputs) of a layer have one type; give one of s8, s16",
        ),
        (
            "- nodes: [a\n  b: {",
            "f:2:4: not valid YAML: did not find expected ',' or ']'; check indentation, colons and quotes",
        ),
    ],
)
def test_wrong_rules(text, message):
    with pytest.raises(InputError) as caught:
        parse_rules(text, "f")
    assert str(caught.value).splitlines()[0] == message


@pytest.mark.parametrize("level", [1, 2, 3])
def test_16_bit_layers_get_requantize_around_them(net, stats_of, level):
    graph = network(net)
    stats = stats_of(x=[-1, 1], ra=[0, 2], b=[-2, 2], c=[-3, 3])
    found = expand_rules(graph, level, rules("- nodes: [n_b]\n  intypes: [s16]\n  outtypes: [s16]\n"))
    plan = build_plan(graph, stats, QuantOptions(level=level, datatypes=found.datatypes))
    assert [layer.kind for layer in plan.layers] == [
        "Conv",
        "Requantize",
        "DepthwiseConv",
        "Requantize",
        "Conv",
        "Atan",
    ]
    types = {name: params.dtype.name for name, params in plan.tensors.items()}
    eight = {1: "s8", 2: "s8", 3: "u8"}[level]
    assert (types["x"], types["b"], types["c"]) == (eight, "s16", eight)
    assert types["ra"] == ("s8" if level == 1 else "u8")
    deep = plan.layers[2]
    assert types[deep.inputs[0]] == "s16"
    assert deep.weight.dtype.name == "s16"
    # the 16-bit range is that of the tensor itself with its head room, not of its 8-bit grid
    assert plan.tensors[deep.inputs[0]].scale == float(np.float32(2 * HEAD_ROOM / 32767))
    assert plan.tensors["b"].scale == float(np.float32(2 * HEAD_ROOM / 32767))


def test_an_input_is_as_wide_as_its_widest_reader(net, stats_of):
    graph = network(net)
    stats = stats_of(x=[-1, 1], ra=[0, 2], b=[-2, 2], c=[-3, 3])
    plan = build_plan(graph, stats, QuantOptions(level=1, datatypes={"n_a": (16, 8)}))
    assert plan.tensors["x"].dtype.name == "s16"
    assert plan.layers[0].kind == "Conv"


def test_dot_stages(net, stats_of, tmp_path):
    graph = network(net)
    stats = stats_of(x=[-1, 1], ra=[0, 2], b=[-2, 2], c=[-3, 3])
    plan = build_plan(graph, stats, QuantOptions(level=1, datatypes={"n_b": (16, 16)}))
    paths = write_dot_stages(tmp_path, graph, plan)
    assert [path.name for path in paths] == ["net_0_float.dot", "net_1_layers.dot", "net_2_before_requantization.dot"]
    last = paths[-1].read_text()
    assert "Requantize" not in last
    assert '"n_a" -> "n_b";' in last
    assert '"n_b" -> "n_c";' in last
    scale = f"{2 * HEAD_ROOM / 32767:.6g}"
    assert f"n_b\\nDepthwiseConv\\nDepthwiseConv_n_b__1:0\\nin s16 {scale}\\nweights s16" in last
    assert "float (host): Atan has no integer kernel" in last
    assert "Conv + Relu" in paths[1].read_text()
    assert '"n_a" [label="n_a\\nConv"];' in graph_dot(graph)


def test_dot_escapes_names(net, stats_of):
    n = net()
    n.conv("x", 'a"b\\c', W)
    graph = n.graph('a"b\\c')
    plan = build_plan(graph, stats_of(**{"x": [-1, 1], 'a"b\\c': [-1, 1]}), QuantOptions())
    assert '"n_a\\"b\\\\c"' in plan_dot(plan, typed=True)
