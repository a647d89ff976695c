"""The cycle model: three layers by hand, and what it must rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from plans import Op, build_plan, params

from slimai.quantizer.params import S8, S16
from slimai.quantizer.plan import QWeight
from slimai.schema.performance import PerformanceSection
from slimai.schema.target import TargetSection
from slimai.simulator.cost import estimate

ROOT = Path(__file__).resolve().parents[3]

SQUARE = {"strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1), "group": 1}


def target(**changes):
    values = {
        "macs_per_cycle": {"s8s8": 256, "u8s8": 256, "s16s8": 128, "s16s16": 64},
        "elementwise_lanes": {"bits8": 128, "bits16": 64}, "dma_bytes_per_cycle": 8, "local_memory_bytes": 65536,
        "tcm_reserve_low": 0, "tcm_reserve_high": 0,
    }  # fmt: skip
    return TargetSection.model_validate({**values, **changes})


def clock(frequency=500.0):
    return PerformanceSection(dsp_frequency=frequency, read_delay=150, write_delay=150)


def network(activation="s8", weights=S8):
    """x [1, 16, 20, 20] -> Conv 3x3 to 32 -> depthwise 3x3 -> Add to itself."""
    rng = np.random.default_rng(0)

    def weight(*shape):
        return QWeight(rng.integers(-9, 9, shape).astype(weights.numpy), weights, np.full(shape[0], 0.1))

    bias = np.zeros(32, np.int64)
    ops = [
        Op("Conv", ("x",), "a", SQUARE, weight(32, 16, 3, 3), bias),
        Op("Conv", ("a",), "b", {**SQUARE, "group": 32}, weight(32, 1, 3, 3), bias, kind="DepthwiseConv"),
        Op("Add", ("a", "b"), "y"),
    ]
    shapes = {"x": (1, 16, 20, 20), "a": (1, 32, 20, 20), "b": (1, 32, 20, 20), "y": (1, 32, 20, 20)}
    return build_plan(ops, shapes, {name: params(activation, 0.1) for name in shapes}, ("x",), ("y",))


def test_three_layers_by_hand():
    found = estimate(network(), target(), clock())
    conv, depthwise, add = found.layers
    # 400 pixels x 32 outputs x 144 products at 256 a cycle
    assert (conv.macs, conv.compute) == (1_843_200, 7200.0)
    # 6400 in + 12800 out + 4608 weights + 128 bias bytes at 8 a cycle, in one tile: + 300
    assert (conv.moved, conv.memory) == (23_936, 23_936 / 8 + 300)
    assert conv.cycles == 7200.0
    # 12800 x 9 products take 450 cycles; 12800 in + 12800 out + 288 + 128 bytes
    assert (depthwise.macs, depthwise.compute) == (115_200, 450.0)
    assert depthwise.cycles == depthwise.memory == 26_016 / 8 + 300
    # two inputs of 12800 elements at 128 a cycle; 38400 bytes, twice that do not fit 65536: two tiles
    assert (add.macs, add.compute) == (0, 200.0)
    assert add.cycles == add.memory == 38_400 / 8 + 2 * 300
    total = 7200.0 + 26_016 / 8 + 300 + 38_400 / 8 + 600
    assert found.cycles == pytest.approx(total, rel=1e-12)
    assert found.milliseconds == pytest.approx(total / 500e3, rel=1e-12)
    assert found.by_pair() == {"s8s8": pytest.approx(total, rel=1e-12)}


def test_types_rank_as_their_widths():
    eight, mixed, wide = (
        estimate(network(*types), target(), clock()).cycles for types in (("s8", S8), ("s16", S8), ("s16", S16))
    )
    assert estimate(network("u8", S8), target(), clock()).cycles == eight < mixed < wide


def test_time_goes_with_the_clock_and_memory_with_the_bus():
    plan = network()
    assert estimate(plan, target(), clock(250.0)).milliseconds == 2 * estimate(plan, target(), clock()).milliseconds
    slow = estimate(plan, target(dma_bytes_per_cycle=1), clock())
    assert all(layer.cycles == layer.memory for layer in slow.layers)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "target").glob("*.yaml")))
def test_a_target_is_a_file(repo_root, name):
    text = Path(repo_root, "conf", "target", f"{name}.yaml").read_text("utf-8")
    section = TargetSection.model_validate(yaml.safe_load(text))
    assert section.name == name
    cost = estimate(network(), section, clock())
    assert cost.cycles > 0
    assert "source" in text


def test_the_small_core_is_slower(repo_root):
    folder = Path(repo_root, "conf", "target")
    fast, slow = (
        TargetSection.model_validate(yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8")))
        for name in ("vision_dsp", "cortex_m55")
    )
    assert estimate(network(), slow, clock()).cycles > 10 * estimate(network(), fast, clock()).cycles
