"""Variables of a file as states: what a step assigns is an output, what the next one reads an input.

Streaming networks keep their own buffers: VAR_HANDLE names one, READ_VARIABLE reads it, ASSIGN_VARIABLE writes it, and
CALL_ONCE fills it from a subgraph of its own. Here the caller holds them, as he does the states of any network, and
they begin with zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from slimai.errors import Diagnostic, UnsupportedError
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
        UnsupportedError: variables that begin with other values than zeros, that are written in another type or scale
            than they are read, or read before the network runs; all of them in one error.
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

    def _all(self) -> list[_Variable]:
        """Return the variables that a step reads what an earlier one has written."""
        return [item for item in {id(item): item for item in self.variables.values()}.values() if item.read is not None]

    def wrong_beginnings(self) -> Iterator[Diagnostic]:
        """Yield what keeps variables from being states."""
        tensors = self.model.tensors
        for item in self._all():
            held = tensors[item.read or 0]
            first = self.model.initial.get(item.name)
            if first is not None and not _zeros(first, held):
                cure = "a state of a network begins with zeros"
                yield Diagnostic(
                    "a variable that begins with other values", item.name, suggestion=cure, file=self.where
                )
            written = tensors[item.now or 0]
            if not _alike(held, written):
                message = f"a variable that is written as {_kind(written)} and read as {_kind(held)}"
                yield Diagnostic(message, item.name, file=self.where)

    def model_without(self) -> FileModel:
        """Return the model with states in the place of variables."""
        states = [(item.read, item.now) for item in self._all() if item.read is not None and item.now is not None]
        handed = [(read, now) for read, now in states if read != now]  # what a step leaves alone stays zero
        outputs = tuple(self.replaced.get(number, number) for number in self.model.outputs)
        names = ", ".join(item.name for item in self._all())
        return replace(
            self.model,
            operators=tuple(self.kept),
            inputs=(*self.model.inputs, *(read for read, _ in states)),
            outputs=tuple(dict.fromkeys((*outputs, *(now for _, now in handed)))),
            states=tuple(handed),
            history=(*self.model.history, f"variables became states, inputs and outputs of a step: {names}"),
        )


def _zeros(values: np.ndarray, held: FileTensor) -> bool:
    zero = int(held.zero_point[0]) if held.zero_point.size else 0
    return values.dtype == np.dtype(held.dtype) and bool((values == zero).all())


def _grid(item: FileTensor) -> tuple[Iterable[float], Iterable[int]]:
    return item.scale.tolist(), item.zero_point.tolist()


def _alike(one: FileTensor, other: FileTensor) -> bool:
    return (one.dtype, one.shape, *_grid(one)) == (other.dtype, other.shape, *_grid(other))


def _kind(item: FileTensor) -> str:
    scale = f" at scale {item.scale[0]:.6g}" if item.scale.size == 1 else ""
    return f"{item.dtype} {list(item.shape)}{scale}"
