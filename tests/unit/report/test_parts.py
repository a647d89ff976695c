"""Noise of outputs, each part of a join by its own signal; the reference is float64 arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slimai.graph.load import load_onnx
from slimai.report.parts import WHOLE, OutputNoise, output_parts


@pytest.fixture
def network(tmp_path):
    """Return a function that gives a network whose output is a join of two inputs, or only their sum."""
    return lambda op: load_onnx(written(op, tmp_path / "net.onnx"), batch_of_one=True)


def written(op, path):
    attrs = {"axis": 1} if op == "Concat" else {}
    nodes = [helper.make_node(op, ["a", "b"], ["j"], name="j", **attrs)]
    nodes.append(helper.make_node("Transpose", ["j"], ["t"], name="t", perm=[0, 2, 1]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 50]) for name in "ab"]
    outputs = [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def values(images=3, seed=0):
    rng = np.random.default_rng(seed)
    boxes, scores = rng.uniform(-100, 100, (images, 50, 4)), rng.uniform(0, 0.3, (images, 50, 4))
    return np.concatenate([boxes, scores], axis=2).astype(np.float32)


def test_scores_beside_boxes_count_as_a_part_of_their_own(network):
    both = values()
    rounded = (np.clip(np.rint(both.astype(np.float64) / 0.8), -128, 127) * 0.8).astype(np.float32)
    noise = OutputNoise(output_parts(network("Concat"), {"t": both}))
    for image, found in zip(both, rounded, strict=True):  # image by image, as batches come
        noise.add({"t": image[None]}, {"t": found[None]})
    lost, kept = (
        np.square(rounded[..., part].astype(float) - both[..., part]).sum()
        / np.square(both[..., part].astype(float)).sum()
        for part in (slice(4, 8), slice(0, 4))
    )
    assert noise.ratio() == pytest.approx((lost + kept) / 2, rel=1e-9)
    assert noise.ratio() > 0.4, "all scores are lost, though the whole tensor has 47 dB"


def test_outputs_without_a_join_are_one_part(network):
    both = values()
    assert output_parts(network("Add"), {"t": both}) == {"t": WHOLE}
    noise = OutputNoise({"t": WHOLE})
    noise.add({"t": both}, {"t": both + np.float32(0.5)})
    expected = np.square((both + np.float32(0.5)).astype(float) - both).sum() / np.square(both.astype(float)).sum()
    assert noise.ratio() == pytest.approx(expected, rel=1e-9)


def test_slices_without_a_signal_and_alike_ones_make_no_part(network):
    both = values()
    both[..., 5] = 0.0
    (parts,) = output_parts(network("Concat"), {"t": both}).values()
    assert parts.count == 2
    assert parts.label[[0, 4, 5]].tolist() == [0, 1, 0]
    assert output_parts(network("Concat"), {"t": values()[..., :4]}) == {"t": WHOLE}
    noise = OutputNoise({"t": WHOLE})
    noise.add({"t": np.zeros((1, 3), np.float32)}, {"t": np.zeros((1, 3), np.float32)})
    assert noise.ratio() == 0.0
