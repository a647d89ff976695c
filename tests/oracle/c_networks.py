"""The real networks that become C: float ones at a level, TFLite ones as stored."""

from __future__ import annotations

import zlib

import numpy as np

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
