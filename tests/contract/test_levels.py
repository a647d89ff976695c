"""A level is its `Scheme`: the table is what the code reads, so a cell that changes changes the integers."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from operators import SQUARE

from slimai.calibration.collect import collect
from slimai.config.diagnose import judge_values
from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.quantizer.key import plan_key
from slimai.quantizer.levels import LEVELS, Scheme
from slimai.quantizer.mix_rules import MixRule, expand_rules
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.params import S8, S16, U8
from slimai.quantizer.planner import build_plan
from slimai.quantizer.rewrites.aids import DEFAULTS
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

RNG = np.random.default_rng(5)
SHAPE = (1, 3, 6, 6)
FEEDS = {"x": RNG.normal(0, 1, SHAPE).astype(np.float32)}


def network() -> Graph:
    """Conv + Relu -> Conv -> Sigmoid: signed, never negative, and a fixed range."""
    constants = {
        f"{part}{number}": (RNG.normal(0, 1, shape) * scale).astype(np.float32)
        for number in (1, 2)
        for part, shape, scale in (("w", (3, 3, 1, 1), np.array([[[[0.2]]], [[[1.0]]], [[[3.0]]]])), ("b", (3,), 0.1))
    }
    attrs = {**SQUARE, "pads": (0,) * 4}
    nodes = (
        Node("first", "Conv", ("x", "w1", "b1"), ("c",), attrs),
        Node("relu", "Relu", ("c",), ("r",)),
        Node("second", "Conv", ("r", "w2", "b2"), ("d",), attrs),
        Node("gate", "Sigmoid", ("d",), ("y",)),
    )
    infos = {name: TensorInfo(name, SHAPE) for name in ("x", "c", "r", "d", "y")}
    infos |= {name: TensorInfo(name, value.shape) for name, value in constants.items()}
    return Graph("net", nodes, ("x",), ("y",), infos, constants, batchable=False)


GRAPH = network()
STATS = collect(GRAPH, iter([FEEDS]), per_channel=True)


def plan_of(level, **options):
    return build_plan(GRAPH, STATS, QuantOptions(level=level, **options), TargetSection())


def changed(scheme: Scheme, column: str) -> Scheme:
    """Return the scheme with another value in one cell; a type for tensors that cannot be negative has to go along."""
    value = getattr(scheme, column)
    if isinstance(value, bool):
        return replace(scheme, nonnegative=None, **{column: not value})
    if column == "nonnegative":
        return replace(scheme, asymmetric=False, nonnegative=U8 if value is None and scheme.bits == 8 else None)
    keeps = {} if column == "weights" else {"nonnegative": None}
    return replace(scheme, **{column: {S8: S16, S16: S8, U8: S8}[value], **keeps})


CELLS = [
    (level, item.name)
    for level in LEVELS
    for item in fields(Scheme)
    if item.name != "other" and (level, item.name) != (4, "nonnegative")  # no kernel has u16
]


@pytest.mark.parametrize(("level", "column"), CELLS)
def test_a_cell_that_changes_changes_the_integers(level, column, monkeypatch):
    before = plan_key(plan_of(level))
    monkeypatch.setitem(LEVELS, level, changed(LEVELS[level], column))
    after = plan_of(level)
    assert plan_key(after) != before
    program = compile_plan(after, TargetSection())
    assert program.run(FEEDS)["y"].dtype == after.tensors["y"].dtype.numpy


def test_level_four_set_to_eight_bits_is_level_one(monkeypatch):
    wide = plan_of(4)
    assert {params.dtype for params in wide.tensors.values()} == {S16}
    monkeypatch.setitem(LEVELS, 4, LEVELS[1])
    assert plan_key(plan_of(4)) == plan_key(plan_of(1)) != plan_key(wide)


def test_layers_of_another_width_have_the_types_of_the_level_that_the_cell_names(monkeypatch):
    mixed = {"datatypes": {"second": (16, 16)}}
    before = plan_of(1, **mixed)
    weights = {layer.node.name: layer.weight.dtype for layer in before.layers if layer.weight is not None}
    assert weights == {"first": S8, "second": S16}
    monkeypatch.setitem(LEVELS, 9, replace(LEVELS[4], weights=S8))
    monkeypatch.setitem(LEVELS, 1, replace(LEVELS[1], other=9))
    after = plan_of(1, **mixed)
    assert {layer.weight.dtype for layer in after.layers if layer.weight is not None} == {S8}
    assert plan_key(after) == plan_key(plan_of(1, **mixed, level4_weights="s8")) != plan_key(before)


def test_without_another_level_there_is_no_mixed_precision(monkeypatch):
    rules = (MixRule(("second",), 16, 16),)
    assert expand_rules(GRAPH, 1, rules).datatypes == {"second": (16, 16)}
    monkeypatch.setitem(LEVELS, 1, replace(LEVELS[1], other=None))
    with pytest.raises(InputError, match="not possible at accuracy level 1; use levels 2 to 4"):
        expand_rules(GRAPH, 1, rules)
    with pytest.raises(InputError, match="no integer types of this many bits"):
        plan_of(1, datatypes={"second": (16, 16)})


def test_every_level_has_its_accuracy_aids():
    assert set(DEFAULTS) == set(LEVELS)


def problems(**quantization):
    values = {
        "path": {"output_dir": "out", "image_dir": "images"},
        "network": {"input_model": "net.onnx", "name": "net", "class": "Classification"},
        "dataset": {"calibration_set": "calib.txt", "validation_set": "val.txt"},
        "quantization": quantization,
        "metric": {"metric_cls": "top1"},
    }
    _, found = judge_values(values)
    return [item.message for item in found if (item.key or "").startswith("quantization.accuracy_level")]


@pytest.mark.parametrize("level", LEVELS)
def test_what_the_schema_refuses_is_what_the_table_says(level):
    """The schema stands below the table and cannot read it."""
    mixed = problems(accuracy_level=[level], mix=True, nodename_datatypes="rules.yaml")
    assert bool(mixed) == (LEVELS[level].other is None)
    auto = problems(accuracy_level=[level], mix="auto", mix_goal={"max_drop": 0.1})
    assert bool(auto) == (LEVELS[level].raised_bits is None)
    assert problems(accuracy_level=[max(LEVELS) + 1])
