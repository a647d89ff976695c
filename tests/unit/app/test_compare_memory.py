"""`slimai compare` holds a few tensors, however many a board has dumped."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))

from plans import Op, build_plan, params, program

from slimai.app.comparison.board import compare_board
from slimai.app.comparison.dump import open_dump
from slimai.app.comparison.subject import Network
from slimai.schema.target import TargetSection

SHAPE = (1, 64, 64, 64)
TENSOR = 2**18  # bytes


def peak(folder, length):
    """Return the most bytes that are held while a board with a wrong last tensor of `length` is compared."""
    names = [f"t{n}" for n in range(length + 1)]
    ops = [Op("Relu", (names[n],), names[n + 1]) for n in range(length)]
    plan = build_plan(ops, dict.fromkeys(names, SHAPE), dict.fromkeys(names, params("s8", 0.1)), ("t0",), (names[-1],))
    network = Network(program(plan, "single"), TargetSection(), "single", {name: name for name in names})
    given = np.random.default_rng(0).integers(-127, 128, SHAPE).astype(np.int8)
    right = np.maximum(given, 0)
    dumped = dict.fromkeys(names[1:-1], right) | {names[-1]: np.where(right == 3, 4, right).astype(np.int8)}
    file = folder / f"{length}.npz"
    np.savez(file, **dumped)
    tracemalloc.start()
    report = compare_board(network, {"t0": given}, open_dump(file, network))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.first["tensor"] == names[-1]
    assert report.compared == length
    return most


def test_a_dump_of_eight_times_as_many_tensors_takes_no_more_memory(tmp_path):
    peak(tmp_path, 3)  # imports and compiled kernels are not counted
    few, many = peak(tmp_path, 10), peak(tmp_path, 80)
    assert many < few + TENSOR  # 70 tensors more
