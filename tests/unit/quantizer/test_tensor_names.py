"""Every name by which a person may know a tensor leads to the one name, or is refused where it could mean two."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.errors import InputError
from slimai.quantizer.adjust import AdjustHeader, adjust_text, read_adjust
from slimai.quantizer.dot import plan_dot
from slimai.quantizer.mix_rules import expand_rules, parse_rules
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.tensor_names import aliases, layer_names

W = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
HEADER = AdjustHeader("cafe", 1, "100")


@pytest.fixture
def case(net, stats_of):
    n = net()
    n.conv("x", "/a/out", W)
    n.node("Relu", ("/a/out",), "/r/out")
    n.conv("/r/out", "y", W)
    graph = n.graph("y")
    stats = stats_of(**{"x": [-1, 1], "/a/out": [-2, 2], "/r/out": [0, 2], "y": [-1, 1]})
    return graph, build_plan(graph, stats, QuantOptions(level=1))


def names_of_the_relu(plan):
    """Return the profile name of the Relu's output, and every other name that it goes by."""
    name = plan.profile_names["/r/out"]
    conv = next(layer for layer in plan.layers if "/r/out" in layer.outputs)
    others = ("/r/out", "_r_out", name[:-2], "/a/out", conv.name, conv.node.name, conv.activation.name)
    return name, (*others, f"{conv.name}:0")


def test_adjust_takes_every_name_of_a_tensor(case, tmp_path):
    _, plan = case
    name, others = names_of_the_relu(plan)
    known = [plan.profile_names[tensor] for tensor in plan.tensors]
    assert name.startswith("Relu_")
    for other in (name, *others):
        path = tmp_path / "adjust.yaml"
        path.write_text(adjust_text(HEADER, plan) + f'- {{NodeOutputName: "{other}", Min: 0.0, Max: 1.5}}\n')
        assert read_adjust(path, HEADER, known, aliases(plan)) == {name: (0.0, 1.5)}, other


def test_a_pasted_line_counts_once_and_not_for_a_fixed_scale(case, tmp_path):
    _, plan = case
    name, _ = names_of_the_relu(plan)
    known, path = [plan.profile_names[tensor] for tensor in plan.tensors], tmp_path / "adjust.yaml"
    line = f'- {{NodeOutputName: "{name}", Min: 0.0, Max: 1.5}}\n'
    path.write_text(adjust_text(HEADER, plan) + line + line)
    with pytest.raises(InputError, match="is listed twice"):
        read_adjust(path, HEADER, known, aliases(plan))
    text = adjust_text(HEADER, plan)
    start = text.index(f'"{name}"')
    path.write_text(text[:start] + text[start:].replace("  Kind:", "  Fixed: true\n  Kind:", 1) + line)
    with pytest.raises(InputError, match="the scale of this tensor is fixed"):
        read_adjust(path, HEADER, known, aliases(plan))
    path.write_text(text + "- {NodeOutputName: y, Min: 0.0, Max: 1.5, GeneratedMin: 0.0}\n")
    with pytest.raises(InputError, match="GeneratedMax is missing"):
        read_adjust(path, HEADER, known, aliases(plan))


def test_rules_take_every_name_of_a_layer(case):
    graph, plan = case
    name, others = names_of_the_relu(plan)
    conv = next(layer.node.name for layer in plan.layers if "/r/out" in layer.outputs)
    assert layer_names(graph)[conv][0] == name
    for other in (name, *others):
        rules = parse_rules(f'- {{nodes: ["{other}"], intypes: [s16], outtypes: [s16]}}\n', "rules.yaml").rules
        assert expand_rules(graph, 1, rules).datatypes == {conv: (16, 16)}, other


def test_the_graph_shows_the_name_that_rules_and_adjust_take(case):
    _, plan = case
    name, _ = names_of_the_relu(plan)
    assert name in plan_dot(plan, typed=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text("ab/_:.0", min_size=1, max_size=5), min_size=3, max_size=3, unique=True))
def test_an_alias_never_means_two_tensors(net, stats_of, names):
    """Tensors whose names differ only in what file names cannot have: an alias leads to its one tensor or nowhere."""
    n = net()
    for source, target in pairwise(("x", *names)):
        n.conv(source, target, W)
    limits = {name: [-1, 1] for name in ("x", *names)}
    plan = build_plan(n.graph(names[-1]), stats_of(**limits), QuantOptions(level=1))
    real = {plan.profile_names[tensor]: tensor for tensor in plan.tensors}
    found = aliases(plan)
    assert not set(found) & set(real)
    for tensor in plan.tensors:
        for other in (tensor, re.sub(r"[^A-Za-z0-9_.-]", "_", tensor)):
            alike = {each for each in plan.tensors if other in (each, re.sub(r"[^A-Za-z0-9_.-]", "_", each))}
            if other in found and len(alike) == 1:
                layer = next((item for item in plan.layers if tensor in item.outputs), None)
                assert real[found[other]] == tensor or (layer is not None and other == layer.node.name)
            if len(alike) > 1:
                assert other not in found
