"""LSTM and GRU with the batch first (layout 1), which ONNX Runtime does not run: between Transposes to layout 0."""

from __future__ import annotations

import onnx
from onnx import helper

from slimai.graph.recurrent import RECURRENT, C, H

_STEPS, _STATES, _BACK = (1, 0, 2), (1, 0, 2), (2, 0, 1, 3)  # Y comes as [T, D, N, H] and is [N, T, D, H]


def with_steps_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without recurrent nodes of layout 1; names of tensors and nodes stay."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {item.name for item in (*model.graph.input, *model.graph.initializer)}
    if not any(_batch_first(node) for node in model.graph.node):
        return model
    nodes = [part for node in model.graph.node for part in _parts(node, taken)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _batch_first(node: onnx.NodeProto) -> bool:
    standard = node.domain in {"", "ai.onnx"} and node.op_type in RECURRENT
    return standard and any(item.name == "layout" and item.i == 1 for item in node.attribute)


def _parts(node: onnx.NodeProto, taken: set[str]) -> list[onnx.NodeProto]:
    if not _batch_first(node):
        return [node]
    before, after = [], []
    for position, perm in ((0, _STEPS), (H, _STATES), (C, _STATES)):
        if len(node.input) > position and node.input[position]:
            source = node.input[position]
            node.input[position] = _fresh(f"{source}_steps_first", taken)
            before.append(_transpose(source, node.input[position], perm))
    for position, target in enumerate(node.output):
        if target:
            node.output[position] = _fresh(f"{target}_steps_first", taken)
            after.append(_transpose(node.output[position], target, _STATES if position else _BACK))
    kept = [item for item in node.attribute if item.name != "layout"]
    del node.attribute[:]
    node.attribute.extend(kept)
    return [*before, node, *after]


def _transpose(source: str, target: str, perm: tuple[int, ...]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], name=f"{target}_transposed", perm=list(perm))


def _fresh(name: str, taken: set[str]) -> str:
    base, count = name, 2
    while name in taken:
        name, count = f"{base}_{count}", count + 1
    taken.add(name)
    return name
