"""A BERT-shaped encoder with seeded weights: post-normalization, GELU by erf, two outlier channels."""

from __future__ import annotations

from math import sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, TOKENS = 64, 4, 16
OUTLIERS = (7, 40)


class _Encoder:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def floats(self, value: object) -> str:
        return self.constant(np.asarray(value, dtype=np.float32))

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x: str, inputs: int, outputs: int, gain: float = 1.0) -> str:
        weight = self.floats(self.rng.normal(0, gain / sqrt(inputs), (inputs, outputs)))
        return self.add("Add", self.add("MatMul", x, weight), self.floats(self.rng.normal(0, 0.1, outputs)))

    def norm(self, x: str) -> str:
        gain = self.rng.uniform(0.7, 1.3, WIDTH)
        gain[list(OUTLIERS)] *= 20.0
        bias = self.floats(self.rng.normal(0, 0.1, WIDTH))
        return self.add("LayerNormalization", x, self.floats(gain), bias, axis=-1, epsilon=1e-12)

    def heads(self, x: str, perm: tuple[int, ...]) -> str:
        shape = self.constant(np.array([0, TOKENS, HEADS, WIDTH // HEADS], dtype=np.int64))
        return self.add("Transpose", self.add("Reshape", x, shape), perm=perm)

    def layer(self, x: str) -> str:
        q, k, v = (self.linear(x, WIDTH, WIDTH, 0.5) for _ in range(3))
        q, k, v = self.heads(q, (0, 2, 1, 3)), self.heads(k, (0, 2, 3, 1)), self.heads(v, (0, 2, 1, 3))
        scores = self.add("Div", self.add("MatMul", q, k), self.floats(sqrt(WIDTH // HEADS)))
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), v)
        shape = self.constant(np.array([0, TOKENS, WIDTH], dtype=np.int64))
        mixed = self.add("Reshape", self.add("Transpose", mixed, perm=(0, 2, 1, 3)), shape)
        x = self.norm(self.add("Add", self.linear(mixed, WIDTH, WIDTH), x))
        wide = self.linear(x, WIDTH, 4 * WIDTH, 0.5)
        gate = self.add("Add", self.add("Erf", self.add("Div", wide, self.floats(sqrt(2.0)))), self.floats(1.0))
        active = self.add("Mul", self.add("Mul", wide, gate), self.floats(0.5))
        return self.norm(self.add("Add", self.linear(active, 4 * WIDTH, WIDTH), x))


def bert(seed: int = 0, layers: int = 2) -> onnx.ModelProto:
    """Return an encoder [1, 16, 64] -> [1, 16, 8] of 4 heads; two channels of each gain are 20 times others."""
    encoder = _Encoder(seed)
    x = encoder.norm("input")
    for _ in range(layers):
        x = encoder.layer(x)
    shape = ["N", TOKENS, WIDTH]
    graph = helper.make_graph(
        encoder.nodes,
        "bert",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(encoder.linear(x, WIDTH, 8), TensorProto.FLOAT, ["N", TOKENS, 8])],
        encoder.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
