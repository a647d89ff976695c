"""The strategy of whole networks: some rows of the table one after another, then outputs and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st
from net_builder import IR_VERSION, Case, Decline, Net
from net_rows import ROWS
from onnx import TensorProto, helper

OPSETS = (7, 24)
SAMPLES = 8


@st.composite
def networks(draw: Any, only: str | None = None) -> Case:
    """Return a Case; only: the row that it surely has."""
    least = OPSETS[0] if only is None else ROWS[only].since
    net = Net(
        draw,
        opset=draw(st.integers(least, OPSETS[1])),
        batch=draw(st.sampled_from(("one", "open", "three", "none"))),
        naming=draw(st.sampled_from(("plain", "slashes", "numbers", "colliding"))),
        rng=np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
    )
    names = sorted(name for name, row in ROWS.items() if net.opset >= row.since)
    rows = [draw(st.sampled_from(names)) for _ in range(draw(st.integers(1 if only is None else 0, 5)))]
    if only is not None:
        rows.insert(draw(st.integers(0, len(rows))), only)
    used = [name for name in rows if _added(net, name)]
    assume(used and (only is None or only in used))
    return _finished(net, used)


def _added(net: Net, name: str) -> bool:
    """Add a row to the network; False when it does not apply there (constants made for it are left out later)."""
    before = (len(net.nodes), len(net.live), dict(net.indices))
    try:
        ROWS[name].make(net)
    except Decline:
        del net.nodes[before[0] :]
        net.live = [item for item in net.live if item in net.inputs or any(item in node.output for node in net.nodes)]
        net.indices = before[2]
        return False
    return True


def _finished(net: Net, rows: list[str]) -> Case:
    read = {name for node in net.nodes for name in node.input}
    written = [name for node in net.nodes for name in node.output if name]
    constants = _constants(net)
    outputs = [name for name in written if name not in read and name not in constants]
    inner = [name for name in net.live if name in read and name not in net.inputs]
    outputs += [name for name in inner if net.rare(6)]
    outputs += [source for source, _ in net.indices.values() if source not in outputs and source not in net.inputs]
    outputs = list(dict.fromkeys(draw_order(net, outputs)))
    assume(outputs)
    read = {name for node in net.nodes for name in node.input}
    inputs = [name for name in net.inputs if name in read]
    assume(inputs)
    model = helper.make_model(
        helper.make_graph(
            net.nodes,
            "net",
            [_value(net, name, opened=net.batch == "open") for name in inputs],
            [_value(net, name, shaped=net.batch != "open") for name in outputs],
            [item for item in net.initializers if item.name in read],
        ),
        opset_imports=[helper.make_opsetid("", net.opset)],
        ir_version=IR_VERSION,
    )
    indices = {name: found for name, found in net.indices.items() if name in outputs}
    return Case(model, _samples(net, inputs), net.batch, tuple(rows), frozenset(net.features), indices, tuple(net.host))


def draw_order(net: Net, names: list[str]) -> list[str]:
    """Return the names in a drawn order."""
    return net.drawn(st.permutations(names)) if names else names


def _constants(net: Net) -> set[str]:
    """Return the outputs of nodes that depend on no input."""
    moving = set(net.inputs)
    for node in net.nodes:
        if moving.intersection(node.input):
            moving.update(node.output)
    return {name for node in net.nodes for name in node.output} - moving


def _value(net: Net, name: str, *, opened: bool = False, shaped: bool = True) -> onnx.ValueInfoProto:
    kind = net.types[name].tensor_type.elem_type
    shape: list[Any] | None = list(net.shape(name)) if shaped else None
    if opened and shape is not None and len(shape) > 1 and shape[0] == 1:
        shape[0] = "N"
    return helper.make_tensor_value_info(name, kind or TensorProto.FLOAT, shape)


def _samples(net: Net, inputs: list[str]) -> tuple[dict[str, np.ndarray], ...]:
    size, offset = net.among(0.1, 1.0, 1.0, 30.0), net.among(0.0, 0.0, 1.0)
    return tuple(
        {name: (size * (net.rng.normal(size=net.shape(name)) + offset)).astype(np.float32) for name in inputs}
        for _ in range(SAMPLES)
    )
