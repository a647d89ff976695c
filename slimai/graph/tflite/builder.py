"""What the operator rules build a network with: names, activations, constants and nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slimai.errors import Diagnostic
from slimai.graph.ir import Array, Node, TensorInfo
from slimai.graph.tflite.access import FileAccess, RefusedError
from slimai.graph.tflite.file import FileOperator, FileTensor
from slimai.graph.tflite.stored import StoredParams

LARGEST_SCALE = 2.0**32  # products of scales and 32-bit integers stay far below the end of float32
BIAS_SCALE_TOLERANCE = 0.02
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "FULLY_CONNECTED": 0}  # of weights as stored


@dataclass
class Builder(FileAccess):
    """Collects the network of one file."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    integers: dict[str, Array] = field(default_factory=dict)
    params: dict[str, StoredParams] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)
    _layouts: dict[tuple[int, str], str] = field(default_factory=dict)

    def activation(self, op: FileOperator, position: int) -> str:
        """Return the name of an input that is computed (or a network input), already known to the graph."""
        item = self.tensor(op, position)
        name = self.names[op.inputs[position]]
        if item.data is not None:
            raise self.wrong(op, f"input {position} is a constant; an activation is expected")
        if name not in self.tensors:
            raise self.wrong(op, f"reads '{name}' before it is computed")
        return name

    def constant(
        self,
        op: FileOperator,
        position: int,
        layout: str = "",
        change: Callable[[Array], Array] | None = None,
        axis: int = 0,
    ) -> str:
        """Return the name of a stored constant, brought by `change` to its canonical shape.

        layout: names the change; one tensor in two layouts becomes two constants. axis: of per-channel scales
        in the canonical shape.
        """
        number = op.inputs[position] if self.has(op, position) else -1
        item = self.tensor(op, position)
        if item.data is None:
            raise self.wrong(op, f"input {position} is computed; a constant is expected")
        key = (number, layout)
        if key in self._layouts:
            return self._layouts[key]
        name = self.names[number]
        if name in self.integers:
            name = self.fresh(f"{name}__{layout or 'plain'}")
        values = item.data if change is None else change(item.data)
        self._layouts[key] = name
        self.params[name] = self._constant_params(op, item, axis, values)
        self.add_constant(name, np.ascontiguousarray(values))
        return name

    def _constant_params(self, op: FileOperator, item: FileTensor, axis: int, values: Array) -> StoredParams:
        if not item.scale.size:
            raise self.wrong(op, f"constant '{item.name}' has no scale")
        channels = values.shape[axis] if values.ndim else 1
        if item.scale.size not in {1, channels} or item.zero_point.size != item.scale.size:
            raise self.wrong(op, f"constant '{item.name}' has {item.scale.size} scales for {channels} channels")
        if not ((item.scale >= 0) & (item.scale <= LARGEST_SCALE)).all() or not item.scale.any():
            raise self.wrong(op, f"a scale of constant '{item.name}' is not a positive number below 2^32")
        if item.scale.size > 1 and item.axis != CHANNEL_AXIS.get(op.code, item.axis):
            message = (
                f"the scales of constant '{item.name}' belong to axis {item.axis} of the file, not to its channels"
            )
            raise self.wrong(op, message, cure=f"its quantized_dimension should be {CHANNEL_AXIS[op.code]}")
        if item.scale.size > 1 and item.zero_point.any():
            raise self.wrong(op, f"constant '{item.name}' has a zero point a channel; only 0 is possible there")
        limits = np.iinfo(item.dtype)
        if not limits.min <= int(item.zero_point[0]) <= limits.max:
            raise self.wrong(
                op, f"the zero point of constant '{item.name}' does not fit its type", int(item.zero_point[0])
            )
        return StoredParams(item.dtype, item.scale, int(item.zero_point[0]), axis)

    def add_constant(self, name: str, values: Array) -> None:
        """Add a constant whose parameters are known already."""
        self.integers[name] = values
        self.constants[name] = self.params[name].dequantize(values)
        self.tensors[name] = TensorInfo(name, tuple(values.shape))

    def bias(self, op: FileOperator, position: int, x: str, weight: str, channels: int) -> str:
        """Return the name of the bias, [channels] at scale s_x * s_w, or '' when the operator has none.

        It is int32; beside int16 activations int64 or int32.
        """
        if not self.has(op, position):
            return ""
        item = self.tensor(op, position)
        kinds = ("int64", "int32") if self.params[x].dtype == "int16" else ("int32",)
        if item.data is None or item.dtype not in kinds or item.data.size != channels:
            message = f"the bias '{item.name}' is not a constant [{channels}] {kinds[0]}"
            raise self.wrong(op, message, [*item.shape, item.dtype])
        if item.zero_point.any():
            raise self.wrong(op, f"the bias '{item.name}' has a zero point; it can have none", int(item.zero_point[0]))
        scale = self.params[x].scale[0] * self.params[weight].scale
        self._check_bias_scale(op, item, scale)
        name = self.names[op.inputs[position]]
        if name in self.integers:
            if self.params[name].scale.tobytes() == scale.tobytes():
                return name
            name = self.fresh(f"{name}__bias")
        self.params[name] = StoredParams(item.dtype, scale)
        self.add_constant(name, item.data.reshape(-1))
        return name

    def _check_bias_scale(self, op: FileOperator, item: FileTensor, product: Array) -> None:
        """Refuse a bias whose own scale, where there is one, differs from s_x * s_w by over 2 % of an output step.

        LiteRT checks the same, and then takes the bias at s_x * s_w whatever its scale says (as is done here).
        """
        if not item.scale.size:
            return
        if item.scale.size not in {1, product.size}:
            raise self.wrong(op, f"the bias '{item.name}' has {item.scale.size} scales for {product.size} channels")
        step = self.model.tensors[op.outputs[0]].scale[:1]
        with np.errstate(over="ignore", invalid="ignore"):
            good = np.abs(item.scale - product) <= BIAS_SCALE_TOLERANCE * step
            good &= (item.scale > 0) | (product == 0)
        if step.size and not good.all():
            at = int(np.argmin(good))
            given, wanted = (float(scale[min(at, scale.size - 1)]) for scale in (item.scale, product))
            message = f"the scale of the bias '{item.name}' is not that of its input times its weights', {wanted:.6g}"
            raise self.wrong(op, message, given, "convert the model again")

    def fresh(self, name: str) -> str:
        """Return `name`, or it with a number, as no tensor has it yet."""
        taken, base, count = {*self.names, *self.tensors}, name, 2
        while name in taken:
            name, count = f"{base}_{count}", count + 1
        return name

    def output(self, op: FileOperator, position: int = 0, dtype: str = "float32") -> str:
        """Describe an output of the operator, with its stored parameters, and return its name."""
        shape, number = self.out_shape(op, position), op.outputs[position]
        item = self.model.tensors[number]
        if item.data is not None:
            raise self.wrong(op, f"writes '{item.name}', which is a constant")
        name = self.names[number]
        self.tensors[name] = TensorInfo(name, shape, dtype)
        if dtype == "float32":
            self.params[name] = self.activation_params(op, item)
        return name

    def activation_params(self, op: FileOperator | None, item: FileTensor) -> StoredParams:
        """Return the one scale and zero point of an 8- or 16-bit activation."""
        problem = _activation_problem(item)
        if problem:
            if op is not None:
                raise self.wrong(op, problem)
            raise RefusedError(Diagnostic(problem, item.name, file=self.where))
        return StoredParams(item.dtype, item.scale, int(item.zero_point[0]))

    def input(self, number: int) -> None:
        """Describe a network input."""
        item, name = self.model.tensors[number], self.names[number]
        if item.data is not None:
            raise RefusedError(Diagnostic("is an input and a constant", name, file=self.where))
        self.params[name] = self.activation_params(None, item)
        self.tensors[name] = TensorInfo(name, item.shape)

    def inner(self, name: str, like: str, shape: Sequence[int]) -> str:
        """Describe a tensor that the file does not have, on the grid of `like`, and return its name."""
        name = self.fresh(name)
        self.tensors[name] = TensorInfo(name, tuple(shape))
        self.params[name] = self.params[like]
        return name

    def emit(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attrs: dict[str, Any] | None = None
    ) -> None:
        """Append a node; it is named after its first output."""
        self.nodes.append(Node(outputs[0], kind, tuple(inputs), tuple(outputs), attrs or {}))

    def emit_clamped(
        self,
        op: FileOperator,
        kind: str,
        inputs: Sequence[str],
        attrs: dict[str, Any] | None = None,
        *,
        shape: Any = None,
    ) -> None:
        """Append the node of `op` with its fused activation; `shape` must be the declared output shape."""
        if shape is not None:
            self.expect(op, shape)
        output = self.output(op)
        clamp = self.clamp(op)
        if clamp is None:
            self.emit(kind, inputs, (output,), attrs)
            return
        before = self.inner(f"{output}__unclamped", output, self.tensors[output].shape)
        self.nodes.append(Node(output, kind, tuple(inputs), (before,), attrs or {}))
        name = self.fresh(f"{output}__{clamp[0].lower()}")
        self.nodes.append(Node(name, clamp[0], (before,), (output,), dict(clamp[1])))
        self.folded.add(name)


def _activation_problem(item: FileTensor) -> str:
    if item.dtype not in {"int8", "uint8", "int16"}:
        return f"tensor '{item.name}' is {item.dtype}, not int8, uint8 or int16"
    if item.scale.size != 1 or item.zero_point.size != 1:
        return f"activation '{item.name}' needs one scale and zero point, it has {item.scale.size}"
    if not np.finfo(np.float32).tiny <= item.scale[0] <= LARGEST_SCALE:
        return f"the scale of '{item.name}' is not a positive number below 2^32"
    limits = np.iinfo(item.dtype)
    if not limits.min <= int(item.zero_point[0]) <= limits.max:
        return f"the zero point {int(item.zero_point[0])} of '{item.name}' does not fit {item.dtype}"
    if item.dtype == "int16" and item.zero_point[0]:
        return f"the zero point of '{item.name}' is {int(item.zero_point[0])}; an int16 activation has 0"
    return ""
