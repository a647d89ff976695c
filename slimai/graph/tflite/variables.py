"""Variables of a file as states: what a step assigns is an output, what the next one reads an input.

Streaming networks keep their own buffers: VAR_HANDLE names one, READ_VARIABLE reads it, ASSIGN_VARIABLE writes it, and
CALL_ONCE fills it from a subgraph of its own. Here the caller holds them, as he does the states of any network, and
they begin with zeros. What no step assigns is a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from slimai.errors import Diagnostic, UnsupportedError
from slimai.graph.ir import Array
from slimai.graph.tflite.file import FileModel, FileOperator, FileTensor, shared_name

_CODES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})


@dataclass
class _Variable:
    """One buffer. read: the tensor that stands for what it held at first; now: the tensor that it holds at a place."""

    name: str
    read: int | None = None
    now: int | None = None


def without_variables(model: FileModel, where: str) -> FileModel:
    """Return the model with its variables as further inputs and outputs, paired in `states`.

    Raises:
        UnsupportedError: variables that begin with other values than zeros, or that are written in another type or
            scale than they are read; all of them in one error.
    """
    if not any(op.code in _CODES for op in model.operators):
        return model
    found = _Walk(model, where)
    found.walk()
    problems = [*found.problems, *found.wrong_beginnings()]
    if problems:
        raise UnsupportedError(problems)
    return found.model_without()


@dataclass
class _Walk:
    """The operators in order, with what each variable holds at every place."""

    model: FileModel
    where: str
    variables: dict[int, _Variable] = field(default_factory=dict)  # by the handle's tensor
    kept: list[FileOperator] = field(default_factory=list)
    replaced: dict[int, int] = field(default_factory=dict)  # what a later read gives -> the tensor that is held there
    problems: list[Diagnostic] = field(default_factory=list)

    def walk(self) -> None:
        by_name: dict[str, _Variable] = {}
        for op in self.model.operators:
            if op.code == "VAR_HANDLE" and op.outputs:
                name = shared_name(op) or self.model.tensors[op.outputs[0]].name
                self.variables[op.outputs[0]] = by_name.setdefault(name, _Variable(name))
            elif op.code == "READ_VARIABLE":
                self._read(op)
            elif op.code == "ASSIGN_VARIABLE":
                self._assign(op)
            elif op.code != "CALL_ONCE":
                inputs = tuple(self.replaced.get(number, number) for number in op.inputs)
                self.kept.append(op if inputs == op.inputs else replace(op, inputs=inputs))

    def _variable(self, op: FileOperator, inputs: int, outputs: int) -> _Variable | None:
        found = self.variables.get(op.inputs[0]) if op.inputs else None
        if found is None or len(op.inputs) != inputs or len(op.outputs) != outputs:
            self._wrong(op.code, "names no variable of this network")
            return None
        return found

    def _read(self, op: FileOperator) -> None:
        variable = self._variable(op, 1, 1)
        if variable is None:
            return
        if variable.now is None:
            variable.read = variable.now = op.outputs[0]
        else:
            self.replaced[op.outputs[0]] = variable.now

    def _assign(self, op: FileOperator) -> None:
        variable = self._variable(op, 2, 0)
        if variable is None:
            return
        variable.now = self.replaced.get(op.inputs[1], op.inputs[1])

    def _wrong(self, name: str, message: str, cure: str = "") -> None:
        self.problems.append(Diagnostic(message, name, suggestion=cure, file=self.where))

    def _read_ones(self) -> list[tuple[str, int, int]]:
        """Return name, tensor that is read and tensor that is held at the end of each variable that a step reads."""
        every = {id(item): item for item in self.variables.values()}.values()
        return [(item.name, item.read, item.now) for item in every if item.read is not None and item.now is not None]

    def wrong_beginnings(self) -> Iterator[Diagnostic]:
        """Yield what keeps variables from being states, or constants."""
        tensors = self.model.tensors
        for name, read, now in self._read_ones():
            held, first = tensors[read], self.model.initial.get(name)
            if read == now:
                if first is not None and (first.dtype, first.shape) != (np.dtype(held.dtype), held.shape):
                    message = f"a variable that begins with {first.dtype} {list(first.shape)}, read as {_kind(held)}"
                    yield Diagnostic(message, name, file=self.where)
                continue
            if first is not None and not _zeros(first, held):
                message, cure = "a variable that begins with other values", "a state of a network begins with zeros"
                yield Diagnostic(message, name, suggestion=cure, file=self.where)
            if not _alike(held, tensors[now]):
                message = f"a variable that is written as {_kind(tensors[now])} and read as {_kind(held)}"
                yield Diagnostic(message, name, file=self.where)

    def model_without(self) -> FileModel:
        """Return the model with states, or constants, in the place of variables."""
        found, tensors = self._read_ones(), list(self.model.tensors)
        handed = {name: (read, now) for name, read, now in found if read != now}
        for name, read, _ in found:
            if name not in handed:
                tensors[read] = replace(tensors[read], data=_beginning(self.model.initial.get(name), tensors[read]))
        outputs = tuple(self.replaced.get(number, number) for number in self.model.outputs)
        told = (f"variables became states, inputs and outputs of a step: {', '.join(handed)}",) if handed else ()
        return replace(
            self.model,
            tensors=tuple(tensors),
            operators=tuple(self.kept),
            inputs=(*self.model.inputs, *(read for read, _ in handed.values())),
            outputs=tuple(dict.fromkeys((*outputs, *(now for _, now in handed.values())))),
            states=tuple(handed.values()),
            history=(*self.model.history, *told),
        )


def _zero(held: FileTensor) -> int:
    return int(held.zero_point[0]) if held.zero_point.size else 0


def _zeros(values: Array, held: FileTensor) -> bool:
    return values.dtype == np.dtype(held.dtype) and bool((values == _zero(held)).all())


def _beginning(first: Array | None, held: FileTensor) -> Array:
    """Return what a variable holds before the first step: zeros where nothing fills it."""
    return np.full(held.shape, _zero(held), held.dtype) if first is None else first


def _grid(item: FileTensor) -> tuple[Iterable[float], Iterable[int]]:
    return item.scale.tolist(), item.zero_point.tolist()


def _alike(one: FileTensor, other: FileTensor) -> bool:
    return (one.dtype, one.shape, *_grid(one)) == (other.dtype, other.shape, *_grid(other))


def _kind(item: FileTensor) -> str:
    scale = f" at scale {item.scale[0]:.6g}" if item.scale.size == 1 else ""
    return f"{item.dtype} {list(item.shape)}{scale}"
