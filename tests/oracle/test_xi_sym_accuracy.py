"""What `xi_sym` costs in accuracy: level 1 against the same plan with requantization that makes no error."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_requantizer import ExactRequantizer, make_exact, round_half_up
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plans import program

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.runtime.session import FloatSession
from slimai.simulator.context import LayerContext

IMAGES = 300
IMAGENET = ("mobilenet_v1_0.25_224_imagenet", "imagenet_sample", 224, (127.5,) * 3, (127.5,) * 3)
CIFAR = ("resnet20_cifar10", "cifar10", 32, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@given(
    st.integers(-(2**36) + 1, 2**36 - 1),
    st.floats(2.0**-40, 2.0**8),
    st.booleans(),
)
def test_the_exact_requantizer_equals_fractions(acc, real, tie):
    if tie:  # acc * M = n + 1/2
        real = 2.0 ** np.floor(np.log2(real))
    expected = (Fraction(acc) * Fraction(real) + Fraction(1, 2)).__floor__()
    assert round_half_up(np.array([acc]), np.array([real]))[0] == expected
    assert round_half_up(np.array([[acc, acc]]), np.array([real, 0.3])).tolist()[0][0] == expected


def pictures(folder, listing, count, size, mean, spread):
    """Return pictures from all over a list, cut from the middle, [N, 3, H, W] float32, and their labels."""
    images, labels = [], []
    lines = (folder / listing).read_text().splitlines()[1:]
    for line in lines[:: len(lines) // count][:count]:
        path, label = line.split()
        with Image.open(folder / path) as picture:
            pixels = np.asarray(picture.convert("RGB"), np.float32)
        top, left = ((length - size) // 2 for length in pixels.shape[:2])
        pixels = pixels[top : top + size, left : left + size]
        images.append(((pixels - np.float32(mean)) / np.float32(spread)).transpose(2, 0, 1))
        labels.append(int(label))
    return np.stack(images), np.array(labels)


def answers(runner, images):
    name, output = runner.plan.graph.inputs[0], runner.plan.graph.outputs[0]
    parts = [runner.run({name: images[at : at + 25]})[output] for at in range(0, len(images), 25)]
    return np.concatenate(parts).reshape(len(images), -1)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "data", "size", "mean", "spread"), [IMAGENET, CIFAR], ids=["mobilenet", "resnet20"]
)
def test_xi_sym_costs_no_accuracy(shared_data, monkeypatch, network, data, size, mean, spread):
    """Top-1 of 300 pictures within 0.01 (3 pictures) of exact requantization."""
    graph = load_onnx(shared_data / "models" / "onnx" / f"{network}.onnx")
    folder = shared_data / "datasets" / data
    calibration, _ = pictures(folder, "calib.txt", 48, size, mean, spread)
    images, labels = pictures(folder, "val.txt", IMAGES, size, mean, spread)
    plan = build_plan(graph, collect(graph, [{graph.inputs[0]: calibration}]), QuantOptions(level=1))
    found = answers(program(plan, "xi_sym"), images)
    made = []
    compiled = LayerContext.requantizer_of
    monkeypatch.setattr(
        LayerContext, "requantizer_of", lambda *given, **named: made.append(compiled(*given, **named)) or made[-1]
    )
    exact = answers(program(plan, make_exact(monkeypatch)), images)
    assert len(made) > 19
    assert all(isinstance(item, ExactRequantizer) for item in made)
    assert not np.array_equal(found, exact)  # the multipliers of xi_sym do round
    real = FloatSession(graph).run({graph.inputs[0]: images})[graph.outputs[0]].reshape(len(images), -1)
    right = [int((values.argmax(axis=1) == labels).sum()) for values in (found, exact, real)]
    assert 100 * abs(right[0] - right[1]) <= IMAGES, right
    assert 100 * abs(right[1] - right[2]) <= 3 * IMAGES, right  # a good plan: there is accuracy to lose
    assert 2 * right[2] > IMAGES
