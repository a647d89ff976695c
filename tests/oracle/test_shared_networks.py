"""Real networks: the same bits for every batch and number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from plans import program

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan

pytestmark = [pytest.mark.shared, pytest.mark.slow]

NETWORKS = (
    "espnet_p2q8_camvid_360x480", "faceboxes_512", "fsrcnn_x2_128", "kws_dscnn", "mobilenet_v1_0.25_224_imagenet",
    "mobilenetv2_yolov3_nano_voc_320", "portrait_prisma_nchw", "resnet20_cifar10", "resnet8_cifar10",
    "ultraface_rfb_320_without_postprocessing", "ultraface_slim_320", "yolo_fastest_1.1_320", "yolox_nano_416",
)  # fmt: skip
LONG = ("espnet_p2q8_camvid_360x480", "portrait_prisma_nchw")  # 0.2 s and 35 ms an image in float


def test_every_network_is_named(shared_data):
    assert sorted(path.stem for path in (shared_data / "models" / "onnx").glob("*.onnx")) == sorted(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("level", [1, 3])
def test_batch_and_threads_do_not_change_a_bit(shared_data, name, level):
    """Batch 8 on 2 threads against 3 and 1 on one thread, and 8 on one thread where that is not long."""
    graph = load_onnx(shared_data / "models" / "onnx" / f"{name}.onnx")
    rng = np.random.default_rng(0)
    feeds = {item: rng.normal(0, 1, (8, *graph.shape(item)[1:])).astype(np.float32) for item in graph.inputs}
    plan = build_plan(graph, collect(graph, [cut(feeds, 0, 1)]), QuantOptions(level=level))
    expected, alone = program(plan, "native", 2).run(feeds), program(plan, "native", 1)
    assert all(np.unique(expected[output]).size > 2 for output in graph.outputs)
    for first, count in ((5, 3), (7, 1), *(() if name in LONG else ((0, 8),))):
        found = alone.run(cut(feeds, first, count))
        for output in graph.outputs:
            assert np.array_equal(found[output], expected[output][first : first + count]), (output, count)


def cut(feeds, first, count):
    return {name: values[first : first + count] for name, values in feeds.items()}
