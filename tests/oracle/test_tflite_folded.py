"""Arithmetic on shapes and constants in TFLite files: folded to LiteRT's values, in float and quantized networks."""

from __future__ import annotations

import numpy as np
import pytest
from float_tflite import Net
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_networks import differences, read
from tflite_builder import Step, Tensor, build_network, run

from slimai.graph.load import load_onnx
from slimai.graph.tflite.file import read_file
from slimai.graph.tflite.fold import folded
from slimai.runtime.session import FloatSession

GENERATED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INT = "int32"


def joined(net, name, x, same):
    if name == "CONCATENATION" and net.shape():
        net.add(name, [x, same], "Concatenation", dtype=INT, Axis=0, FusedActivationFunction=0)
    elif name == "PACK" and len(net.shape()) < 3:
        net.add(name, [x, same], "Pack", dtype=INT, Axis=net.pick(0, -1), ValuesCount=2)


def cut(net, name, x, same):
    shape = net.shape()
    if name == "UNPACK" and shape and shape[0] < 6:
        net.add(name, [x], "Unpack", count=shape[0], dtype=INT, Axis=0, Num=shape[0])
    elif name == "GATHER" and shape:
        indices = net.constant(net.rng.integers(0, shape[0], net.pick((), (2,))), np.int32)
        net.add(name, [x, indices], "Gather", dtype=INT, Axis=0, BatchDims=0)
    elif name == "STRIDED_SLICE" and len(shape) == 1:
        bounds = [net.constant([v], np.int32) for v in (int(net.rng.integers(-shape[0], shape[0])), 99, net.pick(1, 2))]
        masks = {"BeginMask": 0, "EndMask": 0, "EllipsisMask": 0, "NewAxisMask": 0, "Offset": False}
        net.add(name, [x, *bounds], "StridedSlice", dtype=INT, ShrinkAxisMask=net.pick(0, 1), **masks)


def spread(net, name, x, same):
    if name == "TILE" and net.shape() and np.prod(net.shape()) < 20:
        net.add(name, [x, net.constant([2] * len(net.shape()), np.int32)], "Tile", dtype=INT)
    elif name == "RESHAPE" and net.shape():
        net.add(name, [x, net.constant([-1], np.int32)], "Reshape", dtype=INT, NewShape=[-1])


def reduced(net, name, x, same):
    if net.shape():
        net.add(name, [x, net.constant([0], np.int32)], "Reducer", dtype=INT, KeepDims=bool(net.rng.integers(2)))


def cast(net, name, x, same):
    (made,) = net.add(name, [x], "Cast", dtype="float32", InDataType=2, OutDataType=0)
    net.made.remove(made)
    net.add(name, [made], "Cast", dtype=INT, InDataType=0, OutDataType=2)


def computed(kind, *values, **fields):
    """Return a step of two operands: an earlier tensor or one of the values; a divisor is a value."""

    def step(net, name, x, same):
        others = [net.constant(value, np.int32) for value in values]
        net.add(name, [x, net.pick(*others, *([] if "DIV" in name else [same]))], kind, dtype=INT, **fields)

    return step


STEPS = {
    **dict.fromkeys(("CONCATENATION", "PACK"), joined),
    **dict.fromkeys(("UNPACK", "GATHER", "STRIDED_SLICE"), cut),
    **dict.fromkeys(("TILE", "RESHAPE"), spread),
    **dict.fromkeys(("REDUCE_PROD", "SUM", "REDUCE_MAX", "REDUCE_MIN"), reduced),
    "CAST": cast,
    **{name: computed(name.title(), 3, FusedActivationFunction=0) for name in ("ADD", "SUB", "MUL")},
    **{name: computed("MaximumMinimum", 2) for name in ("MAXIMUM", "MINIMUM")},
    "DIV": computed("Div", 2, 3, -2, FusedActivationFunction=0),
    "FLOOR_DIV": computed("FloorDiv", 2, 3, -2),
}


@GENERATED
@given(names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=10), seed=st.integers(0, 2**32 - 1))
def test_generated_arithmetic_on_a_shape(tmp_path, names, seed):
    net = Net(np.random.default_rng(seed), [Tensor("x", (1, 6, 5, 4), "float32")], [], [0])
    net.add("SHAPE", [0], "Shape", dtype=INT, OutType=2)
    for name in names:
        same = net.pick(*[number for number in net.made[1:] if net.tensors[number].shape == net.shape()])
        STEPS[name](net, name, net.last, same)
    wanted = net.made[1:]
    expected = run(net.model(wanted), [np.zeros((1, 6, 5, 4), np.float32)])
    path = tmp_path / "net.tflite"
    path.write_bytes(net.model(wanted))
    found = folded(read_file(path))
    assert found.operators == ()
    for number, value in zip(wanted, expected, strict=True):
        np.testing.assert_array_equal(found.tensors[number].data, value)
        assert found.tensors[number].data.dtype == value.dtype


def dynamic_reshape(dtype, *, open_sizes: bool) -> bytes:
    """Return x -> RELU -> RESHAPE to [shape[0], -1, 2], whose shape is computed -> NEG or RELU -> SOFTMAX.

    open_sizes: the file says 1 for what it does not know, as converters write it.
    """
    grid = {} if dtype == "float32" else {"scale": 0.1, "zero_point": -3}

    def known(name, shape, signature):
        return Tensor(name, shape if not open_sizes else tuple(abs(n) for n in signature), dtype, **grid,
                      signature=signature if open_sizes else ())  # fmt: skip

    def ints(name, values):
        return Tensor(name, np.shape(values), INT, data=np.array(values, np.int32))

    last = {"scale": 1 / 256, "zero_point": -128} if grid else {}
    tensors = [
        Tensor("x", (1, 4, 6), dtype, **grid), Tensor("r", (1, 4, 6), dtype, **grid), Tensor("shape", (3,), INT),
        ints("begin", [0]), ints("end", [1]), ints("step", [1]), Tensor("batch", (), INT), ints("rest", -1),
        ints("two", 2), Tensor("wanted", (3,), INT), known("m", (1, 12, 2), (-1, -1, 2)),
        known("n", (1, 12, 2), (-1, -1, 2)),
        Tensor("y", (1, 1, 2) if open_sizes else (1, 12, 2), dtype, **last,
               signature=(-1, -1, 2) if open_sizes else ()),
    ]  # fmt: skip
    masks = {"BeginMask": 0, "EndMask": 0, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 1, "Offset": False}
    steps = [
        Step("RELU", [0], [1]),
        Step("SHAPE", [1], [2], "Shape", {"OutType": 2}),
        Step("STRIDED_SLICE", [2, 3, 4, 5], [6], "StridedSlice", masks),
        Step("PACK", [6, 7, 8], [9], "Pack", {"Axis": 0, "ValuesCount": 3}),
        Step("RESHAPE", [1, 9], [10], "Reshape", {}),
        Step("RELU6", [10], [11]),
        Step("SOFTMAX", [11], [12], "Softmax", {"Beta": 1.0}),
    ]
    return build_network(tensors, steps, [0], [12])


@pytest.mark.parametrize("open_sizes", [False, True])
def test_a_reshape_to_a_computed_shape_in_float(tmp_path, open_sizes):
    path = tmp_path / "net.tflite"
    model = dynamic_reshape("float32", open_sizes=open_sizes)
    path.write_bytes(model)
    x = np.random.default_rng(1).normal(0, 3, (1, 4, 6)).astype(np.float32)
    graph = load_onnx(path)
    assert graph.shape("y") == (1, 12, 2)
    np.testing.assert_allclose(FloatSession(graph).run({"x": x})["y"], run(model, [x])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("open_sizes", [False, True])
def test_a_reshape_to_a_computed_shape_in_int8(open_sizes):
    model = dynamic_reshape("int8", open_sizes=open_sizes)
    network = read(model)
    assert [node.op for node in network.graph.nodes] == ["Relu", "Reshape", "Clip", "Softmax"]
    assert network.graph.history == ("operators on constants and shapes computed: PACK 1, SHAPE 1, STRIDED_SLICE 1",)
    assert network.graph.shape("y") == (1, 12, 2)
    found = differences(model, 5)
    assert {found[name] for name in ("r", "m", "n", "y")} == {0}


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_pack_and_unpack_of_activations(dtype):
    grid = {"scale": 0.05, "zero_point": 0 if dtype == "int16" else 7}
    tensors = [
        Tensor("x", (1, 3, 4), dtype, **grid), *(Tensor(f"u{i}", (1, 4), dtype, **grid) for i in range(3)),
        Tensor("r", (1, 4), dtype, **grid), Tensor("y", (1, 4, 2), dtype, **grid),
    ]  # fmt: skip
    steps = [
        Step("UNPACK", [0], [1, 2, 3], "Unpack", {"Axis": 1, "Num": 3}, 3 if dtype == "int16" else 2),
        Step("RELU", [2], [4]),
        Step("PACK", [4, 1], [5], "Pack", {"Axis": 2, "ValuesCount": 2}, 3 if dtype == "int16" else 2),
    ]
    found = differences(build_network(tensors, steps, [0], [5, 3]), 4)
    assert set(found.values()) == {0}


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_reversal_of_activations(dtype, axis):
    grid = {"scale": 0.05, "zero_point": 0 if dtype == "int16" else 7}
    tensors = [
        Tensor("x", (1, 3, 4, 5), dtype, **grid), Tensor("axis", (1,), INT, data=np.array([axis], np.int32)),
        Tensor("y", (1, 3, 4, 5), dtype, **grid),
    ]  # fmt: skip
    steps = [Step("REVERSE_V2", [0, 1], [2], version=3 if dtype == "int8" else 2 if dtype == "int16" else 1)]
    assert differences(build_network(tensors, steps, [0], [2]), 3) == {"y": 0}


@pytest.mark.parametrize("values", [[2**31 - 1, 2, 2, 2], [-1, 2, 3, 4]])
def test_a_fill_that_cannot_be_is_left_to_its_rule(tmp_path, values):
    tensors = [Tensor("n", (4,), INT, data=np.array(values, np.int32)), Tensor("v", (), "float32", data=np.float32(1)),
               Tensor("y", (1, 1, 1, 1), "float32")]  # fmt: skip
    path = tmp_path / "net.tflite"
    path.write_bytes(build_network(tensors, [Step("FILL", [0, 1], [2], "Fill", {}, 1)], [], [2]))
    assert [op.code for op in folded(read_file(path)).operators] == ["FILL"]
