"""Networks for benchmarks, built with seeded weights: costs are those of the real ones, accuracy means nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# expansion, output channels, repeats, stride of the first
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class _Builder:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(
        self, x: str, shape: tuple[int, int, int, int], *, stride: int = 1, group: int = 1, relu6: bool = True
    ) -> str:
        """Return the output of a convolution (BatchNorm folded) that keeps the variance of its input."""
        index, pad = len(self.nodes), shape[2] // 2
        spread = np.sqrt((2.0 if relu6 else 1.0) / (shape[1] * shape[2] * shape[3]))
        weight = self.constant(f"w{index}", self.rng.normal(0, spread, shape))
        bias = self.constant(f"b{index}", self.rng.normal(0.1, 0.2, shape[0]))
        y = self.add(
            "Conv", [x, weight, bias], kernel_shape=shape[2:], strides=[stride] * 2, pads=[pad] * 4, group=group
        )  # fmt: skip
        return self.add("Clip", [y, "zero", "six"]) if relu6 else y


def mobilenet_v2(seed: int = 0, size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Return MobileNetV2 1.0 at size x size: 52 Conv, 35 Clip, 10 Add, 1 Gemm, 300.8 M multiply-adds at 224."""
    builder = _Builder(seed)
    builder.constant("zero", np.array(0.0))
    builder.constant("six", np.array(6.0))
    x, channels = builder.conv("input", (32, 3, 3, 3), stride=2), 32
    for expansion, outputs, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            x, channels = _bottleneck(builder, x, channels, expansion, outputs, first_stride if repeat == 0 else 1)
    x = builder.add("GlobalAveragePool", [builder.conv(x, (1280, channels, 1, 1))])
    x = builder.add("Flatten", [x], axis=1)
    weight = builder.constant("fc_w", builder.rng.normal(0, 0.03, (classes, 1280)))
    bias = builder.constant("fc_b", builder.rng.normal(0, 0.1, classes))
    builder.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["logits"], name="fc", transB=1))
    return _model(builder, "mobilenet_v2", (1, 3, size, size), classes)


def _bottleneck(b: _Builder, x: str, channels: int, expansion: int, outputs: int, stride: int) -> tuple[str, int]:
    wide = channels * expansion
    y = b.conv(x, (wide, channels, 1, 1)) if expansion > 1 else x
    y = b.conv(y, (wide, 1, 3, 3), stride=stride, group=wide)
    y = b.conv(y, (outputs, wide, 1, 1), relu6=False)
    return (b.add("Add", [x, y]) if stride == 1 and channels == outputs else y), outputs


def _model(builder: _Builder, name: str, shape: tuple[int, ...], classes: int) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *shape[1:]])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])]
    graph = helper.make_graph(builder.nodes, name, inputs, outputs, builder.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def photographs(count: int, size: int = 224, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield [1, 3, size, size] float32 pictures: smooth random fields with edges, mean 0, spread about 1."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        coarse = rng.normal(0, 1, (3, 8, 8))
        field = np.kron(coarse, np.ones((size // 8, size // 8)))
        field += rng.normal(0, 0.3, field.shape)
        yield field[None].astype(np.float32)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """Return the path of the model written into `folder`."""
    path = folder / f"{model.graph.name}.onnx"
    onnx.save(model, path)
    return path
