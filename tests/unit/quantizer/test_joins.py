"""Which joins at the end of a network are of unlike ranges, and what stays as it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import slimai.quantizer.assign as assigning
from slimai.calibration.collect import collect
from slimai.calibration.statistics import Statistics
from slimai.graph.load import load_onnx
from slimai.quantizer.joins import JOIN, UnlikeJoins
from slimai.quantizer.key import plan_key
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def load(nodes, constants, shapes, outputs, folder):
    """Return a network and statistics of eight seeded samples of its inputs."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    found = load_onnx(path, batch_of_one=True)
    rng = np.random.default_rng(0)
    feeds = [
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(8)
    ]  # fmt: skip
    return found, collect(found, feeds)


def node(op, inputs, output, **attrs):
    return helper.make_node(op, inputs.split(), [output], name=output, **attrs)


def wide_nodes(graph, stats, level, **options):
    plan = build_plan(graph, stats, QuantOptions(level=level, **options))
    return {layer.node.name for layer in plan.layers if layer.kind != "Requantize" and "s16" in types(plan, layer)}


def types(plan, layer):
    return {plan.tensors[name].dtype.name for name in layer.outputs if name in plan.tensors}


SHAPES = {"a": [1, 4, 30], "b": [1, 3, 30]}
FACTOR = {"k": np.float32(200)}
# name of a case -> nodes, constants: nothing in them is lost by a join
ALIKE = {
    "two levels of scores, one of them weak": (
        [
            node("Sigmoid", "a", "s"),
            node("Sub", "b c", "low"),
            node("Sigmoid", "low", "weak"),
            node("Concat", "s weak", "y", axis=1),
        ],
        {"c": np.float32(5)},
    ),
    "offsets beside logits": ([node("Mul", "b c", "l"), node("Concat", "a l", "y", axis=1)], {"c": np.float32(3)}),
    "a join in front of sums of products": (
        [
            node("Mul", "a k", "m"),
            node("Sigmoid", "b", "s"),
            node("Concat", "m s", "j", axis=1),
            node("MatMul", "j w", "y"),
        ],
        {**FACTOR, "w": np.ones((30, 5), np.float32)},
    ),
    "gains that differ a little": (
        [node("Mul", "a g", "y")],
        {"g": np.array([0.5, 1, 2, 4], np.float32).reshape(1, 4, 1)},
    ),
    "a part that was nothing before": (
        [node("Mul", "b z", "n"), node("Concat", "a n", "y", axis=1)],
        {"z": np.zeros(1, np.float32)},
    ),
}


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_networks_without_such_a_join_keep_their_integers(name, level, tmp_path, monkeypatch):
    nodes, constants = ALIKE[name]
    graph, stats = load(nodes, constants, SHAPES, ["y"], tmp_path)
    found = build_plan(graph, stats, QuantOptions(level=level))
    monkeypatch.setattr(assigning, "unlike_joins", lambda *_: UnlikeJoins())
    assert plan_key(found) == plan_key(build_plan(graph, stats, QuantOptions(level=level)))
    assert not any(JOIN in item.why for item in found.decisions)


PIXELS = [node("Mul", "a k", "m"), node("Sigmoid", "b", "s"), node("Concat", "m s", "j", axis=1)]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_join_and_what_follows_it_are_wide_and_the_parts_are_not(level, tmp_path):
    graph, stats = load([*PIXELS, node("Transpose", "j", "y", perm=[0, 2, 1])], FACTOR, SHAPES, ["y"], tmp_path)
    assert wide_nodes(graph, stats, level) == {"j", "y"}
    plan = build_plan(graph, stats, QuantOptions(level=level))
    (told,) = [item for item in plan.decisions if JOIN in item.why]
    assert (told.where, told.what) == ("j", "16 bits, up to the output")
    assert "in 8 bits a part of it would keep 0." in told.why


def test_without_it_every_score_is_lost(tmp_path, monkeypatch):
    graph, stats = load(PIXELS, FACTOR, SHAPES, ["j"], tmp_path)
    feeds = {"a": np.full((1, 4, 30), 1.0, np.float32), "b": np.full((1, 3, 30), 0.5, np.float32)}

    def scores(level):
        program = compile_plan(build_plan(graph, stats, QuantOptions(level=level)), TargetSection())
        return program.dequantize(program.run(feeds))["j"][:, 4:]

    wanted = FloatSession(graph).run(feeds)["j"][:, 4:]
    for level in range(4):
        np.testing.assert_allclose(scores(level), wanted, rtol=0, atol=0.03)
    monkeypatch.setattr(assigning, "unlike_joins", lambda *_: UnlikeJoins())
    assert all(not scores(level).any() for level in range(4))


def test_outputs_of_the_exported_model_are_those_of_the_network(tmp_path):
    graph, stats = load(PIXELS, FACTOR, SHAPES, ["j"], tmp_path)
    feeds = {"a": np.full((1, 4, 30), 1.0, np.float32), "b": np.full((1, 3, 30), 0.5, np.float32)}
    for level in range(4):
        plan = build_plan(graph, stats, QuantOptions(level=level))
        session = FloatSession(to_qdq(plan).SerializeToString(), optimize=False)
        assert (session.inputs, session.outputs) == (("a", "b"), ("j",))
        program = compile_plan(plan, TargetSection())
        found = program.dequantize(program.run(feeds))["j"]
        step = plan.tensors["j"].scale
        np.testing.assert_allclose(session.run(feeds)["j"], found, rtol=0, atol=1.01 * step)


def test_readers_that_are_no_sums_of_products_see_all_bits(tmp_path):
    nodes = [*PIXELS, node("ReduceMax", "j", "best", axes=[1], keepdims=1)]
    graph, stats = load(nodes, FACTOR, SHAPES, ["j", "best"], tmp_path)
    plan = build_plan(graph, stats, QuantOptions(level=1))
    (layer,) = [layer for layer in plan.layers if layer.node.name == "best"]
    assert plan.tensors[layer.inputs[0]].dtype.name == "s16"
    assert plan.tensors["best"].dtype.name == "s8"


def test_a_rule_of_the_user_wins(tmp_path):
    graph, stats = load(PIXELS, FACTOR, SHAPES, ["j"], tmp_path)
    assert wide_nodes(graph, stats, 1, datatypes={"j": (8, 8)}) == set()
    assert wide_nodes(graph, stats, 1, datatypes={"m": (16, 16)}) == {"m", "j"}


def test_parts_that_even_sixteen_bits_lose_are_told(tmp_path):
    graph, stats = load(PIXELS, {"k": np.float32(5000)}, SHAPES, ["j"], tmp_path)
    (told,) = [item for item in build_plan(graph, stats, QuantOptions(level=1)).decisions if JOIN in item.why]
    assert told.why.endswith("now: give it an output of its own to have more")


def test_extremes_of_slices_are_exact_however_they_are_gathered(tmp_path):
    factors = np.array([500, 500, 1, 1], np.float32).reshape(1, 4, 1)
    graph, _ = load([node("Mul", "a f", "y")], {"f": factors}, {"a": [1, 4, 30]}, ["y"], tmp_path)
    pictures = np.random.default_rng(5).normal(size=(6, 4, 30)).astype(np.float32)
    parts = [collect(graph, [{"a": pictures[part]}]) for part in (slice(0, 1), slice(1, 4), slice(4, 6))]
    merged = parts[2].merged(parts[0]).merged(parts[1])
    merged.save(tmp_path / "s.npz")
    for stats in (collect(graph, [{"a": pictures}]), merged, Statistics.load(tmp_path / "s.npz")):
        slices = stats["y"].slices
        assert set(slices) == {-1, -2}
        np.testing.assert_array_equal(slices[-2], [(pictures * factors).min((0, 2)), (pictures * factors).max((0, 2))])
        np.testing.assert_array_equal(stats["a"].slices[-1], [pictures.min((0, 1)), pictures.max((0, 1))])
