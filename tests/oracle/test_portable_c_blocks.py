"""Layers larger than the blocks that C's kernels work in, and not multiples of them; 0 integers may differ.

Kernels take eight channels, stretches of 128 taps (depthwise: tiles of 32) and up to 32 pixels at once.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from drawn_layers import grid, one, random_weight, window_output
from portable_c import subject
from test_portable_c_shapes import check

from slimai.graph.ir import Node
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def _layer(rng, dtype, group, depth, share, kernel, stride, dilation, size):
    before, after = (tuple(int(rng.integers(0, k)) for k in kernel) for _ in range(2))
    out = [window_output(*item) for item in zip(size, kernel, stride, dilation, before, after, strict=True)]
    attrs = {"strides": stride, "dilations": dilation, "pads": (*before, *after), "group": group}
    weight = random_weight(rng, (share * group, depth, *kernel), dtype, share * group)
    if rng.integers(0, 2):  # channels whose shifts are far from the others'
        weight.scale[rng.integers(0, weight.scale.size, 2)] *= 2.0 ** -rng.integers(4, 24, 2)
    bias = rng.integers(-30000, 30000, share * group)
    if rng.integers(0, 2):  # outputs that grow by many steps with a sum, and dead channels with a bias beyond all sums
        steep, dead = rng.integers(0, weight.scale.size, (2, 2))
        weight.scale[steep] *= 2.0 ** rng.integers(3, 9, 2)
        weight.values[dead], bias[dead] = 0, rng.choice([-1, 1], 2) * (2**30 - rng.integers(0, 99, 2))
    clamp = Node("relu", "Relu", (), (), {}) if rng.integers(0, 2) else None
    shapes = (1, depth * group, *size), (1, share * group, *out)
    return one("Conv", *shapes, attrs, grid(rng, dtype), grid(rng, dtype, 9.0),
               weight=weight, bias=bias, activation=clamp)  # fmt: skip


def convolution(rng, dtype):
    side = int(rng.choice([1, 2, 3]))
    depth = int(rng.choice([1, 3, 8, 16, 31, 43, 128, 140]))
    share, group = int(rng.choice([1, 7, 8, 9, 20])), int(rng.choice([1, 1, 2]))
    stride = tuple(int(n) for n in rng.choice([1, 1, 2], 2))
    return _layer(rng, dtype, group, depth, share, (side, side), stride, (1, int(rng.choice([1, 2]))), (7, 11))


def depthwise(rng, dtype):
    kernel = [(3, 3), (5, 5), (7, 7), (1, 9), (9, 1), (1, 40), (2, 2), (11, 11)][int(rng.integers(8))]
    channels, repeat = int(rng.choice([3, 8, 12, 24])), int(rng.choice([1, 1, 2]))
    stride, dilation = (tuple(int(n) for n in rng.choice([1, 2], 2)) for _ in range(2))
    return _layer(rng, dtype, channels, 1, repeat, kernel, stride, dilation, (20, 83))


def pointwise(rng, dtype):
    """1 x 1: patches are read where they lie, but the last ones of depths that are no multiple of 16."""
    depth, share = int(rng.choice([1, 3, 8, 16, 24, 32, 48, 130, 144])), int(rng.choice([4, 8, 11, 16]))
    height, width, group = int(rng.integers(1, 9)), int(rng.integers(1, 15)), int(rng.choice([1, 1, 2]))
    weight = random_weight(rng, (share * group, depth, 1, 1), dtype, share * group)
    attrs = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "group": group}
    shapes = (1, depth * group, height, width), (1, share * group, height, width)
    return one("Conv", *shapes, attrs, grid(rng, dtype), grid(rng, dtype, 9.0),
               weight=weight, bias=rng.integers(-30000, 30000, share * group))  # fmt: skip


@pytest.mark.parametrize("preset", ["xi_sym", "gemmlowp", "single"])
@pytest.mark.parametrize("maker", [convolution, depthwise, pointwise], ids=lambda item: item.__name__)
def test_blocks(maker, preset, tmp_path):
    subjects = []
    for number in range(16):
        rng = np.random.default_rng(zlib.crc32(f"{maker.__name__} {preset} {number}".encode()))
        program = compile_plan(maker(rng, ("s8", "u8")[number % 2]), TargetSection(), arithmetic=preset)
        subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}"))
    check(subjects, tmp_path)
