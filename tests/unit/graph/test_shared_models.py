"""Every real network: the loaded graph computes what the file computes, one image and several at a time."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.graph.load import load_onnx
from slimai.graph.ops import is_canonical
from slimai.runtime.session import FloatSession

MODELS = (
    "espnet_p2q8_camvid_360x480",
    "faceboxes_512",
    "fsrcnn_x2_128",
    "kws_dscnn",
    "mobilenet_v1_0.25_224_imagenet",
    "mobilenetv2_yolov3_nano_voc_320",
    "portrait_prisma_nchw",
    "resnet20_cifar10",
    "resnet8_cifar10",
    "ultraface_rfb_320_without_postprocessing",
    "ultraface_slim_320",
    "yolo_fastest_1.1_320",
    "yolox_nano_416",
)
TOLERANCE = 1e-4  # of the largest magnitude of an output, SPEC section 6


def relative_error(found, wanted):
    return max(float(np.abs(found[key] - wanted[key]).max() / np.abs(wanted[key]).max()) for key in wanted)


@pytest.mark.shared
@pytest.mark.parametrize("name", MODELS)
def test_real_network_is_unchanged_by_the_front_end(shared_data, name):
    path = shared_data / "models" / "onnx" / f"{name}.onnx"
    graph = load_onnx(path)
    original, loaded = FloatSession(path.read_bytes()), FloatSession(graph)
    rng = np.random.default_rng(7)
    feeds = [{key: rng.normal(size=graph.shape(key)).astype(np.float32) for key in graph.inputs} for _ in range(3)]
    wanted = [original.run(item) for item in feeds]
    for feed, reference in zip(feeds[:2], wanted, strict=False):
        assert relative_error(loaded.run(feed), reference) <= TOLERANCE
    assert graph.batchable, graph.batch_note
    together = loaded.run({key: np.concatenate([item[key] for item in feeds]) for key in graph.inputs})
    stacked = {key: np.concatenate([item[key] for item in wanted]) for key in wanted[0]}
    assert relative_error(together, stacked) <= TOLERANCE
    assert [node.op for node in graph.nodes if not is_canonical(node)] == []
