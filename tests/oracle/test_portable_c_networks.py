"""Real networks in C against the simulator: every tensor's bytes whole, 0 may differ; and what their arenas take."""

from __future__ import annotations

import pytest
from c_networks import ONNX, TFLITE, float_network, onnx_program, tflite_program, twenty_inputs
from portable_c import build, extremes, subject

from slimai.calibration.collect import channel_magnitudes, collect
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rewrites.clustering import cluster_channels
from slimai.quantizer.rewrites.equalization import equalize
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

pytestmark = [pytest.mark.shared, pytest.mark.slow]

PLAIN = ("-O2",)
# Bytes of TensorFlow Lite Micro's arenas for activations, measured.
MICRO = {"kws_ref_model_int8": 16_000, "resnet8_cifar10_int8": 49_152}


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", ONNX)
def test_a_float_network_at_every_level(shared_data, tmp_path, name, level):
    program, _ = onnx_program(shared_data, name, level)
    if program.host_layers:
        pytest.skip(f"layers on the host: {', '.join(program.host_layers)}")
    item = subject(program, TargetSection(), tmp_path, f"net{level}")
    build([item], tmp_path, PLAIN)
    assert item.differences(twenty_inputs(shared_data, name, program)) == {}
    assert item.network.storage.arena <= 1.05 * bound(item.network)


@pytest.mark.parametrize("name", TFLITE)
def test_a_tflite_network_as_stored(shared_data, tmp_path, name):
    program = tflite_program(shared_data, name)
    item = subject(program, TargetSection(), tmp_path, "net")
    build([item], tmp_path, PLAIN)
    assert item.differences(twenty_inputs(shared_data, name, program)) == {}
    assert item.network.storage.arena <= 1.05 * bound(item.network)
    assert item.network.storage.arena <= MICRO.get(name, item.network.storage.arena)


def bound(network):  # noqa: C901 - one count, top to bottom
    """Return the lower bound of the arena, from the layers alone: the most bytes that any layer finds alive.

    A second program on purpose: it knows nothing of buffers and offsets. A tensor is alive from the layer that writes
    it to the last that reads it; the caller's are not counted; what a layer writes into the memory of an input that
    dies there, and what it only renames, is one with it; scratch memory is alive in its own layer.
    """
    graph, steps = network.plan.graph, network.steps
    same: dict[str, str] = {}

    def root(name):
        while name in same:
            name = same[name]
        return name

    reads = {name: [n for n, step in enumerate(steps) if name in step.inputs] for step in steps for name in
             (*step.inputs, *step.outputs)}  # fmt: skip
    for number, step in enumerate(steps):
        first = step.outputs[0]
        if step.alias:
            same[first] = step.alias
            continue
        for name in step.in_place:
            family = [item for item in reads if root(item) == root(name)]
            ends = all(max(reads[item], default=-1) <= number for item in family)
            kept = any(item in graph.inputs or item in graph.outputs for item in family)
            if ends and not kept and first not in graph.outputs and network.bytes(first) == network.bytes(name):
                same[first] = name
                break
    families: dict[str, list[str]] = {}
    for name in reads:
        families.setdefault(root(name), []).append(name)
    made = {name: n for n, step in enumerate(steps) for name in step.outputs}
    spans = []
    for members in families.values():
        if any(item in graph.inputs or item in graph.outputs for item in members):
            continue
        last = max(max(reads[item], default=made[item]) for item in members)
        spans.append((min(made[item] for item in members), last, network.bytes(members[0])))
    most = 0
    for number, step in enumerate(steps):
        scratch = sum(pointer.size for pointer in step.pointers if not pointer.tensor)
        most = max(most, scratch + sum(size for first, last, size in spans if first <= number <= last))
    return most


@pytest.mark.parametrize("arithmetic", ["xi_sym", "single", "gemmlowp", "tflite_s64"])
@pytest.mark.parametrize(
    "name", ["kws_dscnn", "resnet8_cifar10", "resnet20_cifar10", "fsrcnn_x2_128", "ultraface_slim_320"]
)
def test_four_presets(shared_data, tmp_path, name, arithmetic):
    program, _ = onnx_program(shared_data, name, 3, arithmetic)
    if program.host_layers:
        pytest.skip(f"layers on the host: {', '.join(program.host_layers)}")
    item = subject(program, TargetSection(), tmp_path, "net")
    build([item], tmp_path, PLAIN)
    assert item.differences(twenty_inputs(shared_data, name, program)) == {}


@pytest.mark.parametrize("weights", ["s16", "s8"])
@pytest.mark.parametrize("name", ["kws_dscnn", "resnet8_cifar10", "ultraface_slim_320"])
def test_mixed_8_and_16_bits(shared_data, tmp_path, name, weights):
    """Every third layer reads or writes 16 bits."""
    graph, _ = float_network(shared_data, name)
    bits = ((16, 16), (8, 16), (16, 8))
    mixed = {node.name: bits[number // 3 % 3] for number, node in enumerate(graph.nodes) if number % 3 == 1}
    program, feeds = onnx_program(shared_data, name, 2, datatypes=mixed, level4_weights=weights)
    assert {params.dtype.bits for params in program.plan.tensors.values()} == {8, 16}
    item = subject(program, TargetSection(), tmp_path, "net")
    build([item], tmp_path, PLAIN)
    assert item.differences([*feeds, *extremes(program)]) == {}


@pytest.mark.parametrize("rewrite", ["clusters", "clamps"])
def test_channels_rewritten(shared_data, tmp_path, rewrite):
    """Clusters of channels before depthwise convolutions; clamps with a limit a channel after equalization."""
    name = "mobilenetv2_yolov3_nano_voc_320" if rewrite == "clamps" else "mobilenet_v1_0.25_224_imagenet"
    graph, feeds = float_network(shared_data, name)
    magnitudes = channel_magnitudes(graph, feeds)
    if rewrite == "clusters":
        made = cluster_channels(graph, magnitudes, everywhere=True)
    else:
        made = equalize(graph, magnitudes, clamp_per_channel=True)
    assert made.decisions
    plan = build_plan(made.graph, collect(made.graph, feeds), QuantOptions(level=1))
    program = compile_plan(plan, TargetSection())
    item = subject(program, TargetSection(), tmp_path, "net")
    build([item], tmp_path, PLAIN)
    assert item.differences([*feeds, *extremes(program)]) == {}
