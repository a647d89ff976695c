"""DequantizeLinear of scale 1 and a product with the scale, read as one DequantizeLinear.

So an exported model is written where ONNX Runtime's optimizer may not fuse a layer with its DequantizeLinear.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slimai.graph.ir import Graph, Node
from slimai.quantizer.stored_constants import DEQUANTIZE


def with_whole_scales(graph: Graph) -> Graph:
    """Return the graph with each such pair as one node, where nobody else reads the unscaled value."""
    pairs = {node.inputs[0]: node for node in graph.nodes if node.op == "Mul" and _is_scale(graph, node)}
    merged = {}
    for node in graph.nodes:
        product = pairs.get(node.outputs[0]) if _is_unscaled(graph, node) else None
        if product is not None:
            merged[node.name] = replace(
                node, inputs=(node.inputs[0], product.inputs[1], *node.inputs[2:]), outputs=product.outputs
            )
    gone = {pairs[node.outputs[0]].name for node in graph.nodes if node.name in merged}
    if not merged:
        return graph
    return graph.edited([merged.get(node.name, node) for node in graph.nodes if node.name not in gone])


def _is_scale(graph: Graph, product: Node) -> bool:
    factor = graph.constants.get(product.inputs[1])
    if factor is None or factor.size > 1 or factor.ndim > len(graph.shape(product.inputs[0])):
        return False
    return bool(np.isfinite(factor).all() and (factor > 0).all())


def _is_unscaled(graph: Graph, node: Node) -> bool:
    if node.op != DEQUANTIZE or node.inputs[0] in graph.constants or node.attrs.get("block_size", 0):
        return False
    scale = graph.constants.get(node.inputs[1])
    alone = scale is not None and scale.size == 1 and scale.reshape(-1)[0] == 1.0
    return alone and graph.only_consumer(node.outputs[0]) is not None
