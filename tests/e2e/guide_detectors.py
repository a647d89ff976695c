"""Networks whose raw outputs stand in the pixels of the picture, so that a picture can be drawn for any set of boxes.

One convolution with a kernel as large as its stride reads value v of a cell as (p - 128) / GAIN from a pixel p of
that cell. A test thus knows what a perfect detector answers without training one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GAIN = 12.0
LOW = -128 / GAIN  # what a black pixel means


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


class Cells:
    """Values [rows, columns, count] of one head, drawn into cells of stride x stride pixels from entry `first` on."""

    def __init__(self, name: str, size: tuple[int, int], stride: int, count: int, first: int = 0) -> None:
        self.name, self.size, self.stride, self.count, self.first = name, size, stride, count, first

    def nodes(self, scale: float = 1 / GAIN, bias: float = LOW):
        """Return the convolution [1, count, rows, columns] of value = scale * pixel + bias."""
        weights = np.zeros((self.count, 3 * self.stride**2), np.float32)
        weights[np.arange(self.count), self.first + np.arange(self.count)] = scale
        weights = weights.reshape(self.count, 3, self.stride, self.stride)
        constants = [
            numpy_helper.from_array(weights, f"{self.name}_w"),
            numpy_helper.from_array(np.full(self.count, bias, np.float32), f"{self.name}_b"),
        ]
        stride = [self.stride] * 2
        node = helper.make_node("Conv", ["image", f"{self.name}_w", f"{self.name}_b"], [f"{self.name}_raw"],
                                kernel_shape=stride, strides=stride)  # fmt: skip
        return node, constants

    def draw(self, picture: np.ndarray, row: int, column: int, values: Sequence[float]) -> None:
        """Write the values of one cell, as pixels, into picture [height, width, 3] uint8."""
        assert len(values) == self.count
        part = picture[row * self.stride : (row + 1) * self.stride, column * self.stride : (column + 1) * self.stride]
        planes = part.transpose(2, 0, 1).reshape(-1).copy()
        planes[self.first : self.first + self.count] = np.clip(np.rint(values), 0, 255)
        part[:] = planes.reshape(3, self.stride, self.stride).transpose(1, 2, 0)


def as_pixels(values: Sequence[float]) -> list[float]:
    """Return the pixels of values that a head reads with the default scale and bias."""
    return [128 + GAIN * value for value in values]


def save(path: Path, size: tuple[int, int], parts, outputs: dict[str, tuple[int, ...]]) -> None:
    """Write the network; parts: (nodes, constants) of each head. size: (width, height)."""
    nodes = [node for each, _ in parts for node in each]
    constants = [constant for _, each in parts for constant in each]
    graph = helper.make_graph(
        nodes,
        "guide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size[1], size[0]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)


def yolo_values(box, size, stride, anchors, classes: int, label: int):
    """Return (row, column, values) of the cell and the anchor that fit corners `box` in input pixels best."""
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    w, h = box[2] - box[0], box[3] - box[1]
    column, row = int(cx // stride), int(cy // stride)
    gaps = [abs(np.log(w / a)) + abs(np.log(h / b)) for a, b in anchors]
    best = int(np.argmin(gaps))
    values = np.full((len(anchors), 5 + classes), LOW)
    inside = np.clip([cx / stride - column, cy / stride - row], 0.01, 0.99)
    values[best, :5] = [logit(inside[0]), logit(inside[1]), np.log(w / anchors[best][0]),
                        np.log(h / anchors[best][1]), 8.0]  # fmt: skip
    values[best, 5 + label] = 9.0
    return row, column, as_pixels(values.reshape(-1))
