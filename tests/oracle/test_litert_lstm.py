"""The integer LSTM against TFLite's: 8-bit layers against LiteRT's reference kernel, 16-bit ones against TensorFlow
Lite Micro's (LiteRT has none), every output integer (tolerance 0); the gates' functions over every 16-bit integer."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from gate_functions import sigma, tanh
from tflite_builder import run
from tflite_lstm import LstmCase, lstm_model, random_case

from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.params import S8, S16, S32, S64, QParams
from slimai.quantizer.plan import Layer, QuantPlan, QWeight
from slimai.quantizer.prequantized import stored_plan
from slimai.schema.target import TargetSection
from slimai.simulator.ops.gates import WIDE_REACH, added_tables, gate_tables
from slimai.simulator.program import compile_plan

_ONNX_ORDER = [0, 3, 1, 2]  # input, output, forget, cell, of TFLite's input, forget, cell, output
# batch, steps, inputs, units, spread of the gates' sums, extreme integers
SHAPES = [
    (1, 1, 1, 1, 1.0, False),
    (1, 200, 4, 3, 1.0, False),
    (1, 50, 8, 16, 0.3, False),
    (1, 50, 8, 16, 3.0, False),
    (2, 30, 7, 9, 1.0, False),
    (3, 20, 1, 5, 1.0, False),
    (2, 20, 33, 1, 1.0, False),
    (1, 20, 64, 40, 1.0, False),
    (1, 20, 40, 64, 2.0, False),
    (4, 10, 5, 5, 10.0, False),
    (1, 40, 3, 3, 100.0, False),
    (1, 40, 3, 3, 0.01, False),
    (1, 30, 6, 8, 1.0, True),
    (2, 30, 6, 8, 10.0, True),
    (1, 30, 100, 8, 0.5, True),
]
CASES = [(shape, seed) for seed in range(2) for shape in SHAPES]


def onnx_rows(parts: np.ndarray) -> np.ndarray:
    """Return [1, 4H, ...] in ONNX's order of gates."""
    return np.concatenate(parts[_ONNX_ORDER])[None]


def lstm_plan(case: LstmCase) -> QuantPlan:
    """Return the plan of the same integers and scales."""
    batch, steps, inputs = case.x.shape
    units = case.r.shape[1]
    kind = S16 if case.wide else S8
    w, r = onnx_rows(case.w), onnx_rows(case.r)
    names = ("x", "w", "r", "b")
    shapes = {"x": (steps, batch, inputs), "w": w.shape, "r": r.shape, "b": (1, 8 * units),
              "y": (steps, 1, batch, units), "cells": (steps, 1, batch, units)}  # fmt: skip
    attrs = {"direction": "forward", "hidden_size": units, "cell_clip": 0.0}  # as the reader of TFLite files writes it
    node = Node("lstm", "LSTM", names, ("y", "", "", "cells"), attrs)
    constants = {name: np.zeros(shapes[name], np.float32) for name in names[1:]}
    infos = {name: TensorInfo(name, shape) for name, shape in shapes.items()}
    graph = Graph("net", (node,), ("x",), ("y",), infos, constants, batchable=False)
    scales = [np.repeat(item[_ONNX_ORDER], units).astype(np.float64) for item in (case.w_scale, case.r_scale)]
    bias = np.concatenate([onnx_rows(case.bias), np.zeros((1, 4 * units), np.int64)], axis=1)
    matrices = {1: QWeight(w, S8, scales[0], 1), 2: QWeight(r, S8, scales[1], 1),
                3: QWeight(bias, S64 if case.wide else S32, np.ones(8 * units), 1)}  # fmt: skip
    tensors = {"x": QParams(kind, *case.x_grid), "y": QParams(kind, *case.y_grid),
               "cells": QParams(S16, 2.0**case.cell_power)}  # fmt: skip
    layer = Layer("LSTM_lstm__0", "LSTM", node, ("x",), ("y", "cells"), matrices=matrices)
    return QuantPlan(graph, (layer,), tensors, 3, {})


def computed(case: LstmCase, arithmetic: str) -> np.ndarray:
    """Return [N, T, H] integers of the simulator."""
    program = compile_plan(lstm_plan(case), TargetSection(), arithmetic=arithmetic)
    return program.run({"x": case.x.transpose(1, 0, 2)})["y"][:, 0].transpose(1, 0, 2)


def case_of(shape, seed, *, wide):
    *sizes, spread, full = shape
    rng = np.random.default_rng(zlib.crc32(repr((shape, seed, wide)).encode()))
    return random_case(rng, *sizes, wide=wide, spread=spread, full=full)


@pytest.mark.parametrize(("shape", "seed"), CASES, ids=str)
def test_every_integer_of_eight_bits_is_litert_s(shape, seed):
    case = case_of(shape, seed, wide=False)
    (expected,) = run(lstm_model(case), [case.x])
    found = computed(case, "gemmlowp")
    assert found.dtype == expected.dtype
    assert np.count_nonzero(found != expected) == 0
    assert np.unique(expected).size >= 3 or expected.size < 10 or shape[4] >= 100, "nearly all outputs are equal"


def test_time_major_is_the_same_sequence():
    case = case_of(SHAPES[4], 7, wide=False)
    (expected,) = run(lstm_model(case, time_major=True), [case.x.transpose(1, 0, 2)])
    assert np.array_equal(computed(case, "xi_sym"), expected.transpose(1, 0, 2))


@pytest.mark.parametrize(("shape", "seed"), CASES, ids=str)
def test_every_integer_of_sixteen_bits_is_that_of_tensorflow_lite_micro(shape, seed):
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed")
    case = case_of(shape, seed, wide=True)
    interpreter = runtime.Interpreter.from_bytes(lstm_model(case))
    interpreter.set_input(case.x, 0)
    interpreter.invoke()
    expected = interpreter.get_output(0)
    assert np.count_nonzero(computed(case, "tflite_s64") != expected) == 0


@pytest.mark.parametrize("clip", [0.0, 0.25, 10.0])
@pytest.mark.parametrize("steps_first", [False, True])
@pytest.mark.parametrize("place", range(4))
def test_an_int8_file_gives_litert_s_integers(place, steps_first, clip, tmp_path):
    case = case_of([item for item in SHAPES if item[0] == 1][place], 3, wide=False)
    model = lstm_model(case, time_major=steps_first, clip=clip)
    (tmp_path / "net.tflite").write_bytes(model)
    x = case.x.transpose(1, 0, 2) if steps_first else case.x
    (expected,) = run(model, [x])
    network = load_tflite(tmp_path / "net.tflite")
    found = compile_plan(stored_plan(network), TargetSection()).run({"x": x})["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.count_nonzero(found != expected) == 0


@pytest.mark.parametrize("clip", [0.0, 0.25])
@pytest.mark.parametrize("steps_first", [False, True])
@pytest.mark.parametrize("place", range(4))
def test_an_int16x8_file_gives_the_integers_of_tensorflow_lite_micro(place, steps_first, clip, tmp_path):
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed")
    case = case_of([item for item in SHAPES if item[0] == 1][place], 3, wide=True)
    model = lstm_model(case, time_major=steps_first, clip=clip)
    (tmp_path / "net.tflite").write_bytes(model)
    x = case.x.transpose(1, 0, 2) if steps_first else case.x
    interpreter = runtime.Interpreter.from_bytes(model)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    expected = interpreter.get_output(0)
    found = compile_plan(stored_plan(load_tflite(tmp_path / "net.tflite")), TargetSection()).run({"x": x})["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.count_nonzero(found != expected) == 0


def test_an_int16x8_lstm_has_level_four_alone(tmp_path):
    (tmp_path / "net.tflite").write_bytes(lstm_model(case_of(SHAPES[2], 0, wide=True)))
    network = load_tflite(tmp_path / "net.tflite")
    assert network.wide
    for level in (0, 1, 2, 3):
        with pytest.raises(InputError, match=r"a network with 16-bit activations \(int16x8\) allows level 4 only"):
            stored_plan(network, level)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_below_three_name_level_three(level, tmp_path):
    (tmp_path / "net.tflite").write_bytes(lstm_model(case_of(SHAPES[2], 0, wide=False)))
    with pytest.raises(InputError, match="the int8 LSTM 'y__y' keeps its stored integers, which only level 3 does"):
        stored_plan(load_tflite(tmp_path / "net.tflite"), level)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("bits", [0, 1, 3, 4, 6, 8, 12])
def test_functions_of_gates_over_every_integer(wide, bits):
    """Against the scalar model exactly, and against float64 to the units of 2^-15 that docs/arithmetic.md states."""
    every = np.arange(-32768, 32768)
    picked = np.random.default_rng(bits).choice(every, 2000)
    tables = gate_tables(wide=wide, cell_bits=bits)
    scalars = (lambda v: sigma(v, wide), lambda v: tanh(v, 3, wide), lambda v: tanh(v, bits, wide))
    for table, scalar in zip(tables, scalars, strict=True):
        assert [scalar(int(v)) for v in picked] == table[picked + 32768].tolist()
    real = (1 / (1 + np.exp(-every * 2.0**-12)), np.tanh(every * 2.0**-12), np.tanh(every * 2.0 ** (bits - 15)))
    for table, function, bound in zip(tables, real, (1.1, 1.5, 2.5) if wide else (6.4, 11.8, 12.1), strict=True):
        assert np.abs(table - function * 32768).max() <= bound


def test_gates_of_added_parts_reach_their_ends():
    """Against float64 to 1.1 and 1.5 units of 2^-15, as far as the knots reach: 32767 stands for 1 at their end."""
    every = np.arange(-WIDE_REACH, WIDE_REACH)
    found = added_tables(wide=True)
    assert [len(table) for table in found] == [2 * WIDE_REACH] * 2
    for table, function, bound in zip(found, (1 / (1 + np.exp(-every / 4096)), np.tanh(every / 4096)), (1.1, 1.5),
                                      strict=True):  # fmt: skip
        assert np.abs(table - function * 32768).max() <= bound
    picked = np.random.default_rng(0).choice(every, 2000)
    assert [sigma(int(v), wide=True) for v in picked] == found[0][picked + WIDE_REACH].tolist()
