"""What the rules build an ONNX model with: nodes and constants, and each tensor in one of two orders of axes.

A spatial operator of ONNX works on [N, C, H, W]. A tensor that one writes stays in that order ("channels first") and
what is computed of it element by element too; the file's order ("as in the file") is made again where an operator or
a network output needs it. So a chain of convolutions holds no transposition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slimai.graph.ir import Array, Node
from slimai.graph.names import FreeNames
from slimai.graph.tflite.access import FileAccess
from slimai.graph.tflite.file import FileOperator


def first_axes(rank: int) -> tuple[int, ...]:
    """Return the permutation from the file's order to channels first, e.g. (0, 3, 1, 2)."""
    return (0, rank - 1, *range(1, rank - 1))


def last_axes(rank: int) -> tuple[int, ...]:
    """Return the permutation from channels first back to the file's order, e.g. (0, 2, 3, 1)."""
    return (0, *range(2, rank), 1)


def permuted(values: Sequence[Any], axes: Sequence[int]) -> tuple[Any, ...]:
    """Return one value an axis in another order of axes."""
    return tuple(values[axis] for axis in axes)


@dataclass
class Writer(FileAccess):
    """Collects the ONNX nodes and constants of one float file.

    as_filed, channels_first: tensor number -> name of the ONNX tensor that holds it in that order.
    shapes: ONNX tensor -> the operator that writes it and the shape that the file declares for it.
    turned: what Transposes give that the file does not hold.
    """

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    as_filed: dict[int, str] = field(default_factory=dict)
    channels_first: dict[int, str] = field(default_factory=dict)
    shapes: dict[str, tuple[FileOperator, tuple[int, ...]]] = field(default_factory=dict)
    turned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = FreeNames(self.names)
        self.as_filed.update({number: self.names[number] for number in self.model.inputs})

    # what an operator reads

    def is_constant(self, op: FileOperator, position: int) -> bool:
        """Return whether an input is stored in the file."""
        return self.tensor(op, position).data is not None

    def is_first(self, op: FileOperator, position: int = 0) -> bool:
        """Return whether an input is held channels first, as far as it is held at all."""
        return self.tensor(op, position).data is None and op.inputs[position] in self.channels_first

    def values(self, op: FileOperator, position: int, rank: int | None = None) -> Array:
        """Return a stored float32 input, of `rank` axes where that is given."""
        item = self.tensor(op, position)
        if item.data is None:
            raise self.wrong(op, f"input {position} is computed; a constant is expected")
        if item.dtype != "float32" or (rank is not None and len(item.shape) != rank) or item.data.size == 0:
            wanted = "" if rank is None else f" with {rank} axes"
            raise self.wrong(op, f"constant '{item.name}' is not float32{wanted}", [*item.shape, item.dtype])
        return item.data

    def filed(self, op: FileOperator, position: int = 0) -> str:
        """Return the ONNX name of an input in the file's order of axes; a constant too."""
        item, number = self.tensor(op, position), op.inputs[position]
        if item.data is not None:
            if number not in self.as_filed:
                self.as_filed[number] = self.constant(item.name, item.data)
            return self.as_filed[number]
        return self._filed(number, op)

    def _filed(self, number: int, op: FileOperator) -> str:
        if number not in self.as_filed:
            source, shape = self._held(number, op), self.model.tensors[number].shape
            wanted = self.names[number] if number in self.model.outputs else f"{self.names[number]}__nhwc"
            target = wanted if wanted == self.names[number] else self._free.take(wanted)
            if _order_free(shape):
                self.reshape(source, shape, target)
            else:
                self.add("Transpose", (source,), target, {"perm": last_axes(len(shape))})
                self.turned.append(target)
            self.as_filed[number] = target
        return self.as_filed[number]

    def picture(self, op: FileOperator, position: int = 0) -> str:
        """Return the ONNX name of an activation channels first; it has three axes or more."""
        number, item = op.inputs[position], self.tensor(op, position)
        if item.data is not None:
            raise self.wrong(op, f"input {position} is a constant; an activation is expected")
        if len(item.shape) < 3:
            raise self.wrong(op, f"input {position} has {len(item.shape)} axes; a picture has more", list(item.shape))
        if number not in self.channels_first:
            target = self._free.take(f"{self.names[number]}__nchw")
            axes = first_axes(len(item.shape))
            if _order_free(item.shape):
                self.reshape(self._held(number, op), permuted(item.shape, axes), target)
            else:
                self.add("Transpose", (self._held(number, op),), target, {"perm": axes})
                self.turned.append(target)
            self.channels_first[number] = target
        return self.channels_first[number]

    def any_order(self, op: FileOperator, position: int = 0) -> str:
        """Return an activation whose elements lie as in the file, in whatever shape; for what reshapes it anyway."""
        number = op.inputs[position]
        if self.is_first(op, position) and number not in self.as_filed and _order_free(self.shape(op, position)):
            return self.channels_first[number]
        return self.filed(op, position)

    def _held(self, number: int, op: FileOperator) -> str:
        found = self.as_filed.get(number) or self.channels_first.get(number)
        if found is None:
            raise self.wrong(op, f"reads '{self.names[number]}' before it is computed")
        return found

    def operands(self, op: FileOperator, positions: Sequence[int]) -> tuple[list[str], bool]:
        """Return inputs that broadcast against each other, in one order of axes, and whether it is channels first."""
        rank = max((len(self.shape(op, position)) for position in positions), default=0)
        moved = [position for position in positions if not self.is_constant(op, position)]
        fits = rank > 2 and all(len(self.shape(op, position)) == rank for position in moved)
        if not fits or not any(self._only_first(op, position) for position in moved):
            return [self.filed(op, position) for position in positions], False
        return [
            self._constant_first(op, position, rank) if self.is_constant(op, position) else self.picture(op, position)
            for position in positions
        ], True

    def _only_first(self, op: FileOperator, position: int) -> bool:
        return self.is_first(op, position) and op.inputs[position] not in self.as_filed

    def prefers_first(self, op: FileOperator, position: int = 0) -> bool:
        """Return whether an operator that can have either order takes this input channels first."""
        return len(self.shape(op, position)) > 2 and self._only_first(op, position)

    def _constant_first(self, op: FileOperator, position: int, rank: int) -> str:
        data = np.asarray(self.tensor(op, position).data)
        if data.ndim == 0:
            return self.filed(op, position)
        full = data.reshape((1,) * (rank - data.ndim) + data.shape)
        return self.constant(f"{self.tensor(op, position).name}__nchw", full.transpose(first_axes(rank)))

    # what it adds

    def constant(self, name: str, value: Array | np.float32) -> str:
        """Return the name of a new constant."""
        name = self._free.take(f"{name}__c")
        self.constants[name] = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, attrs: Mapping[str, Any] | None = None) -> str:
        """Append one ONNX node and return its output."""
        self.nodes.append(Node(output, kind, tuple(inputs), (output,), attrs or {}))
        return output

    def inner(self, op: FileOperator, what: str) -> str:
        """Return a free name for a tensor that the file does not have."""
        return self._free.take(f"{self.names[op.outputs[0]]}__{what}")

    def reshape(self, x: str, shape: Sequence[int], output: str) -> str:
        """Append a Reshape."""
        return self.add("Reshape", (x, self.constant(f"{output}__shape", np.array(shape, np.int64))), output)

    def output(self, op: FileOperator, position: int = 0, *, first: bool = False) -> str:
        """Return the name under which an output of the operator is written, in this order of axes."""
        shape, number = self.out_shape(op, position), op.outputs[position]
        if self.model.tensors[number].data is not None:
            raise self.wrong(op, f"writes '{self.names[number]}', which is a constant")
        name = self.names[number]
        if first:
            name = self._free.take(f"{name}__nchw") if number in self.model.outputs else name
            self.channels_first[number] = name
        else:
            self.as_filed[number] = name
        self.shapes[name] = (op, permuted(shape, first_axes(len(shape))) if first else shape)
        return name

    def emit(
        self,
        op: FileOperator,
        kind: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any] | None = None,
        *,
        first: bool = False,
    ) -> None:
        """Append the node of `op` and its fused activation, which write its only output."""
        output, clamp = self.output(op, first=first), self.clamp(op)
        if clamp is None:
            self.add(kind, inputs, output, attrs)
            return
        self.clip(self.add(kind, inputs, self.inner(op, "unclamped"), attrs), output, clamp)

    def clip(self, x: str, output: str, clamp: tuple[str, Mapping[str, float]]) -> str:
        """Append a Relu, or a Clip between two limits."""
        kind, limits = clamp
        names = [self.constant(f"{output}__{key}", np.float32(value)) for key, value in limits.items()]
        return self.add(kind, (x, *names), output)

    def finish(self) -> None:
        """Append what brings the network's outputs to the file's order of axes."""
        writers = {number: op for op in self.model.operators for number in op.outputs}
        for number in dict.fromkeys(self.model.outputs):
            if number in self.channels_first and number in writers:
                self._filed(number, writers[number])


def _order_free(shape: Sequence[int]) -> bool:
    """Return whether the elements lie in the same order channels first and last."""
    middle = int(np.prod(shape[1:-1]))
    return middle == 1 or shape[-1] == 1
