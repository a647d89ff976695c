"""The ranking finds what a test has broken; remedies are what helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.report.alone import AloneRounding
from slimai.report.analysis import Analyser, LayerRow
from slimai.report.ranking import Remedy, Suspect, Trials, by_loss, cause, rank
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def ranking(case, options, *, images=8, tried=4, graph=None):
    plan = case.plan(options)
    program = compile_plan(plan, case.target, arithmetic=case.target.arithmetic)
    analyser = Analyser(case.graph, program)
    step = 4 if case.graph.batchable else 1
    for start in range(0, images, step):
        feeds = {name: value[start : start + step] for name, value in case.feeds.items()}
        truth, _ = analyser.add(feeds)
        if start == 0:
            few = {name: value[:tried] for name, value in feeds.items()}
            outputs = {name: truth[name][:tried] for name in case.graph.outputs}

    def rebuild(remedy):
        changed = replace(
            options, limits={**options.limits, **remedy.limits}, datatypes={**options.datatypes, **remedy.datatypes}
        )
        return case.program(changed)

    return rank(analyser.rows(), plan, case.graph, case.stats, program, Trials(few, outputs, rebuild))


def broken(case, options, share):
    """Return options in which the Max (and Min) of one inner convolution's output is divided by 8, and its tensor."""
    plan = case.plan(options)
    inner = [
        layer.outputs[0]
        for layer in plan.layers
        if layer.mode == "integer" and layer.node.op == "Conv" and layer.outputs[0] not in case.graph.outputs
    ]
    tensor = inner[int(len(inner) * share)]
    low, high = plan.limits[tensor]
    return replace(options, limits={tensor: (low / 8, high / 8)}), tensor, (low, high)


@pytest.mark.parametrize(("level", "share"), [(0, 0.5), (1, 0.2), (2, 0.8), (3, 0.5)])
def test_a_broken_layer_comes_first_and_widening_mends_it(digits, level, share):
    options, tensor, (low, high) = broken(digits, QuantOptions(level=level), share)
    first = ranking(digits, options)[0]
    assert first.row.tensor == tensor
    assert first.cause == "clipping"
    assert first.gain > 3
    assert first.remedy == f"widen its limits to {low:.6g} .. {high:.6g} (Adjust_yaml)"


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "level", "share"),
    [
        ("resnet20_cifar10", 1, 0.4),
        ("mobilenet_v1_imagenet", 1, 0.6),
        ("mobilenetv2_yolov3_nano_voc", 3, 0.5),
        ("ultraface_ssd", 1, 0.3),
    ],
)
def test_real_networks(name, level, share, load_case, shared_data, monkeypatch, repo_root):
    monkeypatch.setenv("SLIMAI_SHARED", str(shared_data.parent))
    monkeypatch.chdir(repo_root)
    case = load_case(f"+model={name}", calibration=12, images=4)
    options, tensor, _ = broken(case, QuantOptions(level=level), share)
    found = ranking(case, options, images=4, tried=2)
    assert found[0].row.tensor == tensor, [(item.row.layer, item.gain) for item in found[:3]]
    assert found[0].gain > 0.5 + max(item.gain for item in found[1:] if item.gain is not None)
    assert "widen its limits" in found[0].remedy


def test_sixteen_bits_are_proposed_where_only_they_help(digits):
    found = ranking(digits, QuantOptions(level=1))
    helped = [item for item in found if item.gain is not None and item.gain > 0.3]
    assert all("16 bits" in item.remedy or "limits" in item.remedy for item in helped)
    gains = [item.gain for item in helped]
    assert gains == sorted(gains, reverse=True)
    assert list(found[: len(helped)]) == helped  # what helps comes first


def test_nothing_but_wider_limits_is_proposed_for_sixteen_bits(digits):
    options, tensor, _ = broken(digits, QuantOptions(level=4), 0.5)
    found = ranking(digits, options)
    assert found[0].row.tensor == tensor
    assert found[0].remedy.startswith("widen its limits to ")
    assert all(item.remedy.startswith(("widen its limits", "leave it")) for item in found)


def test_the_order_without_trials_is_by_added_noise(digits, level1):
    plan = digits.plan(level1)
    program = digits.program(level1)
    analyser = Analyser(digits.graph, program)
    analyser.add({name: value[:2] for name, value in digits.feeds.items()})
    found = rank(analyser.rows(), plan, digits.graph, digits.stats, program, None)
    most = max(analyser.rows(), key=lambda row: row.added)
    assert found[0].row == most
    assert all(item.gain is None and item.remedy for item in found)


def row(**changes):
    base = LayerRow("Conv_a__1", "Conv", "a", "a", "s8", 0.9, 10.0, 0.9, 10.0, own=0.01)
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"overflows": 3}, "overflow"),
        ({"weight_sqnr": 15.0}, "weights"),
        ({"weight_sqnr": 40.0, "clip_share": 0.9}, "clipping"),
        ({"clip_share": 0.1}, "rounding"),
    ],
)
def test_causes(changes, expected):
    assert cause(row(**changes)) == expected


def test_trials_measure_the_outputs_alone(digits, level1):
    program = digits.program(level1)
    feeds = {name: value[:3] for name, value in digits.feeds.items()}
    found = program.dequantize(program.run(feeds))
    truth = {name: value + np.float32(1.0) for name, value in found.items()}
    expected = np.mean([((truth[n] - found[n]) ** 2).sum() / (truth[n] ** 2).sum() for n in truth])
    assert Trials(feeds, truth, lambda _: program).noise(program) == pytest.approx(float(expected), rel=1e-5)


@pytest.fixture(scope="module")
def detector(decoded_detector):
    """Return (graph, statistics, pictures, float outputs) of a detector that decodes its boxes in the graph."""
    graph = load_onnx(decoded_detector, batch_of_one=True)
    feeds = {"x": np.random.default_rng(0).normal(size=(4, 3, 64, 64)).astype(np.float32)}
    return graph, collect(graph, [feeds]), feeds, FloatSession(graph).run(feeds)


def test_box_decode_behind_the_heads_is_mended_as_a_whole(detector):
    graph, stats, feeds, truth = detector
    options, target = QuantOptions(level=1), TargetSection()

    def rebuild(remedy):
        return compile_plan(build_plan(graph, stats, replace(options, datatypes=remedy.datatypes), target), target)

    plan = build_plan(graph, stats, options)
    program = compile_plan(plan, target)
    analyser, rounding = Analyser(graph, program), AloneRounding(graph, plan)
    analyser.add(feeds)
    rounding.add(feeds)
    trials = Trials(feeds, truth, rebuild)
    found = rank(analyser.rows(), plan, graph, stats, program, trials, alone=rounding.ratios())
    assert found[0].gain > 1.0
    assert found[0].remedy.startswith("run the 12 layers behind the heads in 16 bits (mix, nodename_datatypes: ")
    behind = [
        node for node in graph.nodes if node.name in ("sides", "first", "last", "sum", "centre", "size", "pixels")
    ]
    mended = rebuild(Remedy("", datatypes={node.name: (16, 16) for node in behind}))
    boxes = [np.square((truth["join"] - p.dequantize(p.run(feeds))["join"])[:, :4]).sum() for p in (program, mended)]
    assert boxes[1] < 0.8 * boxes[0], "the boxes themselves are nearer to ONNX Runtime's"


def test_what_costs_the_outputs_most_is_among_the_suspects(digits, level1):
    plan, program = digits.plan(level1), digits.program(level1)
    analyser = Analyser(digits.graph, program)
    analyser.add({name: value[:2] for name, value in digits.feeds.items()})
    rows = [item for item in analyser.rows() if item.single_sqnr is not None]
    least = min(rows, key=lambda item: item.added + item.own)
    found = rank(rows, plan, digits.graph, digits.stats, program, None, alone={least.tensor: 1.0})
    assert least.tensor in [item.row.tensor for item in found]
    plain = rank(rows, plan, digits.graph, digits.stats, program, None)
    assert least.tensor not in [item.row.tensor for item in plain]


def test_what_the_score_loses_by_a_tensor_alone_comes_first():
    rows = [LayerRow(f"l{at}", "Conv", f"t{at}", f"p{at}", "s8", 1.0, 20.0, added=0.1 * at) for at in range(4)]
    suspects = [Suspect(row, "rounding", "", gain) for row, gain in zip(rows, (2.0, 0.0, None, 1.0), strict=True)]
    found = by_loss(suspects, {"t1": 0.2, "t0": 0.001, "t3": -0.3})
    assert [item.row.tensor for item in found] == ["t1", "t0", "t3", "t2"]
    assert [item.loss for item in found] == [0.2, 0.001, -0.3, None]
