"""Depthwise convolutions behind joins are split where the outputs of the calibration images gain by it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from slimai.app.candidates.equalization_check import WORTH
from slimai.search.candidate import Candidate
from tests.unit.app.measured_rewrites import quantizer, ratios

IMAGES, SIZE, CHANNELS = 6, 16, 4


def detector(path, sizes, seen, seed=0):
    """Write branches of unlike size, joined, with HardSwish spelled out, and a depthwise convolution behind.

    sizes: of what each branch gives. seen: how strongly the last convolution reads each branch.
    """
    rng, constants, nodes = np.random.default_rng(seed), [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def conv(name, source, weights, group=1):
        pads = [weights.shape[2] // 2] * 4
        inputs = [source, constant(f"{name}_w", weights), constant(f"{name}_b", 0.1 * rng.normal(size=len(weights)))]
        nodes.append(helper.make_node("Conv", inputs, [name], name, pads=pads, group=group))
        return name

    def hard_swish(source):
        parts = [constant(f"{source}_{name}", value) for name, value in (("3", 3), ("lo", 0), ("hi", 6), ("6", 6))]
        for op, inputs in (
            ("Add", [source, parts[0]]),
            ("Clip", [f"{source}_Add", *parts[1:3]]),
            ("Mul", [source, f"{source}_Clip"]),
            ("Div", [f"{source}_Mul", parts[3]]),
        ):
            nodes.append(helper.make_node(op, inputs, [f"{source}_{op}"], f"{source}_{op}"))
        return f"{source}_Div"

    total = CHANNELS * len(sizes)
    rows = np.repeat(sizes, CHANNELS).reshape(-1, 1, 1, 1)
    branches = [
        hard_swish(conv(f"b{place}", "x", size * rng.normal(size=(CHANNELS, 1, 3, 3))))
        for place, size in enumerate(sizes)
    ]
    nodes.append(helper.make_node("Concat", branches, ["join"], "join", axis=1))
    middle = conv("depthwise", "join", rng.normal(size=(total, 1, 3, 3)) / rows, group=total)
    last = rng.normal(size=(3, total, 1, 1)) * np.repeat(seen, CHANNELS).reshape(1, -1, 1, 1)
    end = conv("y", hard_swish(middle), last)
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, None)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def quantizer_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    rng = np.random.default_rng(7)
    for index in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE), np.uint8)).save(folder / f"{index}.png")
    (folder / "calib.txt").write_text("\n".join(f"{index}.png" for index in range(IMAGES)))

    def build(sizes, seen, **quantization):
        model = folder / f"net{sizes}_{seen}.onnx"
        detector(model, sizes, seen)
        return quantizer(folder, model, "detector", mean=128, stddev=64, **quantization)

    return build


@pytest.mark.parametrize("level", [0, 1, 3])
def test_auto_splits_where_the_outputs_gain(quantizer_of, level):
    sizes, seen = (40.0, 0.5, 1.0), (1.0, 1.0, 1.0)
    auto, off = (quantizer_of(sizes, seen, channel_clustering=value) for value in ("auto", False))
    assert auto.aids(Candidate(level)).seams is True
    told = [item for item in auto(Candidate(level)).plan.decisions if item.what == "split at the seams of a join"]
    assert [item.where.split(",")[0] for item in told] == ["depthwise"]
    found = ratios([auto, off], level)
    assert (found[0] >= found[1] + WORTH).all()


def test_nothing_is_split_that_the_outputs_do_not_gain_by(quantizer_of):
    """The small branches are hardly read: splitting is possible, and brings nothing. `true` splits all the same."""
    sizes, seen = (40.0, 0.5, 1.0), (1.0, 1e-3, 1e-3)
    auto, on = (quantizer_of(sizes, seen, channel_clustering=value) for value in ("auto", True))
    assert auto.networks.has_seams()
    assert auto.aids(Candidate(3)).seams is False
    assert on.aids(Candidate(3)).seams is True
    assert {node.name for node in auto(Candidate(3)).plan.graph.nodes} < {
        node.name for node in auto.job.graph.nodes
    } | {node.name for node in on(Candidate(3)).plan.graph.nodes}


def test_branches_of_like_size_have_no_seams_worth_it_and_16_bits_need_none(quantizer_of):
    alike = quantizer_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    assert not alike.networks.has_seams()
    assert alike.aids(Candidate(3)).seams is False
    assert quantizer_of((40.0, 0.5, 1.0), (1.0, 1.0, 1.0)).aids(Candidate(4)).seams is False


def test_a_rule_of_mixed_precision_holds_for_the_parts(quantizer_of):
    quantizer = quantizer_of((40.0, 0.5, 1.0), (1.0, 1.0, 1.0))
    rewritten = quantizer.networks.rewritten(quantizer.aids(Candidate(3)).rewrites)
    spread = rewritten.spread({"depthwise": (8, 16)})
    parts = [name for name, source in rewritten.origin.items() if source == "depthwise"]
    assert len(parts) == 2, "the small branches stay together"
    assert all(spread[name] == (8, 16) for name in parts)
