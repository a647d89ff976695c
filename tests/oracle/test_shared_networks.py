"""Real networks: the same bits for every batch and number of threads, and what `xi_sym` costs in accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from plans import program

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan

pytestmark = [pytest.mark.shared, pytest.mark.slow]

NETWORKS = (
    "faceboxes_512", "fsrcnn_x2_128", "kws_dscnn", "mobilenet_v1_0.25_224_imagenet", "mobilenetv2_yolov3_nano_voc_320",
    "resnet20_cifar10", "resnet8_cifar10", "ultraface_rfb_320_without_postprocessing", "ultraface_slim_320",
    "yolo_fastest_1.1_320",
)  # fmt: skip
SMALL = ("kws_dscnn", "resnet20_cifar10", "resnet8_cifar10", "mobilenet_v1_0.25_224_imagenet")


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_and_threads_do_not_change_a_bit(shared_data, name):
    graph = load_onnx(shared_data / "models" / "onnx" / f"{name}.onnx")
    rng = np.random.default_rng(0)
    size = (8 if name in SMALL else 4) if graph.batchable else 2
    feeds = {item: rng.normal(0, 1, (size, *graph.shape(item)[1:])).astype(np.float32) for item in graph.inputs}
    first = {item: value[:1] for item, value in feeds.items()}
    statistics = collect(graph, [first])
    for level in (1, 3):
        plan = build_plan(graph, statistics, QuantOptions(level=level))
        expected = program(plan, "native").run(feeds)
        for threads, step in ((1, 1), (1, 3), (2, size)):
            runner = program(plan, "native", threads)
            parts = [
                runner.run({item: value[at : at + step] for item, value in feeds.items()})
                for at in range(0, size, step)
            ]  # fmt: skip
            for output in graph.outputs:
                assert np.array_equal(np.concatenate([part[output] for part in parts]), expected[output])


def pictures(folder, listing, count, mean, spread):
    images, labels = [], []
    for line in (folder / listing).read_text().splitlines()[1 : count + 1]:
        path, label = line.split()
        with Image.open(folder / path) as picture:
            pixels = np.asarray(picture.convert("RGB"), np.float32)
        images.append(((pixels - mean) / spread).transpose(2, 0, 1))
        labels.append(int(label))
    return np.stack(images).astype(np.float32), np.array(labels)


def test_xi_sym_costs_no_accuracy_on_resnet20(shared_data):
    """Level 1 over 1000 pictures; `single` (31 bits, one rounding) stands for exact requantization: within 0.01."""
    graph = load_onnx(shared_data / "models" / "onnx" / "resnet20_cifar10.onnx")
    folder, mean = shared_data / "datasets" / "cifar10", np.array([123.675, 116.28, 103.53])
    spread = np.array([58.395, 57.12, 57.375])
    calibration, _ = pictures(folder, "calib.txt", 64, mean, spread)
    images, labels = pictures(folder, "val.txt", 1000, mean, spread)
    plan = build_plan(graph, collect(graph, [{"input": calibration}]), QuantOptions(level=1))
    scores = {}
    for rule in ("xi_sym", "single"):
        runner = program(plan, rule)
        parts = [runner.run({"input": images[at : at + 100]})[graph.outputs[0]] for at in range(0, 1000, 100)]
        scores[rule] = float((np.concatenate(parts).argmax(axis=1) == labels).mean())
    assert abs(scores["xi_sym"] - scores["single"]) <= 0.01
    assert scores["xi_sym"] >= 0.785
