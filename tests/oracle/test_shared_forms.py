"""Networks that were once wrong, as folders beside the project: the right value, or a refusal that names the node.

Oracle: ONNX Runtime float on model.onnx, its optimizer off; tolerance 3 % of the largest value at 8 bits, 0.1 % at 16.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from operator_networks import quantized_program

from slimai.app.commands.simulate import declared_outputs
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.quantized_file import load_quantized
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

pytestmark = pytest.mark.shared
ROOT = Path(__file__).resolve().parents[2]
FLOAT = ("01", "02", "12", "13", "15", "16", "17", "19", "20")
QDQ = ("30", "31", "32", "33", "34", "35", "36", "37", "39")
ON_HOST = {"31", "32", "33", "34"}  # one scale an input channel, or a block


def folder(name):
    base = Path(os.environ.get("SLIMAI_SHARED", ROOT.parent / "shared")) / "cases"
    if not base.is_dir():
        pytest.skip("the folder of cases is not on this machine (set SLIMAI_SHARED to its parent)")
    return next(base.glob(name))


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("number", FLOAT)
def test_float_networks_are_right_at_every_level(number, level):
    path = folder(f"networks/{number}-*") / "model.onnx"
    oracle, graph = FloatSession(path.read_bytes(), optimize=False), load_onnx(path)
    rows = [line.split()[0].split(",") for line in (path.parent / "list.txt").read_text().splitlines()[1:]]
    feeds = [{name: np.load(path.parent / file) for name, file in zip(graph.inputs, row, strict=True)} for row in rows]
    feeds = [{name: value.reshape(graph.shape(name)) for name, value in feed.items()} for feed in feeds]
    program = quantized_program(graph, feeds, level)
    exported = FloatSession(to_qdq(program.plan).SerializeToString(), optimize=False)
    for feed in feeds:
        truth, found, given = oracle.run(feed), program.dequantize(program.run(feed)), exported.run(feed)
        for name, value in truth.items():
            limit = (0.001 if level == 4 else 0.03) * max(float(np.abs(value).max()), 1e-9)
            assert found[name].shape == given[name].shape == value.shape
            np.testing.assert_allclose(found[name], value, rtol=0, atol=limit)
            np.testing.assert_allclose(given[name], value, rtol=0, atol=limit)
    assert not program.host_layers


@pytest.mark.parametrize("number", QDQ)
def test_quantized_networks_are_right(number):
    """Tolerance: one step of each output."""
    case = folder(f"networks/{number}-*")
    program = compile_plan(load_quantized(case / "model.onnx"), TargetSection())
    outputs = program.run(dict(np.load(case / "x.npz")))
    real = declared_outputs(program, outputs, integers=False)
    for name, value in np.load(case / "expected_ort.npz").items():
        assert real[name].dtype == value.dtype
        np.testing.assert_allclose(real[name], value, rtol=0, atol=1.01 * program.plan.tensors[name].scale)
    assert bool(program.host_layers) == (number in ON_HOST)


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match=r"w: 1 of 4 values of this constant of 'y' are no numbers"):
        load_onnx(folder("networks/24-*") / "model.onnx")


def test_pictures_of_a_fixed_batch():
    path = folder("networks/43-*") / "m.onnx"
    graph = load_onnx(path, pictures={"x"})
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    truth = FloatSession(path.read_bytes(), optimize=False).run({"x": x})
    for name, value in FloatSession(graph).run({"x": x[1:2]}).items():
        np.testing.assert_allclose(value, truth[name][1:2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["aionnx_domain", "fusedconv", "ms_gelu", "sparse_init"])
def test_unusual_files_are_read(name):
    path = folder("networks/44-*") / f"{name}.onnx"
    graph = load_onnx(path)
    feed = {item: np.random.default_rng(0).normal(size=graph.shape(item)).astype(np.float32) for item in graph.inputs}
    for output, value in FloatSession(path.read_bytes(), optimize=False).run(feed).items():
        np.testing.assert_allclose(FloatSession(graph).run(feed)[output], value, rtol=0, atol=1e-5)
    assert len([step for step in layer_steps(graph) if step.host]) == (name == "ms_gelu")


@pytest.mark.parametrize("name", ["rank1", "rows", "with_batch", "without_batch"])
def test_outputs_without_a_batch_are_whole(name):
    """Tolerance: two steps of 16 bits (half a thousandth of the largest value)."""
    path = folder("no-batch") / f"{name}.onnx"
    oracle, graph = FloatSession(path.read_bytes(), optimize=False), load_onnx(path)
    rng = np.random.default_rng(0)
    feeds = [{item: rng.uniform(0, 1, graph.shape(item)).astype(np.float32) for item in graph.inputs} for _ in range(3)]
    program = quantized_program(graph, feeds, 4)
    for feed in feeds:
        found = program.dequantize(program.run(feed))
        for output, value in oracle.run(feed).items():
            assert found[output].shape == value.shape
            np.testing.assert_allclose(found[output], value, rtol=0, atol=5e-4 * np.abs(value).max())
