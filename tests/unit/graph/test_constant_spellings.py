"""Constants are constants however they are spelled: weights behind any chain of operators on constants are folded."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps

LAYERS = {"Conv": (4, 3, 3, 3), "Gemm": (6, 4), "MatMul": (6, 4), "PRelu": (3, 1, 1), "Add": (3, 1, 1), "Mul": (1,)}
STEPS = ("DequantizeLinear", "QuantizeDequantize", "Transpose", "Identity", "Cast", "Reshape", "Add", "channels")


class Spelling:
    """Builds the chain that ends in a constant called ``w``."""

    def __init__(self, shape, seed):
        self.rng, self.shape = np.random.default_rng(seed), shape
        self.nodes, self.constants, self.place = [], {}, 0

    def constant(self, value, kind=np.float32):
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def node(self, op, inputs, **attrs):
        self.place += 1
        output = f"s{self.place}"
        self.nodes.append((op, inputs, [output], attrs))
        return output

    def build(self, steps):
        turned = self.shape
        for step in steps:
            turned = turned[::-1] if step == "Transpose" else turned
        integers = steps[0] in ("DequantizeLinear", "channels")
        values = self.rng.integers(-127, 128, turned) if integers else self.rng.normal(size=turned)
        name = self.constant(values, np.int8 if integers else np.float32)
        for step in steps:
            name, turned = self.step(step, name, turned)
        self.nodes.append(("Identity", [name], ["w"], {}))

    def step(self, step, name, shape):
        if step in ("DequantizeLinear", "QuantizeDequantize", "channels"):
            size = (shape[-1],) if step == "channels" and shape else ()
            scale = self.constant(self.rng.uniform(0.01, 0.02, size))
            axis = {"axis": len(shape) - 1} if size else {}
            if name not in self.constants or self.constants[name].dtype != np.int8:
                name = self.node("QuantizeLinear", [name, scale, self.constant(np.zeros(size), np.int8)], **axis)
            return self.node("DequantizeLinear", [name, scale], **axis), shape
        if step == "Transpose":
            return self.node("Transpose", [name], perm=list(range(len(shape)))[::-1]), shape[::-1]
        if step == "Cast":
            return self.node("Cast", [self.node("Cast", [name], to=11)], to=1), shape
        if step == "Reshape":
            flat = self.node("Reshape", [name, self.constant([-1], np.int64)])
            return self.node("Reshape", [flat, self.constant(shape, np.int64)]), shape
        if step == "Add":
            return self.node("Add", [name, self.constant(self.rng.normal())]), shape
        return self.node("Identity", [name]), shape


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    op=st.sampled_from(sorted(LAYERS)),
    first=st.sampled_from(["DequantizeLinear", "QuantizeDequantize", "channels", "Identity", "Transpose"]),
    rest=st.lists(st.sampled_from(STEPS), max_size=3),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_layers_run_in_integers_whatever_their_constants_look_like(build, compare, op, first, rest, bias, seed):
    """Oracle: ONNX Runtime on the file; tolerance 1e-5 of the largest value (sums in another order).

    Its optimizer is off: it would run a Gemm on dequantized weights in coarser arithmetic.
    """
    spelling = Spelling(LAYERS[op], seed)
    spelling.build([first, *rest])
    inputs = {"x": [1, 6] if op in ("Gemm", "MatMul") else [1, 3, 6, 6]}
    reads = ["x", "w"]
    if bias and op in ("Conv", "Gemm"):
        scale, value = spelling.constant(0.5), spelling.constant([3, -2, 1, 0], np.int32)
        reads.append(spelling.node("DequantizeLinear", [value, scale]))
    path = build([*spelling.nodes, (op, reads, ["y"], {})], inputs, ["y"], spelling.constants)
    graph = load_onnx(path)
    compare(path, graph, 1e-5, optimize=False)
    assert [step.host for step in layer_steps(graph)] == [""] * len(layer_steps(graph))
    assert len(layer_steps(graph)) <= 1


def test_a_quantized_model_keeps_its_constants(build):
    """Folding them is for float networks: `simulate` needs scales and zero points as stored."""
    path = build(
        [("DequantizeLinear", ["q", "s"], ["w"], {}), ("Add", ["x", "w"], ["y"], {})],
        {"x": [1, 4]},
        ["y"],
        {"q": np.array([1, 2, 3, 4], np.int8), "s": np.float32(0.5)},
    )
    assert "DequantizeLinear" in [node.op for node in load_onnx(path, optimize=False).nodes]
    assert "DequantizeLinear" not in [node.op for node in load_onnx(path).nodes]


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_constants_of_another_float_type(build, compare, kind):
    value = np.random.default_rng(0).normal(size=(6, 4)).astype(kind)
    path = build(
        [("Cast", ["k"], ["w"], {"to": 1}), ("MatMul", ["x", "w"], ["y"], {})], {"x": [1, 6]}, ["y"], {"k": value}
    )
    graph = load_onnx(path)
    compare(path, graph, 1e-5)
    assert [node.op for node in graph.nodes] == ["MatMul"]
