"""The per-layer numbers, against NumPy on tensors that are computed another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slimai.graph.subgraph import subgraph
from slimai.quantizer.options import QuantOptions
from slimai.report.analysis import Analyser, batch_for
from slimai.runtime.session import FloatSession
from slimai.simulator.program import compile_plan


def plain_cosine(truth, real):
    a, b = truth.astype(np.float64).reshape(len(truth), -1), real.astype(np.float64).reshape(len(real), -1)
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def plain_sqnr(truth, real):
    a, b = truth.astype(np.float64), real.astype(np.float64)
    return float(10 * np.log10((a * a).sum() / ((a - b) ** 2).sum()))


@pytest.fixture(scope="module", params=[1, 3])
def analysed(request, digits):
    program = digits.program(QuantOptions(level=request.param))
    analyser = Analyser(digits.graph, program)
    for start in (0, 3):  # batches of different sizes
        analyser.add({name: value[start : start + 3 + start] for name, value in digits.feeds.items()})
    return analyser, program


def real_values(plan, name, integers):
    params = plan.tensors[name]
    return (integers.astype(np.float64) - params.zero_point) * params.scale


def test_entire_is_the_whole_network_against_onnx_runtime(analysed, digits):
    analyser, program = analysed
    names = [row.tensor for row in analyser.rows()]
    inner = [name for name in names if name not in program.plan.sources]
    truth = FloatSession(digits.graph, outputs=inner).run(digits.feeds)
    found = program.run(digits.feeds, capture=names)
    for row in analyser.rows():
        real = real_values(program.plan, row.tensor, found[row.tensor])
        expected = truth[program.plan.sources.get(row.tensor, row.tensor)]
        assert row.cosine == pytest.approx(plain_cosine(expected, real), abs=1e-9), row.layer
        assert row.sqnr == pytest.approx(plain_sqnr(expected, real), abs=1e-3), row.layer


def test_single_is_each_layer_as_a_network_of_its_own(analysed, digits):
    analyser, program = analysed
    plan = program.plan
    rows = {row.tensor: row for row in analyser.rows()}
    checked = 0
    for layer in plan.layers:
        nodes = [node for node in (layer.node, layer.activation) if node is not None]
        if layer.outputs[0] in plan.sources or any(name in plan.sources for name in layer.inputs):
            continue
        part = replace(plan, graph=subgraph(plan.graph, nodes), layers=(layer,))
        alone = compile_plan(part, digits.target, arithmetic=digits.target.arithmetic)
        inner = [name for name in (*layer.inputs, *layer.outputs) if name not in digits.feeds]
        truth = {**digits.feeds, **FloatSession(digits.graph, outputs=inner).run(digits.feeds)}
        found = alone.run({name: truth[name] for name in layer.inputs})
        name = layer.outputs[0]
        real = real_values(plan, name, found[name])
        # the float session that exposes fewer tensors sums in another order, which moves a value across a rounding edge
        assert rows[name].single_cosine == pytest.approx(plain_cosine(truth[name], real), abs=1e-5), layer.name
        assert rows[name].single_sqnr == pytest.approx(plain_sqnr(truth[name], real), abs=0.02), layer.name
        checked += 1
    assert checked > 10


def test_batches_do_not_change_the_numbers(digits, level1):
    program = digits.program(level1)
    rows = []
    for sizes in ([8], [1] * 8):
        analyser, at = Analyser(digits.graph, program), 0
        for size in sizes:
            analyser.add({name: value[at : at + size] for name, value in digits.feeds.items()})
            at += size
        rows.append(analyser.rows())
    assert batch_for(digits.graph) > 1
    for one, other in zip(*rows, strict=True):
        # ONNX Runtime's own float sums may depend on the batch; the integers do not
        assert one.cosine == pytest.approx(other.cosine, abs=1e-6)
        assert one.single_sqnr == pytest.approx(other.single_sqnr, abs=0.01)


def test_weight_sqnr_is_that_of_the_integers(digits):
    rows = {row.layer: row for row in fresh_rows(digits, QuantOptions(level=0))}
    per_channel = {row.layer: row for row in fresh_rows(digits, QuantOptions(level=1))}
    plan = digits.plan(QuantOptions(level=0))
    for layer in plan.layers:
        if layer.weight is None:
            continue
        truth = digits.graph.constants[layer.node.inputs[1]].astype(np.float64)
        real = layer.weight.values * layer.weight.scale[0]
        expected = 10 * np.log10((truth**2).sum() / ((truth - real) ** 2).sum())
        assert rows[layer.name].weight_sqnr == pytest.approx(expected, abs=1e-6)
        if layer.node.op == "Conv":
            assert per_channel[layer.name].weight_sqnr > expected  # a scale a channel is never worse


def fresh_rows(case, options):
    analyser = Analyser(case.graph, case.program(options))
    analyser.add({name: value[:2] for name, value in case.feeds.items()})
    return analyser.rows()


def test_overflows_are_counted_by_layer(digits):
    target = digits.target.model_copy(update={"acc_bits": 12})
    program = compile_plan(digits.plan(QuantOptions(level=1)), target, arithmetic=target.arithmetic)
    analyser = Analyser(digits.graph, program)
    analyser.add({name: value[:2] for name, value in digits.feeds.items()})
    counted = {row.layer: row.overflows for row in analyser.rows() if row.overflows}
    assert counted
    assert counted == {name: count for name, count in program.overflows.items() if count}


def test_a_sink_sees_every_layer(digits, level1):
    seen = []
    analyser = Analyser(digits.graph, digits.program(level1))
    analyser.add({name: value[:2] for name, value in digits.feeds.items()}, single=False, sink=seen.append)
    assert set(seen[0]) == {row.tensor for row in analyser.rows()}
    assert all(row.single_sqnr is None and row.added == 0 for row in analyser.rows())
