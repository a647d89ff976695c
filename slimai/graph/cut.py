"""A model that ends earlier than its file: what computes nothing but later tensors is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import helper
from onnx.inliner import inline_local_functions

from slimai.errors import Diagnostic, InputError
from slimai.graph.infer import inferred_types
from slimai.suggest import suggest

KEY = "network.cut_outputs"


def cut_at(model: onnx.ModelProto, names: Sequence[str], where: str) -> onnx.ModelProto:
    """Return the model whose outputs are these tensors, in this order, without what they do not depend on.

    Raises:
        InputError: tensors that no operator computes, all at once, or one whose type cannot be told.
    """
    model = inline_local_functions(model) if model.functions else model
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output if name}
    _require_computed(names, made, where)
    wanted, waiting = set(names), list(names)
    while waiting:
        node = made.get(waiting.pop())
        fresh = set(_reads(node)) - wanted if node is not None else set()
        wanted |= fresh
        waiting += fresh
    kept = [node for node in graph.node if not wanted.isdisjoint(node.output)]
    types = {item.name: item.type for item in (*graph.value_info, *graph.output)}
    _keep(graph.node, kept)
    _keep(graph.input, [item for item in graph.input if item.name in wanted])
    _keep(graph.initializer, [item for item in graph.initializer if item.name in wanted])
    del graph.output[:]
    types |= inferred_types(model, where)
    _require_typed(names, types, where)
    graph.output.extend(helper.make_value_info(name, types[name]) for name in names)
    return model


def _require_computed(names: Sequence[str], made: dict[str, onnx.NodeProto], where: str) -> None:
    problems = [
        Diagnostic("no operator of the model computes this tensor" + suggest(name, list(made)), KEY, name, "", where)
        for name in names
        if name not in made or made[name].op_type == "Constant"
    ]
    if problems:
        raise InputError(problems)


def _require_typed(names: Sequence[str], types: dict[str, onnx.TypeProto], where: str) -> None:
    cure = "name a tensor in front of operators that ONNX does not define"
    problems = [
        Diagnostic("the type of this tensor cannot be told", KEY, name, cure, where)
        for name in names
        if name not in types or not types[name].tensor_type.elem_type
    ]
    if problems:
        raise InputError(problems)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, with what the graphs inside it read from outside or inside."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for item in inner.node:
                yield from _reads(item)
            yield from (item.name for item in inner.output)


def _keep(field: object, items: list[object]) -> None:
    """Make `items` the whole content of a repeated field; copied first, as they lie in it."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]  # type: ignore[attr-defined]
    del field[:]  # type: ignore[attr-defined]
    field.extend(copies)  # type: ignore[attr-defined]
