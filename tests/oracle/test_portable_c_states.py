"""Generated C of recurrent networks: the caller hands states on, step after step, and no integer differs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from portable_c import SANITIZED, build, extremes, subject

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.states import with_states
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

WIDE = 3  # channels of the input
GATES = {"LSTM": 4, "GRU": 3}


def model(rng, op, units, *, after=0, given_states=True):
    """Return a ring buffer in front of a convolution, then a recurrent layer, of one step at a time."""
    gates, cells = GATES[op], op == "LSTM"
    constants = {
        "k": rng.normal(size=(5, WIDE, 3)) / 2,
        "W": rng.normal(size=(1, gates * units, 5)), "R": rng.normal(size=(1, gates * units, units)) / units**0.5,
        "B": rng.normal(size=(1, 2 * gates * units)) / 2,
    }  # fmt: skip
    bounds = {"from": np.array([1]), "to": np.array([99]), "axis": np.array([2])}
    states = ["h", "c"][: 1 + cells] if given_states else []
    named = ["", "hn", "cn"][: 2 + cells]
    attrs = {"hidden_size": units, **({"linear_before_reset": after} if op == "GRU" else {})}
    nodes = [
        helper.make_node("Concat", ["cache", "x"], ["joined"], axis=2),
        helper.make_node("Slice", ["joined", *bounds], ["cache_out"]),
        helper.make_node("Conv", ["joined", "k"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Transpose", ["r"], ["steps"], perm=[2, 0, 1]),
        helper.make_node(op, ["steps", "W", "R", "B", *([""] if states else []), *states], named, **attrs),
    ]
    shape = (1, 1, units)
    inputs = {"x": (1, WIDE, 1), "cache": (1, WIDE, 2), **dict.fromkeys(states, shape)}
    outputs = {"cache_out": (1, WIDE, 2), **{name: shape for name in named if name}}
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(value, name) for name, value in bounds.items()]
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "net", *infos, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def program_of(folder, rng, op, units, level, **options):
    path = folder / "net.onnx"
    onnx.save(model(rng, op, units, **options), path)
    graph = with_states(load_onnx(path), {})
    feeds = [{name: rng.normal(0, 1, graph.shape(name)).astype(np.float32) for name in graph.inputs} for _ in range(4)]
    return compile_plan(build_plan(graph, collect(graph, feeds), QuantOptions(level=level)), TargetSection())


@pytest.mark.parametrize("level", [1, 3, 4])
@pytest.mark.parametrize(("op", "after"), [("LSTM", 0), ("GRU", 0), ("GRU", 1)])
def test_states_are_handed_on_by_the_caller(tmp_path, op, after, level):
    rng = np.random.default_rng(level)
    program = program_of(tmp_path, rng, op, 6, level, after=after)
    states = program.plan.graph.states
    assert set(states) == {"cache", "h", *(["c"] if op == "LSTM" else [])}
    item = subject(program, TargetSection(), tmp_path, "net")
    build([item], tmp_path, ("-O1",))
    network, held = item.network, {}
    for name, output in states.items():
        assert network.orders[name] == network.orders[output]
        assert (network.c_type(name), network.count(name)) == (network.c_type(output), network.count(output))
        assert program.plan.tensors[name] == program.plan.tensors[output]
        held[name] = np.full(network.count(name), program.plan.tensors[name].zero_point, network.c_type(name)[:-2])
    expected = {name: program.plan.tensors[name].zero_point for name in states}
    expected = {name: np.full(program.plan.graph.shape(name), zero) for name, zero in expected.items()}
    kind = program.plan.tensors["x"].dtype
    for _ in range(6):
        x = rng.integers(kind.low, kind.high + 1, program.plan.graph.shape("x")).astype(kind.numpy)
        given = {name: logical(network, name, value) for name, value in held.items()}
        (found,) = item.dump([{"x": x, **given}])
        wanted = program.run({"x": x, **{name: value.astype(given[name].dtype) for name, value in expected.items()}})
        for name, output in states.items():
            held[name], expected[name] = found[output], wanted[output]
            assert np.array_equal(logical(network, output, found[output]), wanted[output])
    assert len(np.unique(held["h"])) > 1


def logical(network, tensor, flat):
    """Return a tensor that lies in memory order, [1, ...] in the order of the network."""
    return flat.reshape(network.memory_shape(tensor)).transpose(np.argsort(network.orders[tensor]))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["LSTM", "GRU"]), st.integers(1, 9), st.integers(0, 4),
    st.integers(0, 1), st.booleans(), st.sampled_from([16, 32]), st.sampled_from(["saturate", "wrap"]),
)  # fmt: skip
def test_any_recurrent_layer(tmp_path_factory, seed, op, units, level, after, given_states, acc_bits, overflow):
    folder, rng = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    path, target = folder / "net.onnx", TargetSection(acc_bits=acc_bits, acc_overflow=overflow)
    onnx.save(model(rng, op, units, after=after, given_states=given_states), path)
    graph = load_onnx(path)
    feeds = [{name: rng.normal(0, 1, graph.shape(name)).astype(np.float32) for name in graph.inputs} for _ in range(3)]
    plan = build_plan(graph, collect(graph, feeds), QuantOptions(level=level))
    program = compile_plan(plan, target)
    item = subject(program, target, folder, "net")
    build([item], folder, SANITIZED)
    assert item.differences(extremes(program, seed % 1000)) == {}
