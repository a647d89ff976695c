"""Networks whose tensors have no batch axis: inputs and outputs of rank 0 to 4 and any leading size.

Oracles: ONNX Runtime on the file (float, 1e-4 of the largest value), and on the exported model (two output steps, or
one and what a step of the input comes to where a function with a finer grid ends the model: the input may be on a tie).
Level 4 keeps an SQNR of 50 dB, or every value within two steps. Every value reaches the blob.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.app.delivery.dumps import blob_axes, tensor_blob
from slimai.blobs.reader import parse_blob
from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.samples import run_samples, sample_axis, sample_shape
from slimai.quantizer.layers import quantized_tensors, weighted_inputs
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

SLOPES = {"Relu": 1.0, "Sigmoid": 0.25, "Tanh": 1.0, "LeakyRelu": 1.0, "Clip": 1.0, "HardSwish": 1.5}  # the steepest
UNARY = tuple(SLOPES)


class Builder:
    """Draws one network: nodes, constants and what was made so far, name -> shape."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants, self.shapes = draw, [], {}, {}
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def node(self, op, inputs, shapes, **attrs):
        outputs = [f"t{len(self.shapes) + place}" for place in range(len(shapes))]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"n{len(self.nodes)}", **attrs))
        self.shapes |= dict(zip(outputs, shapes, strict=True))

    def step(self):
        x = self.draw(st.sampled_from(sorted(self.shapes)))
        shape = self.shapes[x]
        rules = ["unary", "operand", "reshape"]
        if shape:
            rules += ["mean", "slice", "concat", "matmul", "split", "softmax", "transpose"]
        if len(shape) == 2:
            rules += ["gemm"]
        getattr(self, self.draw(st.sampled_from(rules)))(x, shape)

    def unary(self, x, shape):
        self.node(self.draw(st.sampled_from(UNARY)), [x], [shape])

    def constant_operand(self, shape):
        kept = self.draw(st.integers(0, len(shape)))
        return self.constant(self.rng.normal(size=shape[kept:]).astype(np.float32))

    def operand(self, x, shape):
        self.node(self.draw(st.sampled_from(["Add", "Sub", "Mul"])), [x, self.constant_operand(shape)], [shape])

    def reshape(self, x, shape):
        flat = int(np.prod(shape, dtype=int))
        target = self.draw(st.sampled_from([(flat,), (flat, 1), (1, flat), *([(), (1,)] if flat == 1 else [])]))
        self.node("Reshape", [x, self.constant(np.array(target, np.int64))], [target])

    def mean(self, x, shape):
        axes = self.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
        keep = self.draw(st.integers(0, 1))
        found = tuple(1 if at in axes else n for at, n in enumerate(shape) if keep or at not in axes)
        self.node("ReduceMean", [x], [found], axes=sorted(axes), keepdims=keep)

    def slice(self, x, shape):
        axis = self.draw(st.integers(0, len(shape) - 1))
        end = self.draw(st.integers(1, shape[axis]))
        parts = [self.constant(np.array([value], np.int64)) for value in (0, end, axis)]
        self.node("Slice", [x, *parts], [(*shape[:axis], end, *shape[axis + 1 :])])

    def concat(self, x, shape):
        axis = self.draw(st.integers(0, len(shape) - 1))
        self.node("Concat", [x, x], [(*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])], axis=axis)

    def matmul(self, x, shape):
        weight = self.constant(self.rng.normal(size=(shape[-1], 3)).astype(np.float32))
        self.node("MatMul", [x, weight], [(*shape[:-1], 3)])

    def gemm(self, x, shape):
        weight = self.constant(self.rng.normal(size=(shape[-1], 4)).astype(np.float32))
        bias = self.draw(st.sampled_from([(4,), (1, 4), (shape[0], 4), (shape[0], 1), None]))
        inputs = [x, weight] + ([] if bias is None else [self.constant(self.rng.normal(size=bias).astype(np.float32))])
        self.node("Gemm", inputs, [(shape[0], 4)])

    def split(self, x, shape):
        self.node("Split", [x], [shape], axis=self.draw(st.integers(0, len(shape) - 1)))

    def softmax(self, x, shape):
        self.node("Softmax", [x], [shape], axis=self.draw(st.integers(0, len(shape) - 1)))

    def transpose(self, x, shape):
        perm = self.draw(st.permutations(range(len(shape))))
        self.node("Transpose", [x], [tuple(shape[at] for at in perm)], perm=perm)


@st.composite
def networks(draw):
    """Return an ONNX model; its inputs may differ in rank and leading size."""
    builder = Builder(draw)
    sizes = st.integers(1, 5)
    inputs = draw(st.lists(st.lists(sizes, max_size=4).map(tuple), min_size=1, max_size=2))
    names = [f"x{place}" for place in range(len(inputs))]
    builder.shapes |= dict(zip(names, inputs, strict=True))
    for name in names:
        builder.unary(name, builder.shapes[name])
    for _ in range(draw(st.integers(0, 3))):
        builder.step()
    read = {name for node in builder.nodes for name in node.input}
    outputs = [name for name in builder.shapes if name not in read and name not in names]
    graph = helper.make_graph(
        builder.nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, builder.shapes[name]) for name in names],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, builder.shapes[name]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in builder.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("nets") / "net.onnx"


def check(model, path):
    """Hold float network, integer network, export and blobs of one model against ONNX Runtime."""
    onnx.save(model, path)
    graph = load_onnx(path)
    rng = np.random.default_rng(3)
    shapes = {item.name: tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim) for item in model.graph.input}
    feeds = [{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(3)]
    oracle = FloatSession(model.SerializeToString(), optimize=False)
    wanted = [oracle.run(feed) for feed in feeds]
    rewritten = FloatSession(graph)
    for feed, truth in zip(feeds, wanted, strict=True):
        for name, value in rewritten.run(feed).items():
            assert value.shape == truth[name].shape
            np.testing.assert_allclose(value, truth[name], rtol=0, atol=1e-4 * np.abs(truth[name]).max())
    stats = collect(graph, feeds, tensors=quantized_tensors(graph), per_channel=weighted_inputs(graph))
    for level, bar in ((4, 50.0), (3, None)):
        plan = build_plan(graph, stats, QuantOptions(level=level, bias_correction=True), TargetSection())
        program = compile_plan(plan, TargetSection())
        exported = FloatSession(to_qdq(plan).SerializeToString(), optimize=False)
        for feed, truth in zip(feeds, wanted, strict=True):
            integers = program.run(feed)
            compare(plan, program.dequantize(integers), truth, exported.run(feed), bar)
            held_in_blobs(plan, integers)


def compare(plan, found, truth, exported, bar):
    for name, value in truth.items():
        assert found[name].shape == exported[name].shape == value.shape
        step, steps = output_steps(plan, name)
        line = 0.0 if bar is None else 3e-3 * np.abs(exported[name]).max(initial=0.0)  # between the knots of a lookup
        np.testing.assert_allclose(found[name], exported[name], rtol=1e-6, atol=max(steps, line))
        if bar is not None:
            noise, signal = float(np.square(found[name] - value).sum()), float(np.square(value).sum())
            assert noise <= signal * 10 ** (-bar / 10) or np.abs(found[name] - value).max() <= 2.01 * step


def output_steps(plan, name):
    """Return the step of an output, 0 for a float one, and how far integers and the exported model may be apart."""
    step = plan.tensors[name].scale if name in plan.tensors else 0.0
    node = next((node for node in plan.graph.nodes if name in node.outputs), None)
    if not step or node is None or node.op not in SLOPES or node.inputs[0] not in plan.tensors:
        return step, 2.01 * step
    return step, max(2.01 * step, 1.01 * step + SLOPES[node.op] * plan.tensors[node.inputs[0]].scale)


def held_in_blobs(plan, integers):
    """Every value of every output is in its blob, in order."""
    for name, value in sample_axis(plan.graph, integers).items():
        if value.ndim > 5 or not value.size:
            continue
        blob = parse_blob(tensor_blob(value, plan, name), name)
        params = plan.tensors.get(name)
        real = params.dequantize(value) if params is not None else value
        assert blob.numbers.size == value.size
        np.testing.assert_allclose(blob.real().reshape(-1), real.reshape(-1), rtol=1e-5, atol=1e-6)
        assert blob_axes(value).ndim <= 4


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(model=networks())
def test_networks_without_a_batch_are_right(model, path):
    check(model, path)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=networks())
def test_more_networks_without_a_batch_are_right(model, path):
    check(model, path)


@pytest.mark.parametrize(
    ("shape", "wanted"), [((), (1,)), ((7,), (1, 7)), ((1,), (1,)), ((1, 7), (1, 7)), ((3, 5), (1, 3, 5))]
)
def test_a_sample_has_one_axis_in_front(shape, wanted):
    assert sample_shape(shape) == wanted


def test_samples_of_a_network_without_a_batch_run_one_by_one(path):
    """Three samples of inputs (2, 3) and (4,) give what three runs give."""
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("ReduceMean", ["b"], ["z"], keepdims=0)]
    shapes = {"a": [2, 3], "b": [4], "y": [2, 3], "z": []}
    info = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "g", [info["a"], info["b"]], [info["y"], info["z"]])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    net = load_onnx(path)
    rng = np.random.default_rng(1)
    feeds = {"a": rng.normal(size=(3, 2, 3)).astype(np.float32), "b": rng.normal(size=(3, 4)).astype(np.float32)}
    found = run_samples(net, FloatSession(net).run, feeds)
    np.testing.assert_array_equal(found["y"], np.maximum(feeds["a"], 0))
    np.testing.assert_allclose(found["z"], feeds["b"].mean(axis=1), rtol=1e-6)
