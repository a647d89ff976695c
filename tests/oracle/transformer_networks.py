"""Seeded transformers: a BERT-shaped encoder and a small DeiT, with outlier channels as trained ones have."""

from __future__ import annotations

from math import sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, LAYERS = 48, 3, 2


class _Builder:
    def __init__(self, seed, tokens):
        self.rng, self.tokens = np.random.default_rng(seed), tokens
        self.nodes, self.constants = [], []

    def constant(self, value, dtype=np.float32):
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, op, *inputs, **attributes):
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x, inputs, outputs, gain=1.0):
        weight = self.constant(self.rng.normal(0, gain / sqrt(inputs), (inputs, outputs)))
        return self.add("Add", self.add("MatMul", x, weight), self.constant(self.rng.normal(0, 0.1, outputs)))

    def norm(self, x, outliers=4.0):
        gain = self.rng.uniform(0.7, 1.3, WIDTH)
        gain[self.rng.choice(WIDTH, 2, replace=False)] *= outliers
        return self.add("LayerNormalization", x, self.constant(gain), self.constant(self.rng.normal(0, 0.1, WIDTH)),
                        axis=-1, epsilon=1e-6)  # fmt: skip

    def attention(self, x):
        split = self.constant([0, self.tokens, HEADS, WIDTH // HEADS], np.int64)
        q, k, v = (
            self.add("Transpose", self.add("Reshape", self.linear(x, WIDTH, WIDTH, gain), split), perm=perm)
            for gain, perm in ((0.3, (0, 2, 1, 3)), (0.3, (0, 2, 3, 1)), (1.0, (0, 2, 1, 3)))
        )
        scores = self.add("Mul", self.add("MatMul", q, k), self.constant(1 / sqrt(WIDTH // HEADS)))
        mixed = self.add("Transpose", self.add("MatMul", self.add("Softmax", scores, axis=-1), v), perm=(0, 2, 1, 3))
        whole = self.add("Reshape", mixed, self.constant([0, self.tokens, WIDTH], np.int64))
        return self.linear(whole, WIDTH, WIDTH)

    def feed_forward(self, x):
        wide = self.linear(x, WIDTH, 4 * WIDTH, 0.5)
        gate = self.add("Add", self.add("Erf", self.add("Div", wide, self.constant(sqrt(2)))), self.constant(1.0))
        return self.linear(self.add("Mul", self.add("Mul", wide, gate), self.constant(0.5)), 4 * WIDTH, WIDTH)

    def model(self, name, shape, output, size):
        ends = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(
            self.nodes, name, ends, [helper.make_tensor_value_info(output, TensorProto.FLOAT, size)], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def bert(seed=0):
    """Return an encoder [1, 12, 48] -> [1, 12, 8], normalized behind each residual sum."""
    b = _Builder(seed, 12)
    x = b.norm("input")
    for _ in range(LAYERS):
        x = b.norm(b.add("Add", b.attention(x), x))
        x = b.norm(b.add("Add", b.feed_forward(x), x))
    return b.model("bert", [1, 12, WIDTH], b.linear(x, WIDTH, 8), [1, 12, 8])


def deit(seed=0):
    """Return a classifier [1, 3, 32, 32] -> [1, 10]: patches by Conv, a class token, normalized before each branch."""
    b = _Builder(seed, 17)
    patches = b.add("Conv", "input", b.constant(b.rng.normal(0, 0.08, (WIDTH, 3, 8, 8))),
                    b.constant(b.rng.normal(0, 0.1, WIDTH)), kernel_shape=[8, 8], strides=[8, 8])  # fmt: skip
    rows = b.add("Transpose", b.add("Reshape", patches, b.constant([0, WIDTH, 16], np.int64)), perm=(0, 2, 1))
    x = b.add("Concat", b.constant(b.rng.normal(0, 1, (1, 1, WIDTH))), rows, axis=1)
    x = b.add("Add", x, b.constant(b.rng.normal(0, 0.3, (1, 17, WIDTH))))
    for _ in range(LAYERS):
        x = b.add("Add", b.attention(b.norm(x)), x)
        x = b.add("Add", b.feed_forward(b.norm(x)), x)
    token = b.add("Gather", b.norm(x, 1.0), b.constant(0, np.int64), axis=1)
    weight, bias = b.constant(b.rng.normal(0, 0.15, (10, WIDTH))), b.constant(b.rng.normal(0, 0.1, 10))
    return b.model("deit", [1, 3, 32, 32], b.add("Gemm", token, weight, bias, transB=1), [1, 10])
