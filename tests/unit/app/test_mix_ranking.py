"""The order in which `mix: auto` raises layers: by what a tensor rounded alone costs the outputs, per cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.app.api import load_config
from slimai.app.candidates.float_networks import FloatNetworks
from slimai.app.candidates.quantizer import Quantizer
from slimai.app.float_pass.shared import calibrate
from slimai.app.opening.open_job import prepare
from slimai.app.run.mix_ranking import Ranking
from slimai.artifacts.cache import Cache
from slimai.graph.samples import run_samples
from slimai.runtime.session import FloatSession
from slimai.search.candidate import Candidate
from slimai.search.events import Silent

WIDTH, TOKENS, HEADS = 48, 12, 3
OUTLIERS = (5, 31)


class Transformer:
    """A seeded pre-normalization encoder, DeiT-shaped, whose residual stream has channels 30 times the others."""

    def __init__(self, seed: int) -> None:
        self.rng, self.nodes, self.constants, self.sums = np.random.default_rng(seed), [], [], []

    def constant(self, value, dtype=np.float32):
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"k{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, op, *inputs, **attrs):
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attrs))
        return name

    def residual(self, x, branch):
        self.sums.append(self.add("Add", x, branch))
        return self.sums[-1]

    def linear(self, x, inputs, outputs, gain=1.0, large=()):
        weights, bias = self.rng.normal(0, gain / np.sqrt(inputs), (inputs, outputs)), self.rng.normal(0, 0.1, outputs)
        weights[:, large] *= 30
        return self.add("Add", self.add("MatMul", x, self.constant(weights)), self.constant(bias))

    def norm(self, x):
        gain, bias = self.rng.uniform(0.7, 1.3, WIDTH), self.rng.normal(0, 0.1, WIDTH)
        return self.add("LayerNormalization", x, self.constant(gain), self.constant(bias), axis=-1, epsilon=1e-6)

    def attention(self, x):
        split = self.constant([0, TOKENS, HEADS, WIDTH // HEADS], np.int64)
        q, k, v = (self.add("Reshape", self.linear(x, WIDTH, WIDTH, 0.5), split) for _ in range(3))
        scores = self.add(
            "MatMul", self.add("Transpose", q, perm=[0, 2, 1, 3]), self.add("Transpose", k, perm=[0, 2, 3, 1])
        )
        weights = self.add("Softmax", self.add("Mul", scores, self.constant(0.25)), axis=-1)
        mixed = self.add("MatMul", weights, self.add("Transpose", v, perm=[0, 2, 1, 3]))
        whole = self.constant([0, TOKENS, WIDTH], np.int64)
        return self.linear(self.add("Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), whole), WIDTH, WIDTH)

    def model(self, layers=2):
        x = self.add("Add", "x", self.constant(self.rng.normal(0, 0.5, (1, TOKENS, WIDTH))))
        for _ in range(layers):
            x = self.residual(x, self.attention(self.norm(x)))
            wide = self.add("Relu", self.linear(self.norm(x), WIDTH, 4 * WIDTH))
            x = self.residual(x, self.linear(wide, 4 * WIDTH, WIDTH, 1.0, OUTLIERS))
        y = self.linear(self.norm(x), WIDTH, 8)
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", TOKENS, WIDTH])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", TOKENS, 8])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def ranking_of(model, shape, folder):
    """Return the ranking of level 1 of a network, on eight seeded samples."""
    onnx.save(model, folder / "m.onnx")
    rng = np.random.default_rng(1)
    for place in range(8):
        np.save(folder / f"s{place}.npy", rng.normal(size=shape).astype(np.float32))
    (folder / "list.txt").write_text("8\n" + "".join(f"s{place}.npy\n" for place in range(8)))
    (folder / "job.yaml").write_text(
        f"path: {{image_dir: {folder}, output_dir: {folder}/out}}\n"
        f"network: {{name: net, input_model: {folder}/m.onnx, class: Other, input_data_layout: NonImage}}\n"
        f"dataset: {{calibration_set: {folder}/list.txt, validation_set: {folder}/list.txt}}\n"
        "quantization: {accuracy_level: [1]}\n"
        "metric: {metric_cls: cosine}\n"
    )
    job = prepare(load_config(folder / "job.yaml"))
    networks = FloatNetworks(job, lambda graph, _: calibrate(job, graph, Cache(folder / "cache"), Silent()))
    return Ranking(Quantizer(job, networks), Candidate(1, percent=100), Silent())


@pytest.mark.parametrize("seed", [0, 1])
def test_residual_sums_of_a_transformer_come_first(tmp_path, seed):
    made = Transformer(seed)
    ranking = ranking_of(made.model(), (1, TOKENS, WIDTH), tmp_path)
    noise = ranking.noise()
    order, _ = ranking.order(noise)
    quantizer = ranking.quantizer
    graph, _ = quantizer.networks.get(quantizer.aids(ranking.candidate).rewrites)
    first = order[: len(order) // 4]
    plan = quantizer(ranking.candidate).plan
    wide = {layer.node.name for layer in plan.layers if plan.tensors[layer.outputs[0]].dtype.bits == 16}
    large = [name for name in made.sums[1:] if name not in wide]  # from the first outlier on; those have 16 bits anyway
    assert set(large) <= set(first), (first, large)
    products = [name for name in order if graph.by_name[name].op in ("Gemm", "MatMul")]
    # of the products at most the head's comes sooner, which is small
    assert all(order.index(name) < order.index(products[1]) for name in large)


def test_raising_by_the_order_brings_the_outputs_nearer_to_float(tmp_path):
    """Reference: ONNX Runtime in float, on samples that calibration has not seen."""
    ranking = ranking_of(Transformer(0).model(), (1, TOKENS, WIDTH), tmp_path)
    order, _ = ranking.order(ranking.noise())
    rng = np.random.default_rng(9)
    feeds = {"x": rng.normal(size=(8, TOKENS, WIDTH)).astype(np.float32)}
    graph = ranking.quantizer.job.graph
    wanted = next(iter(run_samples(graph, FloatSession(graph).run, feeds).values()))

    def error(names):
        item = ranking.quantizer(replace(ranking.candidate, raised=tuple(names)))
        found = next(iter(item.runner()(feeds).values()))
        item.release()
        return float(np.square(found - wanted).sum())

    third = len(order) // 3
    assert error(order[:third]) < 0.7 * error(())
    assert error(order[:third]) < 0.8 * error(order[-third:])


def test_layers_that_a_join_has_made_wide_are_not_raised_again(decoded_detector, tmp_path):
    ranking = ranking_of(onnx.load(decoded_detector), (1, 3, 64, 64), tmp_path)
    noise = ranking.noise()
    order, _ = ranking.order(noise)
    assert "join" not in order
    assert noise["scores"] > noise["box_flat"] > 0.0, "scores count beside boxes a hundred times their size"
