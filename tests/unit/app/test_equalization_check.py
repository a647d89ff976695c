"""Equalization on auto never lowers the ratio of signal to noise of the calibration images' outputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from slimai.quantizer.rewrites.aids import Rewrites
from tests.unit.app.measured_rewrites import quantizer, ratios

IMAGES, SIZE, CHANNELS = 8, 20, 16


def conv(name, source, weights, bias, constants):
    constants += [numpy_helper.from_array(weights.astype(np.float32), f"{name}_w")]
    constants += [numpy_helper.from_array(bias.astype(np.float32), f"{name}_b")]
    pad = weights.shape[2] // 2
    return helper.make_node("Conv", [source, f"{name}_w", f"{name}_b"], [name], name, pads=[pad] * 4)


def sub_pixel_network(path, seed, spread, pictures):
    """Write a super-resolution network of three convolutions and DepthToSpace.

    What reads a channel has weights of unlike range (spread: of their logarithm). The channels' peaks are alike, and
    rare, so that the rounding of activations makes most of the noise, and evening out weights raises that.
    """
    rng = np.random.default_rng(seed)
    uneven = [np.exp(spread * rng.normal(size=(CHANNELS, 1, 1, 1))) for _ in range(2)]
    first = rng.normal(size=(CHANNELS, 1, 5, 5)) / 5
    middle = rng.normal(size=(CHANNELS, CHANNELS, 3, 3)) / 12 * uneven[0].reshape(1, -1, 1, 1)
    last = rng.normal(size=(4, CHANNELS, 3, 3)) / 12 * uneven[1].reshape(1, -1, 1, 1)
    for index in range(2):
        found = onnx_graph(first, middle, last, outputs=(f"r{'ab'[index]}",))
        session = onnxruntime.InferenceSession(found.SerializeToString())
        runs = [session.run(None, {"x": image})[0] for image in pictures]
        peaks = np.max([run.max(axis=(0, 2, 3)) for run in runs], axis=0).reshape(-1, 1, 1, 1)
        first, middle = (first / peaks, middle) if index == 0 else (first, middle / peaks)
    onnx.save(onnx_graph(first, middle, last), path)


def onnx_graph(first, middle, last, outputs=("y",)):
    constants: list = []
    nodes = [
        conv("a", "x", first, np.zeros(CHANNELS), constants),
        helper.make_node("Relu", ["a"], ["ra"], "ra"),
        conv("b", "ra", middle, np.zeros(CHANNELS), constants),
        helper.make_node("Relu", ["b"], ["rb"], "rb"),
        conv("c", "rb", last, np.zeros(4), constants),
        helper.make_node("DepthToSpace", ["c"], ["y"], "d2s", blocksize=2),
    ]
    graph = helper.make_graph(
        nodes,
        "subpixel",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def quantizer_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subpixel")
    rng, pictures = np.random.default_rng(7), []
    for index in range(IMAGES):
        small = (255 * rng.uniform(size=(5, 5)) ** 12).astype(np.uint8)  # dark, with few bright spots
        picture = Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index}.png")
        pictures.append(np.asarray(picture, np.float32)[None, None] / 255)
    (folder / "calib.txt").write_text("\n".join(f"{index}.png" for index in range(IMAGES)))

    def build(seed, spread, **quantization):
        model = folder / f"net{seed}_{spread}.onnx"
        sub_pixel_network(model, seed, spread, pictures)
        return quantizer(folder, model, "subpixel", mean=0, stddev=255, **quantization)

    return build


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize(("seed", "spread"), [(0, 0.8), (1, 1.5)])
def test_auto_never_lowers_the_ratio(quantizer_of, seed, spread, level):
    off, auto = (quantizer_of(seed, spread, equalization=value) for value in (False, "auto"))
    without, found = ratios([off, auto], level)
    assert (found >= without - 1e-9).all()


def test_every_pair_would_lower_it(quantizer_of):
    """What auto is measured against: all pairs cost some of these networks more than half a dB."""
    lost = []
    for seed, spread in ((0, 0.8), (1, 1.5), (2, 0.3), (3, 2.5)):
        off, every = (quantizer_of(seed, spread, equalization=value) for value in (False, True))
        without, found = ratios([off, every], 3)
        lost.append(without[0] - found[0])
    assert max(lost) > 0.5, lost


def test_what_is_taken_back_is_said(quantizer_of):
    quantizer = quantizer_of(1, 1.5)
    told = quantizer.networks.decisions(Rewrites(equalization=True, judged="channel", groups=0))
    whys = {item.why for item in told if item.what == "not equalized"}
    named = {"the predicted noise does not fall", "taken back: the calibration images' outputs lose by it"}
    assert whys & named
    assert whys - named == {"DepthToSpace d2s does not commute with a factor a channel"}
    assert not [item for item in told if item.what == "channels equalized"]
