"""LSTM and GRU: directions, states, outputs, forms that stay on the host."""

from __future__ import annotations

import numpy as np
from net_builder import Net
from net_row import Make, Row, require

_GATES = {"LSTM": 4, "GRU": 3}


def recurrent(op: str) -> Make:
    """Return the maker of one node; its states come from a constant or from a network input within -1 .. 1."""

    def make(net: Net) -> None:
        x = net.take((3,), most=300)
        steps, batch, inputs = net.shape(x)  # ONNX Runtime has no layout 1
        units, gates = net.integer(1, 6), _GATES[op]
        direction = net.among("forward", "forward", "reverse", "bidirectional")
        count = 2 if direction == "bidirectional" else 1
        w = net.constant(net.weights((count, gates * units, inputs), terms=inputs))
        r = net.constant(net.weights((count, gates * units, units), terms=units))
        names = [x, w, r, net.constant(_biases(net, count, gates, units))]
        shape = (count, batch, units)
        for position in (5, 6) if op == "LSTM" else (5,):
            if net.rare(3):
                names += [""] * (position - len(names))
                names.append(_state(net, shape))
        if net.rare(4):
            names += [""] * (4 - len(names))
            lengths = net.constant(np.full(batch, steps, np.int32), exact=True)
            names[4:5] = [lengths]
        attrs = {"hidden_size": units}
        attrs |= {"direction": direction} if direction != "forward" or net.coin() else {}
        if op == "GRU":
            attrs |= {"linear_before_reset": 1} if net.coin() else {}
        if net.rare(8):
            attrs["clip"] = 2.0
            net.on_host(op, "with clip")
        net.node(op, names, attrs, outputs=net.integer(1, gates - 1))

    return make


def _biases(net: Net, count: int, gates: int, units: int) -> np.ndarray:
    """Return biases that open the gates: functions of gates are off by up to 2^-11, much where outputs are near 0."""
    signs = np.ones((count, gates, units), np.float32)
    signs[:, -1] = net.rng.choice([-1.0, 1.0], (count, units))
    both = np.tile(signs.reshape(count, -1), (1, 2))
    return both * net.positive(both.shape, 0.25, 1.0)


def _state(net: Net, shape) -> str:
    if net.coin():
        return net.constant(net.weights(shape, terms=4))
    require(net.batch in ("none", "one") or shape[0] == 1)
    return net.bounded(net.new_input(shape), -1.0, 1.0)


RECURRENT: dict[str, Row] = {"LSTM": Row(recurrent("LSTM")), "GRU": Row(recurrent("GRU"))}
