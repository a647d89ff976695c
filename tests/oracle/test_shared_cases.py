"""The collected failing networks: within the oracle's bound at every level, under the target's table and others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from float_levels import Case, plain_session

from slimai.app.cli import main

pytestmark = pytest.mark.shared

# Folder -> bound at 8 bits, of the largest value. Level 4: 50 dB or 2 steps.
BOUNDS = {
    "03-pad-fltmin-maxpool": 0.04,
    "04-pad-1e4-maxpool": 0.04,
    "05-level4-dead-channel": 0.02,
    "06-level4-dead-layer": 0.01,
    "07-resize-half-odd": 0.04,
    "08-resize-1.5-odd": 0.04,
    "09-upsample9-2.5": 0.02,
    "10-resize-scale-13-5": 0.04,
    "11-resize-same-size": 0.04,
    "14-hardmax-opset11": 0.0,
    "18-softmax16-ort_f32": 0.02,
    "21-mask-fltmin": 0.02,
    "22-mask-inf": 0.02,
    "23-clip-crossed": 0.0,
}


@pytest.fixture
def networks(shared_data):
    folder = shared_data.parent / "cases" / "networks"
    if not folder.is_dir():
        pytest.skip("the collected failing networks are not on this machine")
    return folder


def feeds_of(folder):
    session = plain_session((folder / "model.onnx").read_bytes())
    rows = [line.split()[0].split(",") for line in (folder / "list.txt").read_text().splitlines()[1:]]
    shapes = [[size if isinstance(size, int) else 1 for size in item.shape] for item in session.get_inputs()]
    names = [item.name for item in session.get_inputs()]
    return [
        {name: np.load(folder / file).reshape(shape) for name, file, shape in zip(names, row, shapes, strict=True)}
        for row in rows
    ]


@pytest.mark.parametrize("arithmetic", ["native", "gemmlowp", "single", "ort_f32"])
@pytest.mark.parametrize("name", BOUNDS)
def test_case(tmp_path, networks, name, arithmetic):
    case = Case(tmp_path, networks / name / "model.onnx", feeds_of(networks / name))
    case.check_float()
    case.check_levels(BOUNDS[name], arithmetic=arithmetic)


def test_simulate_16_bit_softmax_under_ort_f32(tmp_path, networks):
    folder = networks / "38-simulate-softmax16-ort_f32"
    out = tmp_path / "y.npz"
    arguments = ["simulate", str(folder / "model.onnx"), "--inputs", str(folder / "x.npz"), "--outputs", str(out)]
    assert main([*arguments, "--arithmetic", "ort_f32"]) == 0
    model = onnx.load(folder / "model.onnx")
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    last = {node.output[0]: node for node in model.graph.node}
    with np.load(out) as found, np.load(folder / "expected_ort.npz") as wanted:
        for name in wanted.files:
            scale, zero = (constants[item] for item in last[name].input[1:3])
            values = found[name]
            if values.dtype.kind != "f":
                values = (values.astype(np.int64) - int(zero)) * float(scale)
            assert np.abs(values - wanted[name]).max() <= 3 * float(scale), name
