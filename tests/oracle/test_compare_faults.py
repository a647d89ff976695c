"""A board with one fault: the first node that differs and, for rounding faults, the preset are named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from board_faults import confusion, draw, possible

import slimai
from slimai.app.opening.open_job import prepare
from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.divergence import cases
from slimai.simulator.explanation import explanations
from slimai.simulator.program import compile_plan

SEED = 20261201  # the final one; 20261129 and 20261130 came before, development used 1 to 3
IMAGES = 2


def example(preset, level):
    """Return program and integer inputs of a shipped preset, on its own pictures."""
    job = prepare(slimai.load_config(f"+model={preset}"))
    feeds = [job.preprocess(sample)[1] for sample in job.calibration[:4]]
    plan = build_plan(job.graph, collect(job.graph, feeds), QuantOptions(level=level))
    images = [job.preprocess(sample)[1] for sample in job.validation[:IMAGES]]
    inputs = {name: np.concatenate([image[name] for image in images]) for name in job.graph.inputs}
    program = compile_plan(plan, TargetSection())
    return program, program.entering(inputs)


def real_onnx(shared_data, name, level):
    graph = load_onnx(shared_data / "models" / "onnx" / f"{name}.onnx")
    rng = np.random.default_rng(5)
    feeds = [{item: rng.normal(0, 1, graph.shape(item)).astype(np.float32) for item in graph.inputs} for _ in range(4)]
    program = compile_plan(build_plan(graph, collect(graph, feeds), QuantOptions(level=level)), TargetSection())
    inputs = {name: np.concatenate([feed[name] for feed in feeds[:IMAGES]]) for name in graph.inputs}
    return program, program.entering(inputs)


def real_tflite(shared_data, name):
    plan = load_quantized(shared_data / "models" / "tflite" / f"{name}.tflite")
    program = compile_plan(plan, TargetSection(), arithmetic=TargetSection().native.asym8)
    rng = np.random.default_rng(5)
    inputs = {}
    for item in plan.graph.inputs:
        kind, shape = plan.tensors[item].dtype, plan.graph.shape(item)
        inputs[item] = rng.integers(kind.low, kind.high + 1, (IMAGES, *shape[1:])).astype(kind.numpy)
    return program, inputs


def judge(program, feeds, board):
    """Return whether the node is right, whether the preset is, and the kind that was named."""
    target = TargetSection()
    case = next(cases(program, feeds, board.tensors))
    assert case.layer is not None
    found = explanations(program.plan, target, case)
    presets = [item.preset for item in found if item.kind == "preset"]
    return case.layer.name == board.node, board.fault.preset in presets, found[0].kind if found else "nothing"


def run_faults(program, feeds, count, seed):
    rng, kinds, rows = np.random.default_rng(seed), possible(program), []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        board = draw(program, TargetSection(), feeds, rng, kind)
        assert board.node in board.fault.suspects
        right, preset, named = judge(program, feeds, board)
        rows.append((kind, right, preset, named))
        sys.stdout.write(f"{kind:8} {board.node:60} {board.fault.told:40} node {right} named {named} {preset or ''}\n")
    return rows


@pytest.mark.parametrize(("preset", "level"), [("mobilenet_digits", 1), ("yolo", 3)])
def test_five_faults_of_a_network(preset, level):
    rows = run_faults(*example(preset, level), 5, SEED + 1)
    assert all(right for _, right, _, _ in rows)
    assert all(preset for kind, _, preset, _ in rows if kind == "preset")
    assert sum(kind == named for kind, _, _, named in rows) >= 4


@pytest.mark.shared
@pytest.mark.slow
def test_a_hundred_faults(shared_data):
    subjects = [
        example("mobilenet_digits", 1),
        example("yolo", 3),
        example("unet_digits", 2),
        real_onnx(shared_data, "resnet8_cifar10", 0),
        real_tflite(shared_data, "kws_ref_model_int8"),
    ]
    rows = [row for n, subject in enumerate(subjects) for row in run_faults(*subject, 20, SEED + n)]
    table = confusion([(kind, named) for kind, _, _, named in rows])
    nodes, presets = [right for _, right, _, _ in rows], [found for kind, _, found, _ in rows if kind == "preset"]
    sys.stdout.write(
        f"\n{table}\nfirst node right in {sum(nodes)} of {len(nodes)}, preset in {sum(presets)} of {len(presets)}\n"
    )
    assert len(rows) == 100
    assert sum(nodes) >= 95
    assert sum(presets) >= 0.95 * len(presets)
