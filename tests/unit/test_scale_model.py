"""The model of benchmarks/scale.py against figures worked out by hand, and bounds that hold for any run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="session")
def model(repo_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo_root / "benchmarks"))
        import scale_model

        yield scale_model


def test_one_node_takes_work_and_overhead_one_after_the_other(model):
    costs = model.Costs(hand_out=0.5, turn=0.25, start=2.0)
    found = model.simulate([model.Piece(1.0)] * 4, 1, costs)
    assert found.seconds == 2.0 + 4 * (0.5 + 1.0 + 0.25)
    assert found.main == 4 * 0.5


def test_nodes_wait_for_a_main_process_that_is_slower_than_all_of_them(model):
    found = model.simulate([model.Piece(1.0)] * 100, 50, model.Costs(hand_out=0.25, turn=0.0))
    assert found.seconds == 100 * 0.25 + 1.0, "four nodes would do"


def test_a_candidate_is_prepared_once_on_a_node(model):
    pieces = [model.Piece(1.0, key="a", prepare=3.0)] * 2
    assert model.simulate(pieces, 1, model.Costs(0.0, 0.0)).seconds == 3.0 + 2.0
    assert model.simulate(pieces, 2, model.Costs(0.0, 0.0)).seconds == 3.0 + 1.0


def test_what_is_sent_passes_the_link_of_the_main_process_one_after_the_other(model):
    costs = model.Costs(0.0, 0.0, main_rate=100.0, node_rate=200.0)
    found = model.simulate([model.Piece(1.0, sent=100)] * 3, 3, costs)
    assert found.seconds == 3 * 1.0 + 1.0
    assert found.link == 3.0
    assert model.simulate([model.Piece(1.0, read=100)] * 3, 3, costs).seconds == 0.5 + 1.0
    assert model.simulate([model.Piece(1.0, returned=100)] * 3, 3, costs).seconds == 1.0 + 3 * 1.0


def test_results_are_merged_by_the_main_process_while_nodes_work(model):
    found = model.simulate([model.Piece(1.0, merge=0.25)] * 4, 2, model.Costs(0.0, 0.0))
    assert found.seconds == 2.0 + 2 * 0.25, "the first two while the last two are worked on"
    assert found.main == 1.0


@settings(deadline=None)
@given(
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=40),
    st.integers(1, 12),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
)
def test_no_run_is_faster_than_its_work_or_slower_than_one_node(model, works, nodes, hand_out, turn):
    pieces = [model.Piece(work) for work in works]
    costs = model.Costs(hand_out, turn)
    found = model.simulate(pieces, nodes, costs).seconds
    least = max(sum(works) / nodes, max(works) + hand_out + turn, len(works) * hand_out)
    assert found >= least - 1e-9
    assert found <= sum(works) + len(works) * (hand_out + turn) + 1e-9


@settings(deadline=None)
@given(st.integers(1, 40_000), st.integers(1, 1500), st.booleans())
def test_pieces_are_those_of_the_program(model, images, nodes, shared):
    """The parts of each pass cover all images once, and the search is cut as the program cuts it."""
    from slimai.app.execution.crew import parts
    from slimai.app.run.crew_executor import PIECE_IMAGES, pieces
    from slimai.search.candidate import Candidate
    from slimai.search.units import Unit

    network = model.Network(0.005, 0.004, 0.02, 0.1, 0.01, 100, 1000, 300, 5000, 0.03)
    cut = parts(0, images, network.batch, network.calibrate * network.batch, nodes)
    found = list(model.calibration(network, images, nodes, part_seconds=2.0, shared=shared))
    assert [piece.work for piece in found] == [(stop - start) * network.calibrate for start, stop in cut]
    batches = list(model.reference(network, images, disk_rate=1e9, shared=shared))
    assert len(batches) == math.ceil(images / network.batch)
    assert sum(piece.work for piece in batches) == pytest.approx(images * network.float_image)
    searched = list(model.exhaustive(network, images, 3, nodes, piece_images=PIECE_IMAGES, shared=shared))
    own = [
        pieces(Unit(Candidate(0), tuple(range(images)), following=2 - number), nodes, network.batch)
        for number in range(3)
    ]
    assert [piece.work for piece in searched] == [len(unit.indices) * network.image for cut in own for unit in cut]
    plans = 0 if shared else 3 * network.plan_bytes
    assert sum(piece.sent for piece in searched) == (0 if shared else images * network.input_bytes + plans)
