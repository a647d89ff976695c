"""Operators that stay in their ONNX form, written as a later operator set has them.

A file of 16-bit or 4-bit integers needs a later operator set than the network came in. Canonical operators are written
for any; of the others some changed in between (axes of reductions and DFT became an input, GridSample renamed its
modes), so that the file would be refused, or mean something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx
from onnx import defs, helper, numpy_helper, version_converter

from slimai.errors import InputError
from slimai.graph.attributes import attribute_value
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.names import FreeNames
from slimai.graph.ops import ONNX_FORM, is_canonical

_IR_VERSION = 8
_WRITTEN_FOR_ANY = frozenset({"QuantizeLinear", "DequantizeLinear"})  # by the writers of quantized files


def in_operator_set(graph: Graph, version: int) -> Graph:
    """Return the graph for this operator set, which is its own or a later one.

    Raises:
        InputError: an operator has no form there.
    """
    old = graph.opsets.get("", version)
    names, nodes = FreeNames.of(graph), []
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        if _changes(node, old, version):
            found, made = _converted(graph, node, old, version)
            named = {name: names.take(f"{node.outputs[0]}_{name}") for name in made}
            found = replace(found, inputs=tuple(named.get(name, name) for name in found.inputs))
            constants |= {named[name]: value for name, value in made.items()}
            nodes.append(found)
        else:
            nodes.append(node)
    tensors = [TensorInfo(name, tuple(value.shape), value.dtype.name) for name, value in constants.items()]
    whole = {**graph.opsets, "": version}
    return replace(graph.edited(nodes, constants=constants, tensors=tensors), opsets=whole)


def _changes(node: Node, old: int, version: int) -> bool:
    op = node.op.removeprefix(ONNX_FORM)
    if node.domain or is_canonical(node) or op in _WRITTEN_FOR_ANY or not defs.has(op):
        return False
    before, after = (defs.get_schema(op, max_inclusive_version=item).since_version for item in (old, version))
    return bool(before != after)


def _converted(graph: Graph, node: Node, old: int, version: int) -> tuple[Node, dict[str, Array]]:
    """Return the node and its new constants, as ONNX's own converter writes them."""
    from slimai.graph.save import node_proto, value_info  # noqa: PLC0415 - save reads this module's graphs

    own = {name: graph.constants[name] for name in node.inputs if name in graph.constants}
    inputs = [graph.tensors[name] for name in dict.fromkeys(node.inputs) if name and name not in own]
    outputs = [graph.tensors[name] for name in node.outputs if name]
    proto = node_proto(replace(node, op=node.op.removeprefix(ONNX_FORM)))
    alone = helper.make_graph(
        [proto],
        "node",
        [value_info(item, item.shape[0] if item.shape else 1) for item in inputs],
        [value_info(item, item.shape[0] if item.shape else 1) for item in outputs],
        [numpy_helper.from_array(value, name) for name, value in own.items()],
    )
    model = helper.make_model(alone, opset_imports=[helper.make_opsetid("", old)], ir_version=_IR_VERSION)
    try:
        made = version_converter.convert_version(model, version).graph
    except (version_converter.ConvertError, RuntimeError) as error:
        raise _refusal(node, version, str(error).splitlines()[0]) from error
    constants = dict(_constants(made))
    found = [item for item in made.node if item.op_type != "Constant"]
    if len(found) != 1 or list(found[0].output) != list(node.outputs):
        raise _refusal(node, version, f"it becomes {len(found)} nodes")
    attrs = {item.name: attribute_value(item) for item in found[0].attribute}
    new = {name: value for name, value in constants.items() if name in found[0].input and name not in own}
    return replace(node, inputs=tuple(found[0].input), attrs=attrs), new


def _constants(made: onnx.GraphProto) -> Iterator[tuple[str, Array]]:
    for item in made.initializer:
        yield item.name, numpy_helper.to_array(item)
    for node in made.node:
        if node.op_type == "Constant":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _refusal(node: Node, version: int, problem: str) -> InputError:
    op = node.op.removeprefix(ONNX_FORM)
    message = f"{op} cannot be written in operator set {version}, which 16-bit and 4-bit types need: {problem}"
    return InputError.at(node.name, message, cure="export the model with that operator set")
