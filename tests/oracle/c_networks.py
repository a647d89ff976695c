"""The real networks that become C: float ones at a level, TFLite ones as stored."""

from __future__ import annotations

import zlib

import numpy as np
from portable_c import extremes

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

ONNX = (
    "espnet_p2q8_camvid_360x480", "faceboxes_512", "fsrcnn_x2_128", "kws_dscnn", "mobilenet_v1_0.25_224_imagenet",
    "mobilenetv2_yolov3_nano_voc_320", "portrait_prisma_nchw", "resnet20_cifar10", "resnet8_cifar10",
    "ultraface_rfb_320_without_postprocessing", "ultraface_slim_320", "yolo_fastest_1.1_320", "yolox_nano_416",
)  # fmt: skip
TFLITE = (
    "ad01_int8", "deeplabv3_mnv2_dm05_pascal_quant", "hello_world_int8", "kws_ref_model_int8",
    "mobilenet_v1_0.25_128_quant", "portrait_prisma_quant", "resnet8_cifar10_int8",
)  # fmt: skip


PICTURES = {
    "espnet": "camvid/images", "faceboxes": "face/images", "fsrcnn": "sr/hr_x2", "mobilenetv2_yolov3": "voc/images",
    "resnet": "cifar10/images", "ultraface": "face/images", "yolo": "coco_train128/images", "deeplab": "voc/images",
}  # fmt: skip
EACH = 10  # inputs: real ones, and extreme ones


def twenty_inputs(shared_data, name, program):
    """Return ten real inputs, of pictures or spoken words, and ten extreme ones, in the integers of the network."""
    return [*real_inputs(shared_data, name, program), *(item for seed in (0, 1) for item in extremes(program, seed))]


def real_inputs(shared_data, name, program):
    """Return pictures of a network's data, or words where it reads no pictures, spread over its inputs' integers."""
    plan = program.plan
    (entry,) = plan.graph.inputs
    shape, kind = plan.graph.shape(entry), plan.tensors[entry].dtype
    if 3 in shape[1:]:
        found = pictures(shared_data, name, shape)
    else:
        words = np.load(shared_data / "datasets" / "kws" / "mfcc_int8_49x10.npy").astype(np.int64) + 128
        found = [np.resize(words[number], shape) for number in range(EACH)]
    made = [kind.low + values * (kind.high - kind.low) // 255 for values in found]
    return [{entry: values.astype(kind.numpy)} for values in made]


def pictures(shared_data, name, shape):
    """Return pictures of 0 to 255 in the shape of a network's input."""
    from PIL import Image

    folder = next((place for key, place in PICTURES.items() if name.startswith(key)), "imagenet_sample/images")
    files = sorted((shared_data / "datasets" / folder).iterdir())[:EACH]
    last = shape[1] != 3  # channels last
    height, width = shape[1:3] if last else shape[2:]
    found = [np.asarray(Image.open(file).convert("RGB").resize((width, height)), np.int64) for file in files]
    return [(item if last else item.transpose(2, 0, 1))[None] for item in found]


def float_network(shared_data, name):
    graph = load_onnx(shared_data / "models" / "onnx" / f"{name}.onnx")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    feeds = [{item: rng.normal(0, 1, graph.shape(item)).astype(np.float32) for item in graph.inputs} for _ in range(2)]
    return graph, feeds


def onnx_program(shared_data, name, level, arithmetic="native", **options):
    graph, feeds = float_network(shared_data, name)
    plan = build_plan(graph, collect(graph, feeds), QuantOptions(level=level, **options))
    return compile_plan(plan, TargetSection(), arithmetic=arithmetic), feeds


def tflite_program(shared_data, name):
    target = TargetSection()
    plan = load_quantized(shared_data / "models" / "tflite" / f"{name}.tflite")
    return compile_plan(plan, target, arithmetic=target.native.asym8)
