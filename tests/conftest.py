"""Fixtures that every test may use, and the option that runs slow tests for so long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
STARTED = time.monotonic()
# a commit that passes here passes elsewhere: the same examples in every run. SLIMAI_HYPOTHESIS=hunt draws new ones.
# no example has a time of its own: a busy machine would fail what is right
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("hunt", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("SLIMAI_HYPOTHESIS", "steady"))


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "begin no slow test after so many seconds (skipped, with the reason); they come behind the quick ones"
    parser.addoption("--slow-for", type=float, metavar="SECONDS", default=None, help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow-for") is not None:
        items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--slow-for")
    if limit is not None and item.get_closest_marker("slow") and time.monotonic() - STARTED > limit:
        pytest.skip(f"not begun: {limit:g} seconds are over (--slow-for)")


def find_shared_data() -> Path | None:
    """Return the folder of real networks and pictures, or None when this machine has none."""
    base = Path(os.environ.get("SLIMAI_SHARED", ROOT.parent / "shared"))
    return base / "data" if (base / "data" / "models").is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder with models/ and datasets/; skip where it is absent."""
    found = find_shared_data()
    if found is None:
        pytest.skip("real networks and pictures are not on this machine (set SLIMAI_SHARED to their folder)")
    return found


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Return the root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def decoded_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a seeded detector of pictures [1, 3, 64, 64], decoded in the graph: [1, 4 + 3, 256], pixels beside scores.

    Boxes as YOLOv8 writes them: distances to the sides around the cells, centre and size, times the stride.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, constants = np.random.default_rng(7), [], []

    def constant(value, dtype=np.float32):
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{len(constants)}"))
        return constants[-1].name

    def node(op, *inputs, name, outputs=None, **attrs):
        nodes.append(helper.make_node(op, list(inputs), list(outputs or [name]), name=name, **attrs))
        return name

    def conv(x, channels, out, name, size=3, stride=1, bias=0.0):
        weights = rng.normal(size=(out, channels, size, size)) * np.sqrt(2 / (channels * size * size))
        offset = constant(np.full(out, bias) + rng.normal(size=out) * 0.1)
        pads = [size // 2] * 4
        return node("Conv", x, constant(weights), offset, name=name, strides=[stride, stride], pads=pads)

    x = node("Relu", conv("x", 3, 8, "stem", stride=2), name="stem_relu")
    x = node("Relu", conv(x, 8, 16, "body", stride=2), name="body_relu")
    sides = node("Relu", conv(x, 16, 4, "box", size=1, bias=1.5), name="box_relu")
    sides = node("Reshape", sides, constant([1, 4, 256], np.int64), name="box_flat")
    node("Split", sides, constant([2, 2], np.int64), name="sides", outputs=["before", "behind"], axis=1)
    cells = constant(np.stack(np.meshgrid(np.arange(16), np.arange(16))).reshape(1, 2, 256) + 0.5)
    first, last = node("Sub", cells, "before", name="first"), node("Add", cells, "behind", name="last")
    centre = node("Mul", node("Add", first, last, name="sum"), constant(0.5), name="centre")
    boxes = node("Concat", centre, node("Sub", last, first, name="size"), name="boxes", axis=1)
    boxes = node("Mul", boxes, constant(4.0), name="pixels")
    scores = node("Reshape", conv(x, 16, 3, "cls", size=1, bias=-2.0), constant([1, 3, 256], np.int64), name="cls_flat")
    node("Concat", boxes, node("Sigmoid", scores, name="scores"), name="join", axis=1)
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("join", TensorProto.FLOAT, [1, 7, 256])],
        constants,
    )
    path = tmp_path_factory.mktemp("detector") / "detector.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
