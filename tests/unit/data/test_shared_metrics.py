"""Preprocessing on real pictures: published float accuracies come out again."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from slimai.data.image_list import parse_image_list
from slimai.data.loader import iter_batches
from slimai.data.preprocess import preprocess_for
from slimai.graph.load import load_onnx
from slimai.runtime.session import FloatSession


def section(**changes):
    plain = {
        "input_data_layout": "NCHW",
        "channel_order": "RGB",
        "mean": (0.0,),
        "stddev": (1.0,),
        "resize": None,
        "input_node_name": {},
    }
    return SimpleNamespace(**{**plain, **changes})


def center_crop():
    return SimpleNamespace(
        mode="center_crop", short_side=None, pad_value=(0.0,), anchor="center", interpolation="bicubic"
    )


CASES = {
    "resnet20": (
        "resnet20_cifar10",
        "cifar10",
        section(mean=(123.675, 116.28, 103.53), stddev=(58.395, 57.12, 57.375)),
        1000,
        801,
    ),
    "mobilenet": (
        "mobilenet_v1_0.25_224_imagenet",
        "imagenet_sample",
        section(
            mean=(127.5,),
            stddev=(127.5,),
            resize=SimpleNamespace(**{**vars(center_crop()), "short_side": 256}),
        ),
        300,
        169,
    ),
}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_float_top1_is_reproduced(shared_data, case):
    model, dataset, network, count, expected = CASES[case]
    graph = load_onnx(shared_data / "models" / "onnx" / f"{model}.onnx")
    folder = shared_data / "datasets" / dataset
    samples, problems = parse_image_list(folder / "val.txt", folder, count)
    assert problems == []
    assert len(samples) == count
    preprocess = preprocess_for(network, {name: graph.shape(name) for name in graph.inputs})
    assert preprocess.check(samples) == []
    session = FloatSession(graph)
    hits = 0
    for group, arrays in iter_batches(samples, preprocess, 16):
        (scores,) = session.run(arrays).values()
        hits += sum(int(np.argmax(row)) == int(item.labels[0]) for item, row in zip(group, scores, strict=True))
    assert hits == expected
