"""Plans and programs that take layers of another one, against those made anew: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.key import plan_key
from slimai.quantizer.known_layers import KnownLayers
from slimai.quantizer.layers import layer_steps, quantized_tensors, weighted_inputs
from slimai.quantizer.levels import LEVELS
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.known_steps import KnownSteps
from slimai.simulator.program import IntegerStep, compile_plan

TARGET = TargetSection()


class Case:
    """A network at one level: its first plan and program, of which later ones take layers."""

    def __init__(self, graph, feeds, level):
        self.graph, self.feeds, self.level = graph, feeds, level
        self.stats = collect(graph, [feeds], tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph))
        self.known = KnownLayers()
        self.base = self.plan({}, {}, self.known.layer)
        self.program = compile_plan(self.base, TARGET)
        self.steps = KnownSteps(self.program)

    def plan(self, limits, types, known=None):
        options = QuantOptions(level=self.level, bias_correction=True, limits=limits, datatypes=types)
        return build_plan(self.graph, self.stats, options, TARGET, known=known)


@pytest.fixture(scope="module")
def cases(decoded_detector, digits):
    detector = load_onnx(decoded_detector, batch_of_one=True)
    pictures = {"x": np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)}
    few = {name: values[:2] for name, values in digits.feeds.items()}
    given = ((detector, pictures), (digits.graph, few))
    return [Case(graph, feeds, level) for graph, feeds in given for level in (1, 3)]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_shared_is_what_would_be_made(cases, data):
    case = data.draw(st.sampled_from(cases))
    tensors = quantized_tensors(case.graph)
    nodes = [step.name for step in layer_steps(case.graph) if step.integer]
    factors = data.draw(st.dictionaries(st.sampled_from(tensors), st.sampled_from((0.3, 0.9, 1.0, 1.7)), max_size=3))
    raised = data.draw(st.lists(st.sampled_from(nodes), max_size=3, unique=True))
    ends = {name: case.base.limits.get(name, (-1.0, 1.0)) for name in factors}
    limits = {name: (low * factors[name], high * factors[name]) for name, (low, high) in ends.items()}
    wide = LEVELS[case.level].raised_bits
    types = dict.fromkeys(raised, (wide, wide))
    fresh, shared = case.plan(limits, types), case.plan(limits, types, case.known.layer)
    assert plan_key(shared) == plan_key(fresh)
    assert [layer.name for layer in shared.layers] == [layer.name for layer in fresh.layers]
    assert (shared.decisions, shared.limits, shared.sources) == (fresh.decisions, fresh.limits, fresh.sources)
    mine, theirs = compile_plan(shared, TARGET, known=case.steps.find), compile_plan(fresh, TARGET)
    ours, wanted = mine.table(), theirs.table()
    assert list(ours) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)
    found, expected = mine.run(case.feeds), theirs.run(case.feeds)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_only_what_reads_or_writes_a_changed_grid_is_made_again(cases):
    case = cases[-1]
    tensor = next(layer.outputs[0] for layer in case.base.layers if layer.node.op == "Add")
    low, high = case.base.limits[tensor]
    plan = case.plan({tensor: (2 * low, 2 * high)}, {}, case.known.layer)
    changed = {name for name in plan.tensors if plan.tensors[name] != case.base.tensors[name]}
    assert tensor in changed
    touched = {layer.name for layer in plan.layers if changed.intersection((*layer.inputs, *layer.outputs))}
    before = {layer.name: layer for layer in case.base.layers}
    assert {layer.name for layer in plan.layers if layer is not before[layer.name]} == touched
    assert 0 < len(touched) < len(plan.layers) / 2
    steps = {step.layer.name: step for step in case.program.steps if isinstance(step, IntegerStep)}
    program = compile_plan(plan, TARGET, known=case.steps.find)
    again = [step.layer.name for step in program.steps if step is not steps[step.layer.name]]
    assert set(again) == touched
