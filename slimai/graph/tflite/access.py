"""What the rules ask of an operator in the file, whatever they build: its tensors, options and shapes, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slimai.errors import Diagnostic
from slimai.graph.tflite.file import FileModel, FileOperator, FileTensor

_NO_VALUE: Any = object()
CLAMPS: dict[int, tuple[str, dict[str, float]] | None] = {
    0: None,
    1: ("Relu", {}),
    2: ("Clip", {"lo": -1.0, "hi": 1.0}),
    3: ("Clip", {"lo": 0.0, "hi": 6.0}),
}


class RefusedError(Exception):
    """An operator that cannot be taken over; carries the diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(str(diagnostic))
        self.diagnostic = diagnostic


@dataclass
class FileAccess:
    """Answers questions about the operators of one file. `names`: tensor number -> its unique name."""

    model: FileModel
    where: str
    names: tuple[str, ...]

    def wrong(self, op: FileOperator, message: str, value: Any = _NO_VALUE, cure: str = "") -> RefusedError:
        """Return the error about one operator, which is named by what it writes."""
        given = {} if value is _NO_VALUE else {"value": value}
        target = self.names[op.outputs[0]] if op.outputs else "without output"
        return RefusedError(Diagnostic(message, f"{op.code} '{target}'", suggestion=cure, file=self.where, **given))

    def tensor(self, op: FileOperator, position: int) -> FileTensor:
        """Return the tensor at an input position, which must be there."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise self.wrong(op, f"lacks input {position}")
        return self.model.tensors[op.inputs[position]]

    def has(self, op: FileOperator, position: int) -> bool:
        """Return whether an optional input is there."""
        return position < len(op.inputs) and op.inputs[position] >= 0

    def option(self, op: FileOperator, name: str) -> Any:
        """Return an option of the operator; the file must have its table."""
        if name not in op.options:
            raise self.wrong(op, f"lacks its options (no {name})")
        return op.options[name]

    def shape(self, op: FileOperator, position: int = 0) -> tuple[int, ...]:
        """Return the shape of an input."""
        return self.tensor(op, position).shape

    def out_shape(self, op: FileOperator, position: int = 0) -> tuple[int, ...]:
        """Return the declared shape of an output."""
        if position >= len(op.outputs):
            raise self.wrong(op, f"lacks output {position}")
        return self.model.tensors[op.outputs[position]].shape

    def numbers(self, op: FileOperator, position: int) -> tuple[int, ...]:
        """Return a constant int32 or int64 input that steers the operator: axes, sizes, paddings."""
        item = self.tensor(op, position)
        if item.data is None or item.dtype not in {"int32", "int64"}:
            raise self.wrong(op, f"input {position} is not a constant of integers", item.dtype)
        return tuple(int(value) for value in item.data.reshape(-1))

    def clamp(self, op: FileOperator) -> tuple[str, dict[str, float]] | None:
        """Return operator and attributes of the fused activation, or None."""
        number = op.options.get("FusedActivationFunction", 0)
        if number not in CLAMPS:
            raise self.wrong(op, "its fused activation is not supported", number)
        return CLAMPS[number]

    def expect(self, op: FileOperator, shape: Sequence[int], position: int = 0) -> None:
        """Refuse an operator whose declared output shape is not `shape`."""
        declared = self.out_shape(op, position)
        if tuple(shape) != declared:
            raise self.wrong(op, f"declares the output shape {list(declared)}, it computes {list(shape)}")
