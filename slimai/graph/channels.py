"""Networks in TFLite's order of axes, [N, H, W, C], as ONNX wants them: spatial operators between transpositions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.names import FreeNames

MARKS = frozenset({"channels_last", "integers_kept", "interpolated", "as_tflite", "cell_clip"})
_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def channels_first(graph: Graph) -> Graph:
    """Return the graph without nodes on [N, H, W, C]: each reads and writes [N, C, H, W] between two Transposes.

    Tensors keep their names, shapes and values; a graph without such nodes is returned as it is.
    """
    if not any(MARKS.intersection(node.attrs) for node in graph.nodes):
        return graph
    infos: dict[str, TensorInfo] = {}
    names = FreeNames.of(graph)
    nodes = [part for node in graph.nodes for part in _parts(graph, node, infos, names)]
    return graph.edited(nodes, tensors=infos.values())


def _parts(graph: Graph, node: Node, infos: dict[str, TensorInfo], names: FreeNames) -> Iterator[Node]:
    attrs = {key: value for key, value in node.attrs.items() if key not in MARKS}
    plain = replace(node, attrs=attrs)
    if not node.attrs.get("channels_last", 0):
        yield plain
        return
    x, y = node.inputs[0], node.outputs[0]
    before, after = names.take(f"{y}__nchw_in"), names.take(f"{y}__nchw")
    for name, like in ((before, x), (after, y)):
        shape = graph.shape(like)
        infos[name] = TensorInfo(name, tuple(shape[axis] for axis in _FIRST), graph.tensors[like].dtype)
    yield Node(before, "Transpose", (x,), (before,), {"perm": _FIRST})
    yield replace(plain, inputs=(before, *node.inputs[1:]), outputs=(after,), attrs=_permuted(node.op, attrs))
    yield Node(names.take(f"{y}__nhwc"), "Transpose", (after,), (y,), {"perm": _LAST})


def _permuted(op: str, attrs: dict[str, Any]) -> dict[str, Any]:
    if op != "Resize":
        return attrs
    return {**attrs, **{key: tuple(attrs[key][axis] for axis in _FIRST) for key in ("sizes", "scales")}}
