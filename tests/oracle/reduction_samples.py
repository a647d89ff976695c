"""Samples and scalar models of normalizations, reductions and moves by constant indices."""

from __future__ import annotations

import math

import numpy as np
import scalar_models as scalar
from operator_case import SHAPE, Model, Sample, flat, gathered


def reals(case, position, count):
    """Return the reals of a quantized constant; zeros where it is absent."""
    if position >= len(case.x):
        return [0.0] * count
    grid = case.ins[position]
    return [grid.scale * (value - grid.zero) for value in flat(np.broadcast_to(case.x[position], count))]


def layer_norm(case):
    size = math.prod(case.x[0].shape[case.attrs["axis"] :])
    gain, bias = reals(case, 1, size), reals(case, 2, size)
    return [[y for row in case.x[0].reshape(-1, size).tolist()
             for y in scalar.normalized(
                 row, case.ins[0], gain, bias, case.attrs["epsilon"], case.outs[0])]]  # fmt: skip


def instance_norm(case):
    found, (channels, *sizes) = [], case.x[0].shape[1:]
    gain, bias, size = reals(case, 1, channels), reals(case, 2, channels), math.prod(sizes)
    for c, row in enumerate(case.x[0].reshape(channels, size).tolist()):
        own = [gain[c]] * size, [bias[c]] * size
        found += scalar.normalized(row, case.ins[0], *own, case.attrs["epsilon"], case.outs[0], (gain, bias))
    return [found]


def _slices(case):
    """Return the slices of the input over which a reduction goes, in the order of its outputs."""
    x, axes = case.x[0], case.attrs["axes"]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    return x.transpose(*kept, *axes).reshape(math.prod(x.shape[axis] for axis in kept), -1).tolist()


def picked(function) -> Model:
    return lambda case: [case.moved([function(part) for part in _slices(case)])]


def reduce_sum(case):
    x_q, y_q = case.ins[0], case.outs[0]
    tail = y_q.tail(case.rule, x_q.scale / y_q.scale)
    return [[tail(sum(v - x_q.zero for v in part)) for part in _slices(case)]]


def reduce_l2(case):
    return [[scalar.root_of_squares(part, case.ins[0], case.outs[0]) for part in _slices(case)]]


def scatter_nd(case):
    data, updates = case.moved(flat(case.x[0]), 0, 0), case.moved(flat(case.x[1]), 0, 1)
    depth, (_, channels, height, width) = case.attrs["shape"][-1], case.x[0].shape
    assert depth == 2
    indices = case.attrs["indices"]
    for number in range(len(indices) // 2):
        assert indices[2 * number] == 0
        for place in range(height * width):
            data[indices[2 * number + 1] * height * width + place] = updates[number * height * width + place]
    assert channels > max(indices)
    return [data]


REDUCTIONS: dict[str, tuple[Sample, ...]] = {
    "LayerNormalization": (
        Sample(layer_norm, ((1, 5, 12),), ((1, 5, 12),), {"axis": 2, "epsilon": 1e-5}, {1: (12,), 2: (12,)}),
        Sample(layer_norm, ((1, 3, 30),), ((1, 3, 30),), {"axis": 2, "epsilon": 1e-12}, {1: (30,)}),
    ),
    "InstanceNormalization": (Sample(instance_norm, attrs={"epsilon": 1e-5}, constants={1: (4,), 2: (4,)}),),
    **{
        op: (Sample(model, outputs=((1, 4, 6),), attrs={"axes": (2,), "keepdims": 0}),
             Sample(model, outputs=((1, 1, 6, 6),), attrs={"axes": (1,), "keepdims": 1}))
        for op, model in (("ReduceMax", picked(max)), ("ReduceMin", picked(min)), ("ReduceSum", reduce_sum),
                          ("ReduceL2", reduce_l2))
    },
    "Gather": (
        Sample(gathered(lambda _case, at: (at[0], (3, 0, 0)[at[1]], *at[2:])), outputs=((1, 3, 6, 6),),
               attrs={"axis": 1, "indices": (3, 0, 0), "shape": (3,)}),
        Sample(gathered(lambda _case, at: (*at[:3], 5)), outputs=((1, 4, 6),),
               attrs={"axis": 3, "indices": (5,), "shape": ()}),
        Sample(gathered(lambda _case, at: (*at[:2], ((0, 2), (5, 1))[at[2]][at[3]], at[4])), outputs=((1, 4, 2, 2, 6),),
               attrs={"axis": 2, "indices": (0, 2, 5, 1), "shape": (2, 2)}),
    ),
    "Tile": (
        Sample(gathered(lambda _case, at: (at[0], at[1] % 4, at[2], at[3] % 6)), outputs=((1, 8, 6, 18),),
               attrs={"repeats": (1, 2, 1, 3)}),
    ),
    "ScatterND": (
        Sample(scatter_nd, (SHAPE, (1, 2, 6, 6)), attrs={"indices": (0, 3, 0, 1), "shape": (1, 2, 2)}),
        Sample(scatter_nd, constants={1: (1, 2, 6, 6)}, attrs={"indices": (0, 0, 0, 2), "shape": (1, 2, 2)}),
    ),
}  # fmt: skip
