"""Layers over several pictures at once (frames, tiles): a front axis of more than 1; 0 integers may differ.

Kernels over windows read one picture; a reshape or a transpose can put several in front of them.
"""

from __future__ import annotations

import numpy as np
import pytest
from plans import Op, build_plan, params, random_integers
from portable_c import build, extremes, subject

from slimai.quantizer.params import S8
from slimai.quantizer.plan import QWeight
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

PICTURES = 4
WINDOW = {"strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
POOL = {"kernel_shape": (2, 2), "strides": (2, 2), "pads": (0,) * 4, "dilations": (1, 1), "ceil_mode": 0}
SAME, OTHER, UNIT = params("s8", 0.1, 3), params("s8", 0.2, -4), params("s8", 2.0**-8, -128)


def weight(rng, *shape):
    channels = shape[0]
    return QWeight(random_integers(rng, S8, shape), S8, rng.uniform(0.001, 0.01, channels))


def cases(rng):
    """Return name -> (operator, output shape, output grid) on [4, 3, 6, 6]."""
    square, sizes = weight(rng, 5, 3, 3, 3), (PICTURES, 3, 9, 9)
    turned = QWeight(square.values.swapaxes(0, 1).copy(), S8, square.scale)
    resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "sizes": sizes,
              "scales": (1.0, 1.0, 1.5, 1.5)}  # fmt: skip
    rows = {place: (rng.integers(-32768, 32768, 3).astype(np.int16), params("s16", 1 / 32767)) for place in (1, 2)}
    return {
        "conv": (Op("Conv", ("b",), "c", {**WINDOW, "group": 1}, square), (5, 6, 6), OTHER),
        "depthwise": (Op("Conv", ("b",), "c", {**WINDOW, "group": 3}, weight(rng, 3, 1, 3, 3)), (3, 6, 6), OTHER),
        "transposed": (Op("ConvTranspose", ("b",), "c", {**WINDOW, "group": 1}, turned), (5, 6, 6), OTHER),
        "max": (Op("MaxPool", ("b",), "c", POOL), (3, 3, 3), OTHER),
        "average": (Op("AveragePool", ("b",), "c", {**POOL, "count_include_pad": 0}), (3, 3, 3), OTHER),
        "tied_average": (Op("AveragePool", ("b",), "c", {**POOL, "count_include_pad": 0}), (3, 3, 3), SAME),
        "mean": (Op("GlobalAveragePool", ("b",), "c"), (3, 1, 1), OTHER),
        "resize": (Op("Resize", ("b",), "c", resize), sizes[1:], OTHER),
        "nearest": (Op("Resize", ("b",), "c", {**resize, "mode": "nearest"}), sizes[1:], SAME),
        "instance": (Op("InstanceNormalization", ("b",), "c", {"epsilon": 1e-5}, operands=rows), (3, 6, 6), OTHER),
        "softmax": (Op("Softmax", ("b",), "c", {"axis": 1, "interpolated": 0}), (3, 6, 6), UNIT),
        "depth": (Op("SpaceToDepth", ("b",), "c", {"blocksize": 2}), (12, 3, 3), SAME),
    }


@pytest.mark.parametrize(("preset", "dtype"), [("single", "s8"), ("gemmlowp", "s8"), ("gemmlowp", "u8")])
def test_layers_over_several_pictures(preset, dtype, tmp_path):
    subjects, whole = [], (PICTURES, 3, 6, 6)
    for name, (item, out, grid) in cases(np.random.default_rng(0)).items():
        grids = {"x": SAME, "b": SAME, "c": grid}
        if dtype == "u8":
            grids = {key: params("u8", value.scale, value.zero_point + 128) for key, value in grids.items()}
        ops = [Op("Reshape", ("x",), "b", {"shape": whole}), item]
        shapes = {"x": (1, 12, 6, 6), "b": whole, "c": (PICTURES, *out)}
        plan = build_plan(ops, shapes, grids, ("x",), ("c",))
        program = compile_plan(plan, TargetSection(), arithmetic=preset)
        subjects.append(subject(program, TargetSection(), tmp_path, name))
    build(subjects, tmp_path)
    wrong = {item.network.prefix: found for item in subjects if (found := item.differences(extremes(item.program)))}
    assert wrong == {}
