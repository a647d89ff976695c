"""The float outputs that rewrites are judged by: run once where they are small, each time where they are not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import slimai.app.candidates.equalization_check as module
from slimai.app.candidates.equalization_check import RewrittenStatistics
from slimai.graph.ir import Graph, Node, TensorInfo

SCALAR, VECTOR = TensorInfo("s", ()), TensorInfo("x", (1, 3))
NODES = (Node("a", "Relu", ("s",), ("y",)), Node("b", "Relu", ("x",), ("z",)))


def network(*, batchable):
    """Return Relu of a scalar (where the network takes no batch) and of three values."""
    nodes, inputs, outputs = (NODES[1:], ("x",), ("z",)) if batchable else (NODES, ("s", "x"), ("y", "z"))
    tensors = {"s": SCALAR, "x": VECTOR, "y": TensorInfo("y", ()), "z": TensorInfo("z", (1, 3))}
    used = {name: tensors[name] for name in (*inputs, *outputs)}
    return Graph("g", nodes, inputs, outputs, used, {}, batchable=batchable)


@pytest.mark.parametrize("batchable", [False, True])
@pytest.mark.parametrize("kept", [0, 1 << 24])
def test_every_pass_over_the_batches_gives_the_outputs_in_order(monkeypatch, batchable, kept):
    monkeypatch.setattr(module, "KEPT_BYTES", kept)
    sessions = []
    plain = module.FloatSession
    monkeypatch.setattr(module, "FloatSession", lambda *words, **named: sessions.append(1) or plain(*words, **named))
    graph, rng = network(batchable=batchable), np.random.default_rng(1)
    size = 2 if batchable else 1
    batches = [{"x": rng.normal(size=(size, 3)).astype(np.float32)} for _ in range(3)]
    for feeds in batches if not batchable else ():
        feeds.update({"s": np.array(-rng.random(), np.float32), **feeds})
        feeds["x"] = feeds.pop("x")  # the scalar comes first
    statistics = RewrittenStatistics(SimpleNamespace(graph=graph), None)
    for _ in range(2):
        run = statistics.truth(batches)
        for feeds in batches:
            found = run(feeds)
            assert set(found) == set(graph.outputs)
            np.testing.assert_array_equal(found["z"], np.maximum(feeds["x"], 0))
            if not batchable:
                assert next(iter(feeds)) == "s"
                assert found["y"] == 0
    assert len(sessions) == (1 if kept else 2)
