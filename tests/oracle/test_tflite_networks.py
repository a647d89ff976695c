"""Real 8-bit TFLite networks at level 3: 0 bits of any intermediate tensor differ from LiteRT's reference kernels."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from stored_networks import differences, read
from tflite_builder import reference_interpreter

from slimai.errors import UnsupportedError
from slimai.graph.tflite.load import load_tflite

pytestmark = pytest.mark.shared

# network -> (pictures, quick inputs); every second input is random, the others are real where there are any
NETWORKS = {
    "resnet8_cifar10_int8": ("cifar10", 4),
    "kws_ref_model_int8": ("kws", 4),
    "ad01_int8": ("", 4),
    "hello_world_int8": ("", 20),
    "mobilenet_v1_0.25_128_quant": ("imagenet_sample", 3),
    "deeplabv3_mnv2_dm05_pascal_quant": ("coco_train128", 1),
    "portrait_prisma_quant": ("coco_train128", 1),
}


def real_inputs(data, pictures, detail, count):
    """Return `count` inputs of the network: pictures brought to its size, or spoken words."""
    if not pictures or not count:
        return []
    if pictures == "kws":
        return list(np.load(data / "datasets" / "kws" / "mfcc_int8_49x10.npy")[:count].reshape(count, *detail["shape"]))
    folder = data / "datasets" / pictures
    lines = (folder / "val.txt").read_text().splitlines()[1 : count + 1]
    size = (int(detail["shape"][2]), int(detail["shape"][1]))
    offset = 128 if detail["dtype"] is np.int8 else 0
    return [
        (np.asarray(Image.open(folder / line.split()[0]).convert("RGB").resize(size)).astype(int) - offset)
        .astype(detail["dtype"])
        .reshape(detail["shape"])
        for line in lines
    ]


def inputs_of(data, name, model, count):
    (detail,) = reference_interpreter(model).get_input_details()
    real = real_inputs(data, NETWORKS[name][0], detail, count - count // 2)
    rng, info = np.random.default_rng(11), np.iinfo(detail["dtype"])
    shape, kind = detail["shape"], detail["dtype"]
    made = [rng.integers(info.min, info.max + 1, shape).astype(kind) for _ in range(count - len(real))]
    return [[x] for x in (*real, *made)]


def check(data, name, count, least=2):
    model = (data / "models" / "tflite" / f"{name}.tflite").read_bytes()
    found = differences(model, inputs_of(data, name, model, count), least=least)
    assert len(found) == sum(len(item["outputs"]) for item in reference_interpreter(model)._get_ops_details())
    assert not any(found.values()), {key: value for key, value in found.items() if value}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_bit_differs_on_any_tensor(shared_data, name):
    check(shared_data, name, NETWORKS[name][1], least=1)  # a single picture may be all background


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_no_bit_differs_over_twenty_inputs(shared_data, name):
    check(shared_data, name, 20)


def test_a_dynamic_range_model_is_refused_in_one_sentence(shared_data):
    path = shared_data / "models" / "tflite" / "kws_ref_model_float.tflite"
    with pytest.raises(UnsupportedError) as caught:
        load_tflite(path)
    interpreter = reference_interpreter(path.read_bytes())
    details = interpreter._get_ops_details()
    computed = {number for op in details for number in op["outputs"]}
    assert {item["dtype"] for item in interpreter.get_tensor_details() if item["index"] in computed} == {np.float32}
    start = re.escape(f"{path}: network.model_type: a dynamic-range network: ")
    assert re.match(start + r"\d+ operators multiply float activations by integer weights", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1


def test_names_and_axes_are_those_of_the_file(shared_data):
    network = read((shared_data / "models" / "tflite" / "portrait_prisma_quant.tflite").read_bytes())
    assert network.graph.inputs == ("input_3",)
    assert network.graph.outputs == ("Identity",)
    assert network.graph.shape("input_3") == (1, 256, 256, 3)
    assert network.graph.batchable
