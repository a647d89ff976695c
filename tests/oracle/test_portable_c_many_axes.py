"""Shapes of more axes than the kernels have loops: against the simulator, and against ONNX Runtime; 0 may differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plans import Op, around, build_plan, params, random_integers
from portable_c import build, extremes, subject
from preset_formulas import raw
from volume_oracle import run

from slimai.quantizer.params import S16
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

LONG = (2,) * 13
THIN = tuple(1 if axis % 2 else 2 for axis in range(13))
GRID, OTHER = params("s8", 0.1, 3), params("s8", 0.07, -4)


def checked(plan, preset, folder, feeds=None):
    """Return the first sample's y as the C computes it, whose every tensor equals the simulator's."""
    program = compile_plan(plan, TargetSection(), arithmetic=preset)
    item = subject(program, TargetSection(), folder, f"n{len(list(folder.iterdir()))}")
    build([item], folder)
    samples = [*([feeds] if feeds else []), *extremes(program)]
    assert item.differences(samples) == {}
    (name,) = plan.graph.outputs
    order, shape = item.network.orders[name], item.network.memory_shape(name)
    return item.dump(samples[:1])[0][name].astype(np.int64).reshape(shape).transpose(np.argsort(order))


def integers(shape, seed=0):
    return random_integers(np.random.default_rng(seed), GRID, shape)


@pytest.mark.parametrize("op", ["Mul", "Add", "Max", "Div", "PRelu", "Where"])
def test_operands_that_broadcast_over_many_axes(op, tmp_path):
    names, thin = ("x", "w"), integers(THIN, 1)
    grids, shapes = dict.fromkeys(("x", "w", "y"), GRID), {"x": LONG, "w": THIN, "y": LONG}
    item = Op(op, names, "y")
    if op == "PRelu":
        names = ("x",)
        item = Op(op, names, "y", operands={1: (thin, params("s8", 0.01))})
    elif op == "Where":
        mask = np.arange(thin.size).reshape(THIN) % 3 < 1
        item = Op(op, ("mask", *names), "y")
    plan = build_plan([item], shapes, grids, names, ("y",))
    if op == "Where":
        plan.graph.constants["mask"] = mask
        plan = replace(plan, layers=(replace(plan.layers[0], inputs=names),))
    feeds = {"x": integers(LONG), "w": thin}
    found = checked(plan, "single", tmp_path, {name: feeds[name] for name in names})
    a, b = feeds["x"].astype(np.int64) - GRID.zero_point, np.broadcast_to(thin, LONG).astype(np.int64) - GRID.zero_point
    if op == "Mul":
        wanted = raw("single", a * b, GRID.scale, GRID) + GRID.zero_point
        assert np.array_equal(found, np.clip(wanted, -128, 127))
    if op in {"Max", "Where"}:
        wanted = np.maximum(a, b) if op == "Max" else np.where(np.broadcast_to(mask, LONG), a, b)
        assert np.array_equal(found - GRID.zero_point, wanted)


def test_stacks_of_many_axes(tmp_path):
    shapes = {"x": (*LONG[:9], 2, 3), "w": (*THIN[:9], 3, 2), "y": (*LONG[:9], 2, 2)}
    grids = {"x": GRID, "w": OTHER, "y": params("s8", 0.5, 1)}
    feeds = {name: integers(shapes[name], seed) for seed, name in enumerate(("x", "w"))}
    plan = build_plan([Op("MatMul", ("x", "w"), "y")], shapes, grids, ("x", "w"), ("y",))
    found = checked(plan, "tflite_s64", tmp_path, feeds)
    sums = (feeds["x"].astype(np.int64) - 3) @ (feeds["w"].astype(np.int64) + 4)
    wanted = raw("tflite_s64", sums, GRID.scale * OTHER.scale / grids["y"].scale, grids["y"]) + 1
    assert np.array_equal(found, np.clip(wanted, -128, 127))


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceL2"])
def test_reductions_over_separate_axes(op, tmp_path):
    shape = (1, *LONG[:11])
    axes = tuple(range(2, 12, 2))
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    x = integers(shape)
    y = GRID if op in {"ReduceMax", "ReduceMin"} else params("s8", 0.5, 0)
    plan = build_plan([Op(op, ("x",), "y", {"axes": axes, "keepdims": 1})], {"x": shape, "y": kept},
                      {"x": GRID, "y": y}, ("x",), ("y",))  # fmt: skip
    found = checked(plan, "xi_sym", tmp_path, {"x": x})
    if op in {"ReduceMax", "ReduceMin"}:
        wanted = {"ReduceMax": x.max, "ReduceMin": x.min}[op](axis=axes, keepdims=True)
        assert np.array_equal(found, wanted)
    if op == "ReduceSum":
        sums = (x.astype(np.int64) - GRID.zero_point).sum(axis=axes, keepdims=True)
        assert np.array_equal(found, np.clip(raw("xi_sym", sums, GRID.scale / y.scale, y), -128, 127))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("rank", [5, 6])
def test_pads_of_many_axes(mode, rank, tmp_path):
    rng = np.random.default_rng(rank)
    shape = (1, *(3, 2, 4, 3, 2)[: rank - 1])
    pads = [0, *(int(rng.integers(0, 2)) for _ in shape[1:]), 0, *(int(rng.integers(0, 2)) for _ in shape[1:])]
    x = integers(shape)
    constants = {"pads": np.array(pads)} if mode != "constant" else {"pads": np.array(pads), "value": np.array(3.0)}
    wanted = run("Pad", x, constants, {"mode": mode}, kinds={"pads": np.int64})
    plan = around(rng, "Pad", shape, wanted.shape, {"pads": tuple(pads), "mode": mode, "value": 0.0}, GRID, GRID)
    assert np.array_equal(checked(plan, "gemmlowp", tmp_path, {"x": x}), wanted)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("case", [((1, 2, 3, 4, 2), (1, 2, 5, 6, 5)), ((1, 2, 3, 2, 2, 2, 2), (1, 2, 5, 2, 3, 2, 4))],
                         ids=["three axes", "between others"])  # fmt: skip
def test_resizes_of_many_axes(mode, case, tmp_path):
    shape, sizes = case
    x = integers(shape)
    attrs = {"mode": mode, "coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}
    scales = tuple(o / i for o, i in zip(sizes, shape, strict=True))
    plan = around(
        np.random.default_rng(1), "Resize", shape, sizes, {**attrs, "sizes": sizes, "scales": scales}, GRID, GRID
    )
    found = checked(plan, "single", tmp_path, {"x": x})
    if mode == "linear" and len(shape) > 5:  # ONNX Runtime has no linear resize of so many axes
        return
    constants = {"roi": None, "scales": None, "sizes": np.array(sizes)}
    real = run("Resize", x.astype(int) - GRID.zero_point, constants, attrs, kinds={"sizes": np.int64})
    # weights of 7 bits along three axes: half a step, and 3 * 2^-8 of what lies between two neighbours
    assert np.abs(found - GRID.zero_point - real).max() <= (0 if mode == "nearest" else 0.51 + 255 * 3 / 256)


def test_everything_else_over_three_axes(tmp_path):
    """Operators without windows on [1, C, D, H, W], which lies channels-last behind a pool, or as it is written."""
    shape, rng = (1, 4, 2, 3, 4), np.random.default_rng(0)
    rows = {place: (random_integers(rng, S16, (4,)), params("s16", 1.0 / 32767)) for place in (1, 2)}
    unit = params("s8", 2.0**-8, -128)
    cases = [
        ("GlobalAveragePool", (1, 4, 1, 1, 1), {}, OTHER, None),
        ("ReduceMean", (1, 1, 2, 1, 4), {"axes": (1, 3), "keepdims": 1}, OTHER, None),
        ("ReduceL2", (1, 4, 3), {"axes": (2, 4), "keepdims": 0}, OTHER, None),
        ("Softmax", shape, {"axis": 1, "interpolated": 0}, unit, None),
        ("Softmax", shape, {"axis": 3, "interpolated": 0}, unit, None),
        ("InstanceNormalization", shape, {"epsilon": 1e-5}, OTHER, rows),
        ("Transpose", (1, 2, 4, 4, 3), {"perm": (0, 2, 4, 1, 3)}, GRID, None),
        ("Slice", (1, 2, 2, 3, 4), {"starts": (0, 1), "ends": (1, 4), "axes": (0, 1), "steps": (1, 2)}, GRID, None),
        ("ArgMax", (1, 1, 2, 3, 4), {"axis": 1, "keepdims": 1, "select_last_index": 0}, None, None),
        ("Tile", (1, 8, 2, 9, 4), {"repeats": (1, 2, 1, 3, 1)}, OTHER, None),
        ("Relu", shape, {}, OTHER, None), ("Sigmoid", shape, {}, unit, None),
    ]  # fmt: skip
    subjects = []
    for number, (op, out, attrs, y, operands) in enumerate(cases):
        for preset in ("xi_sym", "gemmlowp"):
            plan = around(rng, op, shape, out, attrs, GRID, y, operands)
            program = compile_plan(plan, TargetSection(), arithmetic=preset)
            subjects.append(subject(program, TargetSection(), tmp_path, f"n{number}_{preset}"))
    build(subjects, tmp_path)
    wrong = {item.network.prefix: found for item in subjects if (found := item.differences(extremes(item.program)))}
    assert wrong == {}
