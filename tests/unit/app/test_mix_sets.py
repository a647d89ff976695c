"""`mix: auto` on a network all sets of whose layers are scored by brute force: a small one is found, by few images."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from itertools import combinations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.app.api import load_config
from slimai.app.candidates.float_networks import FloatNetworks
from slimai.app.candidates.quantizer import Quantizer
from slimai.app.float_pass.shared import calibrate
from slimai.app.opening.open_job import prepare
from slimai.app.run.pipeline import run_job
from slimai.artifacts.cache import Cache
from slimai.runtime.session import FloatSession
from slimai.search.candidate import Candidate, Variant
from slimai.search.events import Silent

LAYERS, CHANNELS, SIDE, IMAGES = 7, 16, 8, 36
LOUD = (2, 5)  # layers whose output has one channel 40 times as large as the others


class Told(Silent):
    """Keeps the lines."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def chain(seed):
    """Return a chain of 3x3 convolutions and Relu; the layer behind a loud channel takes the factor back."""
    rng = np.random.default_rng(seed)
    nodes, constants, name = [], [], "x"
    for layer in range(LAYERS):
        weight = rng.normal(0.02, 0.12, (CHANNELS, CHANNELS, 3, 3))
        if layer in LOUD:
            weight[0] = np.abs(weight[0]) * 40
        if layer - 1 in LOUD:
            weight[:, 0] /= 40
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("Conv", [name, f"w{layer}"], [f"c{layer}"], name=f"conv{layer}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"relu{layer}"))
        name = f"r{layer}"
    shape = ["N", CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes[:-1],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"c{LAYERS - 1}", TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def config_of(folder, *words):
    return load_config(folder / "job.yaml", *words)


@pytest.fixture(scope="module", params=[0, 3])
def job(request, tmp_path_factory):
    """Return the folder of a job, and every set of layers with its score, its estimated time and its arena."""
    folder = tmp_path_factory.mktemp("chain")
    onnx.save(chain(request.param), folder / "m.onnx")
    rng = np.random.default_rng(1)
    for place in range(IMAGES):
        np.save(folder / f"s{place}.npy", rng.normal(0.5, 1, (1, CHANNELS, SIDE, SIDE)).astype(np.float32))
    (folder / "list.txt").write_text(f"{IMAGES}\n" + "".join(f"s{place}.npy\n" for place in range(IMAGES)))
    (folder / "job.yaml").write_text(
        f"path: {{image_dir: {folder}, output_dir: {folder}/out, tmp_dir: {folder}/cache}}\n"
        f"network: {{name: net, input_model: {folder}/m.onnx, class: Other, input_data_layout: NonImage}}\n"
        f"dataset: {{calibration_set: {folder}/list.txt, validation_set: {folder}/list.txt}}\n"
        "quantization: {accuracy_level: [1], range: 100, equalization: false, bias_correction: false,\n"
        "  channel_clustering: false, tail_clipping: false, weight_rounding: nearest}\n"
        "metric: {metric_cls: cosine}\n"
    )
    prepared = prepare(config_of(folder))
    networks = FloatNetworks(prepared, lambda graph, _: calibrate(prepared, graph, Cache(folder / "cache"), Silent()))
    quantizer, session = Quantizer(prepared, networks), FloatSession(prepared.graph)
    feeds = {"x": np.concatenate([np.load(folder / f"s{place}.npy") for place in range(IMAGES)])}
    [truth] = session.run(feeds).values()
    names = [node.name for node in prepared.graph.nodes if node.op == "Conv"]
    assert len(names) == LAYERS
    found = {}
    for size in range(LAYERS + 1):
        for raised in combinations(names, size):
            item = quantizer(replace(Candidate(1, percent=Decimal(100)).having(Variant.MIX), raised=raised))
            [made] = item.runner()(feeds).values()
            found[raised] = (similarity(made, truth), item.latency_ms, item.arena)
    return folder, found


def similarity(made, truth):
    """Return the mean cosine over the images."""
    pairs = zip(made.reshape(IMAGES, -1).astype(float), truth.reshape(IMAGES, -1).astype(float), strict=True)
    return float(np.mean([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs]))


def test_the_set_is_as_small_as_brute_force_finds(job, tmp_path):
    folder, found = job
    least, most = found[()][0], max(score for score, *_ in found.values())
    goal = least + 0.8 * (most - least)
    reaching = {raised: cost for raised, (score, cost, _) in found.items() if score >= goal}
    base, cheapest = found[()][1], min(reaching.values())
    assert 0 < min(map(len, reaching)) < LAYERS
    told = Told()
    words = ("quantization.mix=auto", f"quantization.mix_goal.score={goal}", f"path.output_dir={tmp_path}")
    result = run_job(config_of(folder, *words), reporter=told)
    delivered = result.choice.delivered
    assert delivered.score >= goal
    assert delivered.score == pytest.approx(found[delivered.candidate.raised][0], abs=1e-6)
    assert len(delivered.candidate.raised) < LAYERS
    assert delivered.latency_ms - base <= 1.2 * (cheapest - base), (delivered.candidate.raised, reaching)
    [line] = [line for line in told.lines if "images were run for it" in line]
    # the search over nested sets that this replaced scored all images of log2(layers) + 1 sets and up to four more
    assert int(re.search(r"mix: (\d+) images", line)[1]) <= 2 * IMAGES


def test_a_budget_of_the_arena_is_kept_and_used(job, tmp_path):
    folder, found = job
    least, most = found[()][2], max(arena for *_, arena in found.values())
    assert least < most
    for budget in (least, (least + most) // 2, most):
        words = ("quantization.mix=auto", f"quantization.mix_goal.arena_bytes={budget}", f"path.output_dir={tmp_path}")
        result = run_job(config_of(folder, *words), reporter=Silent())
        [mixed] = [item for item in result.candidates if item.candidate.raised] or [result.choice.delivered]
        raised = mixed.candidate.raised
        assert mixed.arena == found[raised][2] <= budget
        more = [found[tuple(sorted({*raised, name}))][2] for name in names_of(found) if name not in raised]
        assert all(arena > budget for arena in more), (raised, budget)
        assert result.missed == ()
    words = ("quantization.mix=auto", f"quantization.mix_goal.arena_bytes={least - 1}", f"path.output_dir={tmp_path}")
    assert run_job(config_of(folder, *words), reporter=Silent()).missed == (
        f"no candidate keeps arena_bytes {least - 1}",
    )


def test_a_share_of_the_work_is_kept(job, tmp_path):
    folder, _ = job
    words = ("quantization.mix=auto", "quantization.mix_goal.max_share=0.44", f"path.output_dir={tmp_path}")
    result = run_job(config_of(folder, *words), reporter=Silent())
    [mixed] = [item for item in result.candidates if item.candidate.raised]
    assert len(mixed.candidate.raised) == 3  # of seven equal layers


def names_of(found):
    return [raised[0] for raised in found if len(raised) == 1]
