"""What host layers cost: multiply-accumulates counted by hand, and their share of the estimate."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slimai.app.commands.inspect import inspected, main
from slimai.calibration.collect import collect
from slimai.errors import InputError
from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps, quantized_tensors
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.performance import PerformanceSection
from slimai.schema.target import TargetSection
from slimai.simulator.cost import HOST, estimate
from slimai.simulator.host_cost import host_macs, host_work


def alone(op, shapes, out, **attrs):
    names = tuple(f"i{place}" for place in range(len(shapes)))
    tensors = {name: TensorInfo(name, shape) for name, shape in zip(names, shapes, strict=True)} | {
        "y": TensorInfo("y", out)
    }
    node = Node("n", op, names, ("y",), attrs)
    return Graph("g", (node,), names, ("y",), tensors, {}), node


@pytest.mark.parametrize(
    ("op", "shapes", "out", "attrs", "macs"),
    [
        # 7 steps of 2 samples: 4 gates of 6 rows, by 5 inputs and 6 held values; both directions
        ("LSTM", [(7, 2, 5), (2, 24, 5), (2, 24, 6)], (7, 2, 2, 6), {}, 7 * 2 * 2 * 4 * 6 * (5 + 6)),
        ("GRU", [(7, 1, 5), (1, 18, 5), (1, 18, 6)], (7, 1, 1, 6), {}, 7 * 3 * 6 * (5 + 6)),
        ("RNN", [(7, 1, 5), (1, 6, 5), (1, 6, 6)], (7, 1, 1, 6), {}, 7 * 6 * (5 + 6)),
        ("Einsum", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), {"equation": "b i j, b j k -> b i k"}, 2 * 3 * 4 * 5),
        ("Einsum", [(2, 3, 4), (1, 4, 5)], (2, 3, 5), {"equation": "...ij,...jk->...ik"}, 2 * 3 * 4 * 5),
        ("Einsum", [(2, 3, 4), (3, 4)], (2, 3), {"equation": "bij,ij->bi"}, 2 * 3 * 4),
        ("Einsum", [(3, 4)], (4, 3), {"equation": "ij->ji"}, 0),
        ("OnnxConv", [(1, 3, 4, 5, 6), (8, 3, 2, 2, 2)], (1, 8, 3, 4, 5), {}, 8 * 3 * 4 * 5 * 3 * 8),
        ("OnnxMatMul", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), {}, 2 * 3 * 4 * 5),
        ("OnnxGemm", [(4, 3), (4, 5)], (3, 5), {"transA": 1}, 3 * 4 * 5),
        ("Sin", [(2, 3)], (2, 3), {}, 0),
    ],
)
def test_multiply_accumulates(op, shapes, out, attrs, macs):
    graph, node = alone(op, shapes, out, **attrs)
    assert host_macs(graph, node) == macs


def test_work_without_products_is_elements():
    assert host_work(*alone("Sin", [(2, 3)], (2, 3))) == 6
    assert host_work(*alone("TopK", [(2, 30)], (2, 3))) == 60
    assert host_work(*alone("OnnxReshape", [(2, 30)], (60,))) == 0


@pytest.fixture
def recurrent(tmp_path):
    """Return the path of LSTM (no integer kernel asked for here) -> Sin -> MatMul, with an open number of samples."""
    rng = np.random.default_rng(0)
    values = {"w": (1, 12, 4), "r": (1, 12, 3), "m": (3, 5)}
    constants = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in values.items()
    ]
    nodes = [
        helper.make_node("RNN", ["x", "ww", "rr"], ["", "h"], name="rnn", hidden_size=3),
        helper.make_node("Sin", ["h"], ["s"], name="sin"),
        helper.make_node("MatMul", ["s", "m"], ["y"], name="head"),
    ]
    constants += [
        numpy_helper.from_array(rng.normal(size=(1, 3, 4)).astype(np.float32), "ww"),
        numpy_helper.from_array(rng.normal(size=(1, 3, 3)).astype(np.float32), "rr"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 5])],
        constants[2:],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_estimate_names_the_host(recurrent):
    graph = load_onnx(recurrent, input_shapes={"x": (9, 1, 4)})
    feeds = {"x": np.random.default_rng(1).normal(size=(9, 1, 4)).astype(np.float32)}
    stats = collect(graph, [feeds], tensors=quantized_tensors(graph))
    plan = build_plan(graph, stats, QuantOptions(level=1), TargetSection())
    slow, fast = TargetSection(host_macs_per_cycle=0.5), TargetSection(host_macs_per_cycle=1e9)
    costs = {layer.name: layer for layer in estimate(plan, slow, PerformanceSection()).layers if layer.pair == HOST}
    assert {layer.name for layer in plan.layers if layer.mode == "host"} == set(costs)
    macs = 9 * 3 * (4 + 3)
    assert [(cost.macs, cost.compute) for cost in costs.values() if cost.macs] == [(macs, 2.0 * macs)]
    assert estimate(plan, slow, PerformanceSection()).cycles > estimate(plan, fast, PerformanceSection()).cycles
    assert estimate(plan, slow, PerformanceSection()).by_pair()[HOST] == sum(cost.cycles for cost in costs.values())


def test_inspect_takes_shapes_and_cuts(recurrent, capsys):
    with pytest.raises(InputError) as caught:
        load_onnx(recurrent, input_shapes={"x": (2, 1)})
    assert "the model's input has 3 axes" in str(caught.value)
    main([str(recurrent), "--shape", "x=9,1,4"])
    assert "on the host)" in capsys.readouterr().out
    rows = {row.kind: row for row in inspected(recurrent, {"x": (9, 1, 4)}).rows}
    assert rows["RNN"].macs == 9 * 3 * (4 + 3)
    assert [row.kind for row in inspected(recurrent, {"x": (9, 1, 4)}, ["s"]).rows][-1] == "Sin"


def test_inspect_tells_the_option_for_open_sizes(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="give its shape: --shape x=1,3,SIZE,SIZE"):
        inspected(tmp_path / "m.onnx")
    assert inspected(tmp_path / "m.onnx", {"x": (1, 3, 8, 8)}).rows[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("text", ["x", "x=", "=1,2", "x=1,a", "x=0,3"])
def test_shapes_that_are_none(text, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "m.onnx"), "--shape", text])
    assert f"'{text}' is no shape; write NAME=1,3,224,224" in capsys.readouterr().err


def test_moves_between_input_and_host_stay_float(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["state"], ["t"], perm=[1, 0], name="move"),
        helper.make_node("Sin", ["t"], ["s"], name="sin"),
        helper.make_node("Flatten", ["s"], ["f"], name="out"),
        helper.make_node("Transpose", ["x"], ["u"], perm=[1, 0], name="both"),
        helper.make_node("Cos", ["u"], ["c"], name="cos"),
        helper.make_node("Relu", ["u"], ["r"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("state", "x")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 2]) for name in ("f", "c", "r")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    where = {step.outputs[0]: step.integer for step in layer_steps(load_onnx(tmp_path / "m.onnx"))}
    assert where["t"] is False, "only the host reads it"
    assert where["u"] is True, "a Relu reads it too"
    assert where["r"] is True
