"""The way from a TFLite file to a `StoredNetwork`: read, refuse what is not 8-bit, bring operators to one form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slimai.errors import Diagnostic, InputError, UnsupportedError
from slimai.graph.batch import with_batch
from slimai.graph.damage import damage_refused
from slimai.graph.ir import Graph
from slimai.graph.ops import TRAITS
from slimai.graph.tflite import gather, move, pointwise, recurrent, spatial
from slimai.graph.tflite.access import RefusedError
from slimai.graph.tflite.builder import Builder
from slimai.graph.tflite.ending import ended
from slimai.graph.tflite.file import FileModel, FileOperator, read_file
from slimai.graph.tflite.fold import folded
from slimai.graph.tflite.kinds import all_float, dynamic_range, is_float, unsupported
from slimai.graph.tflite.naming import unique_names
from slimai.graph.tflite.stored import StoredNetwork
from slimai.graph.tflite.variables import without_variables

RULES: dict[str, Callable[[Builder, FileOperator], None]] = {
    **spatial.RULES,
    **pointwise.RULES,
    **move.RULES,
    **gather.RULES,
    **recurrent.RULES,
}
_INTEGERS = ("int8", "uint8", "int16", "int32", "int64")


@damage_refused("TFLite network")
def is_float_tflite(path: str | Path) -> bool:
    """Return whether the file holds a float network, which `slimai.graph.load` reads.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    model = folded(without_variables(read_file(path), str(path)))
    return is_float(model) and not dynamic_range(model, str(path))


@damage_refused("TFLite network")
def load_tflite(path: str | Path, *, name: str | None = None, cut_outputs: Sequence[str] = ()) -> StoredNetwork:
    """Return the network of a fully quantized TFLite file: 8-bit weights, 8-bit or 16-bit activations.

    Tensors keep their names (equal ones get a number), arrays keep their order of axes. QUANTIZE from a float input
    and DEQUANTIZE to a float output are left out: the network begins and ends with integers, under the names of
    the float tensors. cut_outputs: names of tensors that the network ends with, in place of its outputs.

    Raises:
        InputError: the file cannot be read or contradicts itself.
        UnsupportedError: operators or tensors that are not supported; all of them in one error.
    """
    where = str(path)
    file = folded(ended(without_variables(read_file(path), where), cut_outputs, where))
    model, edges = _without_float_edges(file)
    told = {id(op) for op in model.operators if _told_by_its_output(model, op)}
    problems = dynamic_range(model, where) or all_float(model, where)
    problems = problems or [*unsupported(model, RULES, where, told), *_float_tensors(model, where)]
    if problems:
        raise UnsupportedError(problems)
    builder = Builder(model, where, unique_names(model, edges.renamed))
    errors = list(_build(builder)) or _mixed_widths(builder)
    if errors:
        raise InputError(errors)
    return StoredNetwork(
        with_batch(_graph(builder, name or Path(path).stem, edges)),
        builder.params,
        builder.integers,
        frozenset(builder.folded),
        dict(enumerate(builder.names)),
        {
            builder.names[inner]: file.tensors[outer].dtype
            for inner, outer in zip(model.outputs, file.outputs, strict=True)
        },
    )


@dataclass(frozen=True)
class _Edges:
    """Integer tensor -> the float tensor whose name it takes, with the reason for the graph's history."""

    renamed: dict[int, int]
    history: tuple[str, ...]


def _without_float_edges(model: FileModel) -> tuple[FileModel, _Edges]:
    """Return the model without QUANTIZE of float inputs and DEQUANTIZE to float outputs."""
    inputs, outputs, dropped = list(model.inputs), list(model.outputs), set()
    renamed: dict[int, int] = {}
    history = []
    for place, number in enumerate(model.inputs):
        readers = [op for op in model.operators if number in op.inputs]
        is_float = model.tensors[number].dtype == "float32"
        if is_float and len(readers) == 1 and readers[0].code == "QUANTIZE" and readers[0].outputs:
            inputs[place] = readers[0].outputs[0]
            renamed[inputs[place]] = number
            dropped.add(id(readers[0]))
            history.append(
                f"QUANTIZE of input '{model.tensors[number].name}' left out: the network begins with integers"
            )
    for place, number in enumerate(model.outputs):
        writer = next((op for op in model.operators if number in op.outputs), None)
        read = any(number in op.inputs for op in model.operators)
        if writer is None or writer.code != "DEQUANTIZE" or read or len(writer.inputs) != 1:
            continue
        source = writer.inputs[0]
        if source < 0 or source in (*inputs, *outputs, *renamed) or model.tensors[number].dtype != "float32":
            continue
        outputs[place], renamed[source] = source, number
        dropped.add(id(writer))
        history.append(f"DEQUANTIZE to output '{model.tensors[number].name}' left out: the network ends with integers")
    kept = tuple(op for op in model.operators if id(op) not in dropped)
    cut = replace(model, operators=kept, inputs=tuple(inputs), outputs=tuple(outputs))
    return cut, _Edges(renamed, tuple(history))


def _told_by_its_output(model: FileModel, op: FileOperator) -> bool:
    """Return whether the float tensor that a DEQUANTIZE writes is told in its place."""
    return op.code == "DEQUANTIZE" and any(model.tensors[number].dtype not in _INTEGERS for number in op.outputs)


def _float_tensors(model: FileModel, where: str) -> Iterator[Diagnostic]:
    """Yield one diagnostic for each tensor in use that is no integer of 8 bits, nor a bias, size or index."""
    used = dict.fromkeys(n for op in model.operators for n in (*op.inputs, *op.outputs) if n >= 0)
    for number in dict.fromkeys((*model.inputs, *used, *model.outputs)):
        item = model.tensors[number]
        if item.dtype not in _INTEGERS and not (item.variable and item.dtype == "int16"):  # the cell of an LSTM
            cure = "convert with 8-bit integer inputs, outputs and operators"
            yield Diagnostic(
                f"tensor is {item.dtype}; the network must be fully 8-bit", item.name, suggestion=cure, file=where
            )


def _build(builder: Builder) -> Iterator[Diagnostic]:
    """Run every rule; yield what is wrong. After a first error only independent operators are looked at."""
    model = builder.model
    for number in model.inputs:
        try:
            builder.input(number)
        except RefusedError as error:
            yield error.diagnostic
    broken = {number for number in model.inputs if builder.names[number] not in builder.tensors}
    for op in model.operators:
        if not broken.isdisjoint(op.inputs):
            broken.update(op.outputs)
            continue
        try:
            RULES[op.code](builder, op)
        except RefusedError as error:
            broken.update(op.outputs)
            yield error.diagnostic
    missing = [n for n in model.outputs if builder.names[n] not in builder.tensors and n not in broken]
    for number in missing:
        yield Diagnostic("is an output that nothing computes", builder.names[number], file=builder.where)


def _mixed_widths(builder: Builder) -> list[Diagnostic]:
    """Return the mistake of a network with both 8-bit and 16-bit activations."""
    inner = {name for node in builder.nodes if TRAITS[node.op].family == "recurrent" for name in node.outputs[1:]}
    known = builder.params.keys() - builder.constants.keys() - inner  # cells have 16 bits beside any activations
    computed = [name for name in builder.tensors if name in known]
    wide = [name for name in computed if builder.params[name].dtype == "int16"]
    if len(wide) in {0, len(computed)}:
        return []
    message = f"{len(wide)} of {len(computed)} activations have 16 bits, the others 8; one width is supported"
    return [
        Diagnostic(
            message, wide[0], suggestion="convert it again, in int8 or in int16x8 as a whole", file=builder.where
        )
    ]


def _graph(builder: Builder, name: str, edges: _Edges) -> Graph:
    model = builder.model
    graph = Graph(
        name=name,
        nodes=tuple(builder.nodes),
        inputs=tuple(builder.names[number] for number in model.inputs),
        outputs=tuple(dict.fromkeys(builder.names[number] for number in model.outputs)),
        tensors=builder.tensors,
        constants=builder.constants,
        history=(*model.history, *edges.history),
        states={builder.names[state]: builder.names[number] for state, number in model.states},
    )
    return graph.edited(builder.nodes)
