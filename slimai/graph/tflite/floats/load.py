"""The way from a float TFLite file to an ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slimai.errors import Diagnostic, InputError, UnsupportedError
from slimai.graph.infer import inferred_types
from slimai.graph.ir import Node
from slimai.graph.tflite.access import RefusedError
from slimai.graph.tflite.ending import ended
from slimai.graph.tflite.file import FileModel, FileOperator, read_file
from slimai.graph.tflite.floats import matrix, move, pointwise, spatial
from slimai.graph.tflite.floats.writer import Writer
from slimai.graph.tflite.fold import folded
from slimai.graph.tflite.kinds import all_quantized, dynamic_range, unsupported
from slimai.graph.tflite.naming import unique_names
from slimai.graph.tflite.variables import without_variables

OPSET = 20  # the first with Gelu
HISTORY, STATES = "slimai_history", "slimai_states"  # entries of the model's metadata
RULES: dict[str, Callable[[Writer, FileOperator], None]] = {
    **matrix.RULES,
    **spatial.RULES,
    **pointwise.RULES,
    **move.RULES,
}
_TYPES = ("float32", "int32", "int64", "bool")
_NAMED = 8  # tensors of a type in one message


def onnx_of_tflite(
    path: str | Path, input_shapes: Mapping[str, Sequence[int]] | None = None, cut_outputs: Sequence[str] = ()
) -> onnx.ModelProto:
    """Return the float network of a TFLite file as an ONNX model.

    Tensors keep their names; inputs and outputs keep the file's order of axes. Weights stored as float16, or as
    integers behind a DEQUANTIZE, become float32. cut_outputs: names of tensors that the network ends with, in place
    of its outputs.

    Raises:
        InputError: the file cannot be read, contradicts itself, or is no float network; or `input_shapes` asks for
            other sizes than the file's.
        UnsupportedError: operators or tensors that are not supported; all of them in one error.
    """
    where = str(path)
    model = folded(ended(without_variables(read_file(path), where), cut_outputs, where))
    if not model.outputs:
        raise InputError.at(where, "the network has no outputs", cure="convert it again")
    wrong = dynamic_range(model, where) or all_quantized(model, where)
    wrong = wrong or [*unsupported(model, RULES, where), *_strange_tensors(model, where)]
    if wrong:
        raise UnsupportedError(wrong)
    writer = Writer(model, where, unique_names(model))
    errors = [*_open_inputs(writer, input_shapes or {}), *_built(writer)]
    if errors:
        raise InputError(errors)
    made = _model(writer)
    _require_declared_shapes(writer, made)
    states = [f"{writer.names[state]}\t{writer.names[number]}" for state, number in model.states]
    for key, lines in ((HISTORY, [*model.history, *_turned(writer)]), (STATES, states)):
        told = made.metadata_props.add()
        told.key, told.value = key, "\n".join(lines)
    return made


def states_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the states of a model that was read from TFLite: input -> the output that it takes over."""
    texts = [item.value for item in model.metadata_props if item.key == STATES]
    return dict(line.split("\t", 1) for text in texts for line in text.split("\n") if line)


def history_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return what was changed while a model was read from TFLite, one sentence each."""
    texts = [item.value for item in model.metadata_props if item.key == HISTORY]
    return tuple(line for text in texts for line in text.split("\n") if line)


def _turned(writer: Writer) -> list[str]:
    """Return one sentence on the Transposes that the file does not hold."""
    named = ", ".join(f"'{name}'" for name in writer.turned)
    return [f"Transpose between the file's order of axes and that of ONNX added: {named}"] if named else []


def _strange_tensors(model: FileModel, where: str) -> Iterator[Diagnostic]:
    """Yield one diagnostic for each type that no float network has, with the tensors in use that have it."""
    used = dict.fromkeys(n for op in model.operators if op.code in RULES for n in (*op.inputs, *op.outputs) if n >= 0)
    found: dict[str, list[str]] = {}
    for number in dict.fromkeys((*model.inputs, *used, *model.outputs)):
        item = model.tensors[number]
        if item.dtype not in _TYPES:
            found.setdefault(item.dtype, []).append(item.name)
    for dtype, names in found.items():
        rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        message = f"a float network holds no {dtype} tensors: {', '.join(names[:_NAMED])}{rest}"
        cure = "convert it again in float32, or to full 8 bit with network.model_type: quantized"
        yield Diagnostic(message, suggestion=cure, file=where)


def _open_inputs(writer: Writer, given: Mapping[str, Sequence[int]]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the shapes of inputs: sizes that the file leaves open, or others than it has."""
    for number in writer.model.inputs:
        item, name = writer.model.tensors[number], writer.names[number]
        if -1 in item.signature[1:]:
            cure = "convert the model again with fixed sizes"
            yield Diagnostic(
                "only the first axis of an input may be open", name, list(item.signature), cure, writer.where
            )
        wanted = tuple(given.get(name, item.shape))
        if wanted != item.shape and (len(wanted) != len(item.shape) or wanted[1:] != item.shape[1:]):
            message, key = (
                f"a TFLite network keeps its sizes, {list(item.shape)}",
                f"network.input_node_name.{name}.shape",
            )
            yield Diagnostic(message, key, list(wanted), "convert the model again for these sizes", writer.where)
        if item.data is not None:
            yield Diagnostic("is an input and a constant", name, file=writer.where)


def _built(writer: Writer) -> Iterator[Diagnostic]:
    """Run every rule; yield what is wrong. After a first error only independent operators are looked at."""
    model, broken = writer.model, set[int]()
    for op in model.operators:
        if not broken.isdisjoint(op.inputs):
            broken.update(op.outputs)
            continue
        try:
            RULES[op.code](writer, op)
        except RefusedError as error:
            broken.update(op.outputs)
            yield error.diagnostic
    if broken:
        return
    writer.finish()
    for number in dict.fromkeys(model.outputs):
        if number not in writer.as_filed:
            yield Diagnostic("is an output that nothing computes", writer.names[number], file=writer.where)


def _model(writer: Writer) -> onnx.ModelProto:
    def info(number: int) -> onnx.ValueInfoProto:
        item = writer.model.tensors[number]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(item.dtype))
        return helper.make_tensor_value_info(writer.names[number], kind, item.shape)

    outputs = [info(number) for number in dict.fromkeys(writer.model.outputs)]
    for item in outputs:
        if any(node.op in {"ArgMax", "ArgMin"} and item.name in node.outputs for node in writer.nodes):
            item.type.tensor_type.elem_type = onnx.TensorProto.INT64
    graph = helper.make_graph(
        [_proto(node) for node in writer.nodes],
        "tflite",
        [info(number) for number in writer.model.inputs],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in writer.constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def _proto(node: Node) -> onnx.NodeProto:
    made = helper.make_node(node.op, list(node.inputs), list(node.outputs), name=node.name)
    made.attribute.extend(helper.make_attribute(key, value) for key, value in node.attrs.items())
    return made


def _require_declared_shapes(writer: Writer, model: onnx.ModelProto) -> None:
    """Refuse a file that declares other shapes than its operators compute."""
    types = inferred_types(model, writer.where)
    errors = []
    for name, (op, declared) in writer.shapes.items():
        kind = types.get(name)
        found = None if kind is None else tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)
        if found is not None and found != declared:
            error = writer.wrong(op, f"declares the output shape {list(declared)}, it computes {list(found)}")
            errors.append(error.diagnostic)
    if errors:
        raise InputError(errors[:1])  # the others follow from it
