"""A clamp with one upper limit a channel: every integer equals the scalar model's, and every preset's scalar clamp.

The scalar models (Python integers, `xi_sym` and `single`) run once a channel with that channel's limit. For all
presets each channel equals the same layer with that one limit as a scalar Clip, whose oracles are LiteRT and ONNX
Runtime in other tests. Tolerance 0 throughout.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
import scalar_models as scalar
from plans import Op, one_op, params, program, random_integers

from slimai.graph.ir import Node
from slimai.quantizer.key import plan_key
from slimai.quantizer.params import S8, S16
from slimai.quantizer.plan import QWeight
from slimai.simulator.requantize import PRESETS

SQUARE = {"strides": (1, 1), "dilations": (1, 1), "group": 1}
UP = {**SQUARE, "strides": (2, 2), "pads": (0,) * 4, "output_padding": (0, 0)}
CHANNELS = 6
OUT = {"s8": ("s8", 0.05, 0), "u8": ("u8", 0.02, 0), "asymmetric": ("u8", 0.03, 90), "s16": ("s16", 0.0002, 0)}
HIGH = (6.0, 0.4, 2.2, 1.15, 0.013, 900.0)  # one beyond the type, one below a step of the coarser grids


def clip(high):
    return Node("relu6", "Clip", (), (), {"lo": 0.0, "hi": high})


class Case:
    """One operator with a clamp: its plan for any limits, its inputs, and its scalar model."""

    def __init__(self, kind: str, grid: str) -> None:
        self.kind = kind
        self.rng = np.random.default_rng(zlib.crc32(repr((kind, grid)).encode()))
        dtype = "s16" if grid == "s16" else "s8"
        self.x, self.y = params(dtype, 3.0 / (32767 if grid == "s16" else 127)), params(*OUT[grid])
        self.weights = S16 if grid == "s16" else S8
        self.inputs = ("a", "b") if kind == "Add" else ("x",)
        self.in_shape = (2, CHANNELS) if kind == "Gemm" else (2, CHANNELS, 5, 4)
        self.values = {name: random_integers(self.rng, self.x, self.in_shape) for name in self.inputs}
        self.weight, self.bias = self._weight()
        self.out_shape = (1, *self.expected("single", HIGH, only=0).shape[1:])

    def _weight(self):
        shapes = {
            "Conv": (CHANNELS, CHANNELS, 3, 2), "DepthwiseConv": (CHANNELS, 1, 3, 3), "Gemm": (CHANNELS, CHANNELS),
            "ConvTranspose": (CHANNELS, CHANNELS, 2, 2),
        }  # fmt: skip
        if self.kind not in shapes:
            return None, None
        high, axis = self.weights.high, int(self.kind == "ConvTranspose")
        values = self.rng.integers(-high, high + 1, shapes[self.kind]).astype(self.weights.numpy)
        scale = self.rng.uniform(0.3, 1.0, CHANNELS).astype(np.float32).astype(float) / high
        return QWeight(values, self.weights, scale, axis), self.rng.integers(-300, 2000, CHANNELS)

    @property
    def attrs(self):
        pads = {**SQUARE, "pads": (1, 1, 1, 1)}
        window = {"kernel_shape": (2, 2), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "ceil_mode": 0}
        return {
            "Conv": pads, "DepthwiseConv": {**pads, "group": CHANNELS}, "ConvTranspose": UP, "Gemm": {"transB": 1},
            "AveragePool": {**window, "count_include_pad": 0},
        }.get(self.kind, {})  # fmt: skip

    def plan(self, high):
        op, clamp = self.kind.removeprefix("Depthwise"), clip(high)
        if self.kind == "Clip":
            item = Op("Clip", self.inputs, "y", dict(clamp.attrs))
        else:
            item = Op(op, self.inputs, "y", self.attrs, self.weight, self.bias, activation=clamp, kind=self.kind)
        shapes = dict.fromkeys(self.inputs, (1, *self.in_shape[1:]))
        return one_op(item, shapes, self.out_shape, dict.fromkeys(self.inputs, self.x), self.y)

    def expected(self, rule, high, only=None):
        """Return [N, C, ...] integers: each channel of the scalar model under its own limit."""
        found = []
        for sample in zip(*(self.values[name] for name in self.inputs), strict=True):
            channels = range(CHANNELS) if only is None else (only,)
            found.append([self._channel(rule, sample, high[c], c) for c in channels])
        return np.array(found)

    def _channel(self, rule, sample, high, c):
        y, x = scalar.Quantity(self.y, high), scalar.Quantity(self.x)
        plane = sample[0][c]
        flat = plane.ravel().tolist()
        if self.kind in {"Conv", "DepthwiseConv"}:
            group = self.attrs["group"]
            source = sample[0] if group == 1 else sample[0][c : c + 1]
            kernel, bias = self.weight.values[c : c + 1].tolist(), self.bias[c : c + 1].tolist()
            scale = self.weight.scale[c : c + 1].tolist()
            return scalar.conv(
                rule, source.tolist(), x, kernel, scale, bias, y, self.attrs["strides"], self.attrs["pads"], (1, 1), 1
            )[0]
        if self.kind == "ConvTranspose":
            kernel, scale = self.weight.values[:, c : c + 1].tolist(), self.weight.scale[c : c + 1].tolist()
            return scalar.conv_transpose(
                rule, sample[0].tolist(), x, kernel, scale, self.bias[c : c + 1].tolist(), y, 2
            )[0]
        if self.kind == "Gemm":
            row, scale = self.weight.values[c : c + 1].tolist(), self.weight.scale[c : c + 1].tolist()
            return scalar.dense(rule, sample[0].tolist(), x, row, scale, self.bias[c : c + 1].tolist(), y)[0]
        if self.kind == "Add":
            made = scalar.add(rule, flat, x, sample[1][c].ravel().tolist(), x, y)
        elif self.kind == "Clip":
            made = scalar.requantize(rule, flat, x, y)
        else:
            rows, columns = plane.shape
            windows = [
                plane[i : i + 2, j : j + 2].ravel().tolist() for i in range(rows - 1) for j in range(columns - 1)
            ]
            return np.reshape(scalar.average(rule, windows, x, y), (rows - 1, columns - 1)).tolist()
        return np.reshape(made, plane.shape).tolist()


KINDS = ("Conv", "DepthwiseConv", "ConvTranspose", "Gemm", "Add", "AveragePool", "Clip")


@pytest.mark.parametrize("grid", OUT)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["xi_sym", "single"])
def test_every_integer_is_the_scalar_models(rule, kind, grid):
    case = Case(kind, grid)
    found = program(case.plan(HIGH), rule).run(case.values)["y"]
    assert np.array_equal(found, case.expected(rule, HIGH))
    one = program(case.plan(max(HIGH)), rule).run(case.values)["y"]
    assert 0 < np.count_nonzero(found != one) < found.size, "the limits must cut something, not all"


@pytest.mark.parametrize("grid", OUT)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_each_channel_equals_a_scalar_clamp_of_its_limit(preset, kind, grid):
    case = Case(kind, grid)
    channels_last = {
        name: np.ascontiguousarray(np.moveaxis(value, 1, -1)).transpose(0, value.ndim - 1, *range(1, value.ndim - 1))
        for name, value in case.values.items()
    }
    runner = program(case.plan(HIGH), preset, threads=2)
    found = runner.run(case.values)["y"]
    assert np.array_equal(runner.run(channels_last)["y"], found)
    for c, high in enumerate(HIGH):
        assert np.array_equal(found[:, c], program(case.plan(high), preset).run(case.values)["y"][:, c]), c


def test_the_exported_tables_hold_the_limits():
    """zero point + round_half_even(limit / scale), not beyond the type; TFLite's recipe rounds half away from zero."""
    case = Case("Conv", "asymmetric")
    case.y = params("u8", 0.5, 10)
    plan = case.plan((1.25, 6.0, 1000.0, 0.2, 0.75, 3.0))
    for preset, expected in (("single", [12, 22, 255, 10, 12, 16]), ("gemmlowp", [13, 22, 255, 10, 12, 16])):
        assert program(plan, preset).table()["Conv_0__0/clamp_high"].tolist() == expected
    assert "Conv_0__0/clamp_high" not in program(case.plan(6.0), "single").table()


@pytest.mark.parametrize("kind", ["Conv", "Add", "Clip"])
def test_limits_that_one_grid_cannot_tell_apart_are_one_clamp(kind):
    case = Case(kind, "s8")
    near = tuple(2.0 + 0.003 * c for c in range(CHANNELS))  # steps of 0.05
    runner = program(case.plan(near), "xi_sym")
    assert set(runner.table()[f"{case.plan(near).layers[0].name}/clamp_high"]) == {40}
    found = runner.run(case.values)["y"]
    assert np.array_equal(found, program(case.plan(2.0), "xi_sym").run(case.values)["y"])
    assert found.max() == 40


def test_plans_that_differ_in_one_limit_have_different_keys():
    case = Case("Conv", "u8")
    keys = [plan_key(case.plan(high)) for high in (HIGH, (*HIGH[:-1], 901.0), 6.0)]
    assert len(set(keys)) == 3
    assert plan_key(Case("Conv", "u8").plan(HIGH)) == keys[0]
    plan = case.plan(HIGH)
    assert plan_key(replace(plan, level=plan.level + 1)) == keys[0]
