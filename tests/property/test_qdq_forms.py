"""QDQ models of other tools: every legal form of weights, biases and activations runs right, or is refused by name.

Oracle: ONNX Runtime on the file, its optimizer off. Tolerance: two steps of the output's grid (the target's arithmetic
rounds in integers, a float bias is rounded to s_x * s_w), 1e-5 of the largest value where a float operator
ends the model, one step where a float result is put on a grid: it may be on a tie.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimai.app.commands.simulate import declared_outputs
from slimai.graph.load import load_onnx
from slimai.quantizer.quantized_onnx import plan_of_quantized
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

SHAPES = {
    "Conv": ((1, 3, 6, 6), (3, 3, 3, 3)), "Grouped": ((1, 4, 6, 6), (4, 2, 1, 1)),
    "Depthwise": ((1, 4, 6, 6), (4, 1, 3, 3)), "ConvTranspose": ((1, 3, 4, 4), (3, 3, 2, 2)),
    "Gemm": ((2, 5), (5, 5)), "MatMul": ((1, 4, 5), (5, 5)), "Rows": ((1, 5), (5, 3)),
    "Stacked": ((1, 4, 4), (1, 4, 4)),
}  # fmt: skip
ACTIVATIONS = {
    "u8": (np.uint8, 128),
    "s8": (np.int8, 3),
    "s8sym": (np.int8, 0),
    "s16": (np.int16, 0),
    "u16": (np.uint16, 32768),
}


class Model:
    """Collects nodes and constants of one QDQ network."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants = draw, [], {}
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op, inputs, **attrs):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"n{len(self.nodes)}", **attrs))
        return output

    def pair(self, x, kind, scale, channels=0):
        """Return DequantizeLinear(QuantizeLinear(x)), with one scale a channel of axis 1 where `channels` says so."""
        dtype, zero = ACTIVATIONS[kind]
        size = (channels,) if channels else ()
        s = self.constant((scale * self.rng.uniform(0.5, 1.5, size)).astype(np.float32))
        zeros = np.full(size, zero, dtype)
        if channels and self.draw(st.booleans()) and kind != "s8sym":
            zeros = (zeros + np.arange(channels)).astype(dtype)
        z = self.constant(zeros)
        axis = {"axis": 1} if channels else {}
        q = self.node("QuantizeLinear", [x, s, z], **axis)
        return self.node("DequantizeLinear", [q, s, z], **axis), q, (s, z)

    def weights(self, shape):
        """Return a weight tensor of this shape, spelled in one of many ways."""
        form = self.draw(st.sampled_from(["stored", "float", "int4", "transposed", "reshaped", "identity"]))
        stored = shape[::-1] if form == "transposed" else (int(np.prod(shape)),) if form == "reshaped" else shape
        axis = self.draw(st.one_of(st.none(), st.integers(0, len(stored) - 1)))
        size = () if axis is None else (stored[axis],)
        scale = self.constant(self.rng.uniform(0.002, 0.02, size).astype(np.float32))
        attrs = {} if axis is None else {"axis": axis}
        dtype = self.draw(st.sampled_from([np.int8, np.uint8])) if form != "int4" else None
        zero = []
        if dtype is not None:
            many = dtype is np.uint8 and self.draw(st.booleans())
            offset = self.rng.integers(100, 150, size if many else ()) if dtype is np.uint8 else 0
            zero = [self.constant(np.broadcast_to(offset, size).astype(dtype))]
        name = f"w{len(self.constants)}"
        if form == "int4":
            values = self.rng.integers(-8, 8, stored)
            self.constants[name] = helper.make_tensor(name, TensorProto.INT4, stored, values.reshape(-1))
        elif form == "float":
            self.constants[name] = self.rng.normal(0, 0.3, stored).astype(np.float32)
            name = self.node("QuantizeLinear", [name, scale, *zero], **attrs)
        else:
            bounds = np.iinfo(dtype)
            self.constants[name] = self.rng.integers(bounds.min, bounds.max, stored).astype(dtype)
        event(f"weights {form}")
        made = self.node("DequantizeLinear", [name, scale, *zero], **attrs)
        if form == "transposed":
            return self.node("Transpose", [made], perm=list(range(len(shape)))[::-1])
        if form == "reshaped":
            return self.node("Reshape", [made, self.constant(np.array(shape, np.int64))])
        return self.node("Identity", [made]) if form == "identity" else made

    def bias(self, channels):
        form = self.draw(st.sampled_from(["none", "float", "int32", "int32 channels"]))
        if form == "none":
            return []
        if form == "float":
            return [self.constant(self.rng.normal(size=channels).astype(np.float32))]
        size = (channels,) if form.endswith("channels") else ()
        scale = self.constant(self.rng.uniform(1e-4, 1e-3, size).astype(np.float32))
        values = self.constant(self.rng.integers(-2000, 2000, channels).astype(np.int32))
        return [self.node("DequantizeLinear", [values, scale], **({"axis": 0} if size else {}))]

    def layer(self, kind, x):
        shape = SHAPES[kind][1]
        w = self.weights(shape)
        if kind in ("MatMul", "Rows", "Stacked"):
            made = self.node("MatMul", [x, w])
            bias = self.bias(shape[-1]) if self.draw(st.booleans()) else []
            return self.node("Add", [made, *bias]) if bias else made
        if kind == "Gemm":
            return self.node("Gemm", [x, w, *self.bias(shape[0])], transB=self.draw(st.integers(0, 1)))
        op = "ConvTranspose" if kind == "ConvTranspose" else "Conv"
        group = {"Grouped": 2, "Depthwise": 4}.get(kind, 1)
        return self.node(op, [x, w, *self.bias(shape[0])], group=group)

    def finished(self, inputs, outputs):
        protos = [
            item if isinstance(item, onnx.TensorProto) else numpy_helper.from_array(item, name)
            for name, item in self.constants.items()
        ]
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            protos,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@st.composite
def models(draw):
    """Return a network of one layer: quantized input, weights, bias, clamp, quantized output or a float one."""
    model, kind = Model(draw), draw(st.sampled_from(sorted(SHAPES)))
    shape = SHAPES[kind][0]
    activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
    channels = shape[1] if draw(st.integers(0, 4)) == 0 and len(shape) > 2 else 0
    x, q, (_, z) = model.pair("x", activation, 0.001 if activation.endswith("16") else 0.02, channels)
    outputs = [model.layer(kind, x)]
    if not channels and draw(st.booleans()):
        other = model.constant(np.float32(0.013))
        outputs.append(model.layer(kind, model.node("DequantizeLinear", [q, other, z])))
    ends = []
    for output in outputs:
        name = output
        clamp = draw(st.sampled_from(["", "Relu", "Clip"]))
        if clamp:
            limits = [model.constant(np.float32(0)), model.constant(np.float32(1.5))] if clamp == "Clip" else []
            name = model.node(clamp, [name, *limits])
        end = draw(st.sampled_from(["pair", "pair", "float"]))
        step = 0.001 if activation.endswith("16") else 0.04
        ends.append((model.pair(name, activation, step)[0], 1.0) if end == "pair" else (name, 0.0))
    return model.finished(shape, [name for name, _ in ends]), shape


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("nets") / "net.onnx"


def grid(model, name):
    """Return the step of the grid that an output was put on, 0 for one that was not."""
    nodes = {output: node for node in model.graph.node for output in node.output}
    constants = {item.name: item for item in model.graph.initializer}
    node = nodes[name]
    quantized = node.op_type == "DequantizeLinear" and node.input[0] in nodes
    return float(numpy_helper.to_array(constants[node.input[1]]).max()) if quantized else 0.0


def check(model, shape, path):
    onnx.save(model, path)
    feed = {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    truth = FloatSession(model.SerializeToString(), optimize=False).run(feed)
    plan = plan_of_quantized(load_onnx(path, optimize=False))
    program = compile_plan(plan, TargetSection())
    found = program.run(feed)
    real = declared_outputs(program, found, integers=False)
    for name, value in truth.items():
        assert real[name].dtype == value.dtype
        assert real[name].shape == value.shape
        step = plan.tensors[name].scale if name in plan.tensors else 0.0
        limit = 2.01 * step if step else max(1e-5 * max(float(np.abs(value).max()), 1.0), 1.01 * grid(model, name))
        np.testing.assert_allclose(real[name], value, rtol=0, atol=limit)
    return plan


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=models())
def test_quantized_models_mean_what_onnx_runtime_says(case, path):
    check(*case, path)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=models())
def test_more_quantized_models_mean_what_onnx_runtime_says(case, path):
    check(*case, path)


@st.composite
def channel_scaled(draw):
    """Return convolution, clamp, quantization with one scale a channel, depthwise convolution: NNCF's default."""
    model = Model(draw)
    x, _, _ = model.pair("x", draw(st.sampled_from(["u8", "s8", "s8sym"])), 0.02)

    def weight(shape, axis):
        scale = model.constant(model.rng.uniform(0.002, 0.02, () if axis is None else (shape[0],)).astype(np.float32))
        values = model.constant(model.rng.integers(-127, 128, shape).astype(np.int8))
        return model.node("DequantizeLinear", [values, scale], **({} if axis is None else {"axis": axis}))

    axis = draw(st.sampled_from([None, 0]))
    made = model.node("Conv", [x, weight((4, 3, 1, 1), axis), *model.bias(4)])
    clamp = draw(st.sampled_from(["", "Relu", "Clip"]))
    if clamp == "Relu":
        made = model.node("Relu", [made])
    elif clamp == "Clip":
        made = model.node("Clip", [made, model.constant(np.float32(0)), model.constant(np.float32(1.0))])
    size = (4,)
    scale = model.constant((0.01 * model.rng.uniform(0.2, 1.8, size)).astype(np.float32))
    zero = model.constant(np.full(size, draw(st.sampled_from([0, -128, 5])), np.int8))
    q = model.node("QuantizeLinear", [made, scale, zero], axis=1)
    d = model.node("DequantizeLinear", [q, scale, zero], axis=1)
    depthwise = model.node("Conv", [d, weight((4, 1, 3, 3), draw(st.sampled_from([None, 0]))), *model.bias(4)], group=4)
    y, _, _ = model.pair(depthwise, "s8", 0.02)
    return model.finished((1, 3, 6, 6), [y])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(model=channel_scaled())
def test_one_activation_scale_a_channel_before_a_depthwise_convolution_runs_in_integers(model, path):
    plan = check(model, (1, 3, 6, 6), path)
    assert [layer.mode for layer in plan.layers] == ["integer"] * 2
