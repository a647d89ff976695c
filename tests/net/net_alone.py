"""What rounding does to a network, one tensor at a time: noise that no luck of two roundings has cancelled."""

from __future__ import annotations

import numpy as np
import onnx
from net_stages import Arrays, run_all


def power_alone(quantized: onnx.ModelProto, feeds: tuple[Arrays, ...], name: str) -> float:
    """Return the mean squared error of an output that the pairs of a QDQ model make, each alone, added up.

    A pair is QuantizeLinear and DequantizeLinear of one activation; weights keep their integers throughout. Errors of
    independent roundings add up like this in the mean. In one network two of them may cancel, in the peer's or in
    slimai's, which says nothing of either.
    """
    pairs = [node.input[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"]
    plain = _output(quantized, feeds, name, "")
    return sum(float(np.square(_output(quantized, feeds, name, pair) - plain).mean()) for pair in dict.fromkeys(pairs))


def _output(quantized: onnx.ModelProto, feeds: tuple[Arrays, ...], name: str, kept: str) -> np.ndarray:
    """Return an output of the model without its pairs but those of tensor `kept`, in float64."""
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    sources = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] != kept
    }
    nodes = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in sources:
            nodes.append(onnx.helper.make_node("Identity", [sources[node.input[0]]], [node.output[0]]))
        elif node.op_type != "QuantizeLinear" or node.input[0] == kept:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return np.stack([item[name] for item in run_all(model, feeds)]).astype(np.float64)
