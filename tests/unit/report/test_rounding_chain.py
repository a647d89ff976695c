"""The network in parts against the network as a whole, and what of it runs again."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.report import rounding_chain
from slimai.report.alone import _grids
from slimai.report.rounding_chain import NONE, RoundingChain, parts


@pytest.fixture(params=["detector", "digits"])
def case(request, decoded_detector, digits):
    if request.param == "digits":
        return digits.graph, digits.plan(QuantOptions(level=3)), {name: v[:2] for name, v in digits.feeds.items()}
    graph = load_onnx(decoded_detector, batch_of_one=True)
    feeds = {"x": np.random.default_rng(1).normal(size=(1, 3, 64, 64)).astype(np.float32)}
    return graph, build_plan(graph, collect(graph, [feeds]), QuantOptions(level=3)), feeds


def test_parts_hold_every_node_once_and_are_cut_at_what_can_be_rounded(case):
    graph, plan, _ = case
    grids = _grids(graph, plan)
    found = parts(graph, grids)
    assert len(found) > 2
    assert [node.name for part in found for node in part.nodes] == [node.name for node in graph.nodes]
    crossing = {name for part in found for name in part.inputs} - set(graph.inputs)
    assert crossing <= grids.keys()


def test_every_rounding_is_that_of_the_whole_network(case, monkeypatch):
    graph, plan, feeds = case
    grids = _grids(graph, plan)
    chain = RoundingChain(graph, grids)
    monkeypatch.setattr(rounding_chain, "PARTS", 0)
    whole = RoundingChain(graph, grids)
    assert (len(whole), len(chain) > 2) == (1, True)
    exact, nothing = chain.exact(feeds), whole.exact(feeds)
    for place in range(NONE, len(grids)):
        ours, wanted = chain.rounded(exact, place), whole.rounded(nothing, place)
        assert list(ours) == list(wanted) == list(graph.outputs)
        for name, values in wanted.items():
            # one step of the grid may fall to the other side where kernels add in another order
            assert np.abs(ours[name] - values).max() <= 1e-3 * np.abs(values).max(), (place, name)


def test_what_lies_before_a_tensor_does_not_run_again(case):
    graph, plan, feeds = case
    grids = _grids(graph, plan)
    chain = RoundingChain(graph, grids)
    exact, ran = chain.exact(feeds), []
    for at, part in enumerate(chain._parts):
        own = part.session.run
        part.session.run = lambda ready, at=at, own=own: ran.append(at) or own(ready)
    for place, name in enumerate(grids):
        ran.clear()
        chain.rounded(exact, place)
        holders = [at for at, part in enumerate(parts(graph, grids)) if name in (*graph.inputs, *made(part))]
        assert ran == list(range(holders[0], len(chain)))


def made(part):
    return [name for node in part.nodes for name in node.outputs]
