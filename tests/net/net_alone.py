"""What rounding can do to a network, one tensor at a time: without the luck of one grid, or of two roundings."""

from __future__ import annotations

import numpy as np
import onnx
from net_stages import Arrays, run_all
from onnx import helper, numpy_helper

PLACES = 8  # of the grid under the values, evenly over a step
HEAD_ROOM = 2.0  # steps of slimai's 16-bit tensors are as much coarser than the peer's


def power_alone(quantized: onnx.ModelProto, feeds: tuple[Arrays, ...], name: str) -> float:
    """Return the mean squared error of an output that the pairs of a QDQ model can make, each alone, added up.

    A pair is QuantizeLinear and DequantizeLinear of one activation; weights keep their integers throughout. Each pair
    is tried with its grid at several places under the values, and the worst counts: that a value lies on the grid by
    chance, or that two roundings cancel, in the peer's network or in slimai's, says nothing of either.
    """
    plain = _output(quantized, feeds, name, "", 0.0)
    places = (np.arange(PLACES) + 0.5) / PLACES - 0.5
    return sum(
        float(max(np.square(_output(quantized, feeds, name, pair, place) - plain).mean() for place in places))
        for pair in {node.input[0]: None for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    )


def _output(quantized: onnx.ModelProto, feeds: tuple[Arrays, ...], name: str, kept: str, place: float) -> np.ndarray:
    """Return an output of the model without its pairs but those of tensor `kept`, whose grid is moved, in float64."""
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    values = {item.name: item for item in model.graph.initializer}
    pairs = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    nodes = []
    for node in model.graph.node:
        pair = pairs.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if pair is not None and pair.input[0] == kept:
            nodes += _moved(model, pair, node, values, place)
        elif pair is not None:
            nodes.append(helper.make_node("Identity", [pair.input[0]], [node.output[0]]))
        elif node.op_type != "QuantizeLinear":
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return np.stack([item[name] for item in run_all(model, feeds)]).astype(np.float64)


def _moved(
    model: onnx.ModelProto, pair: onnx.NodeProto, back: onnx.NodeProto, values: dict, place: float
) -> list[onnx.NodeProto]:
    """Return the nodes of a pair whose values are moved by a part of a step in front of it, and back behind it."""
    wide = numpy_helper.to_array(values[pair.input[2]]).dtype.itemsize == 2
    step = numpy_helper.to_array(values[pair.input[1]]) * np.float32(HEAD_ROOM if wide else 1.0)
    stem = f"{back.output[0]}__moved"
    scale, by = f"{stem}_scale", f"{stem}_by"
    model.graph.initializer.append(numpy_helper.from_array(step, scale))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(step * np.float32(place), np.float32), by))
    grid = [scale, pair.input[2]]
    return [
        helper.make_node("Add", [pair.input[0], by], [f"{stem}_x"]),
        helper.make_node("QuantizeLinear", [f"{stem}_x", *grid], [f"{stem}_q"], domain=pair.domain),
        helper.make_node("DequantizeLinear", [f"{stem}_q", *grid], [f"{stem}_y"], domain=back.domain),
        helper.make_node("Sub", [f"{stem}_y", by], [back.output[0]]),
    ]
