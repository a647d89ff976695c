"""Each operator form: canonical attributes, and the same results as the file, at batch 1 and 3."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.errors import UnsupportedError
from slimai.graph.load import load_onnx

rng = np.random.default_rng(3)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


F32 = np.float32
X = {"x": [1, 4, 9, 11]}

# name: (op, input shapes, constants by position, ONNX attributes, opset, expected op, expected attributes)
CASES = {
    "Conv": ("Conv", X, {1: floats(6, 4, 3, 3), 2: floats(6)}, {}, 17, "Conv",
             {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "group": 1}),
    "Conv same upper": ("Conv", X, {1: floats(6, 2, 4, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2, 2], "group": 2},
                        17, "Conv", {"strides": (2, 2), "dilations": (1, 1), "pads": (1, 1, 2, 1), "group": 2}),
    "Conv same lower": ("Conv", X, {1: floats(6, 4, 4, 4)}, {"auto_pad": "SAME_LOWER"},
                        17, "Conv", {"strides": (1, 1), "dilations": (1, 1), "pads": (2, 2, 1, 1), "group": 1}),
    "Conv 1-D": ("Conv", {"x": [1, 3, 20]}, {1: floats(5, 3, 3)}, {"pads": [1, 2], "dilations": [2]}, 17, "Conv",
                 {"strides": (1,), "dilations": (2,), "pads": (1, 2), "group": 1}),
    "ConvTranspose": ("ConvTranspose", X, {1: floats(4, 3, 3, 3), 2: floats(3)},
                      {"strides": [2, 2], "pads": [1, 0, 1, 1], "output_padding": [1, 0]}, 17, "ConvTranspose",
                      {"strides": (2, 2), "dilations": (1, 1), "pads": (1, 0, 1, 1), "group": 1,
                       "output_padding": (1, 0)}),
    "ConvTranspose output_shape": ("ConvTranspose", X, {1: floats(4, 3, 3, 4)},
                                   {"strides": [2, 2], "output_shape": [18, 21]}, 17, "ConvTranspose",
                                   {"strides": (2, 2), "dilations": (1, 1), "pads": (1, 2, 0, 1), "group": 1,
                                    "output_padding": (0, 0)}),
    "ConvTranspose same": ("ConvTranspose", X, {1: floats(4, 3, 3, 3)},
                           {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, 17, "ConvTranspose", None),
    "Gemm alpha beta": ("Gemm", {"x": [1, 5]}, {1: floats(5, 7), 2: floats(1, 7)}, {"alpha": 0.5, "beta": 2.0}, 17,
                        "Gemm", {"transB": 0}),
    "Gemm transB": ("Gemm", {"x": [1, 5]}, {1: floats(7, 5), 2: floats(1)}, {"transB": 1}, 17, "Gemm", {"transB": 1}),
    "Clip": ("Clip", X, {1: F32(-1.0), 2: F32(2.0)}, {}, 17, "Clip", {"lo": -1.0, "hi": 2.0}),
    "Clip opset 7": ("Clip", X, {}, {"min": 0.0, "max": 6.0}, 7, "Clip", {"lo": 0.0, "hi": 6.0}),
    "Clip without a top": ("Clip", X, {1: F32(0.0)}, {}, 17, "Relu", {}),
    "LeakyRelu": ("LeakyRelu", X, {}, {}, 17, "LeakyRelu", {"alpha": 0.01}),
    "PRelu": ("PRelu", X, {1: floats(4, 1, 1)}, {}, 17, "PRelu", {}),
    "PRelu one slope": ("PRelu", X, {1: np.array([0.25], F32)}, {}, 17, "LeakyRelu", {"alpha": 0.25}),
    "HardSigmoid": ("HardSigmoid", X, {}, {}, 17, "HardSigmoid", None),
    "HardSwish": ("HardSwish", X, {}, {}, 17, "HardSwish", {}),
    "Mish": ("Mish", X, {}, {}, 18, "Mish", {}),
    "Softmax": ("Softmax", X, {}, {"axis": -3}, 17, "Softmax", {"axis": 1}),
    "MaxPool": ("MaxPool", X, {}, {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, 17, "MaxPool",
                {"kernel_shape": (3, 2), "strides": (2, 2), "dilations": (1, 1), "pads": (0,) * 4, "ceil_mode": 1}),
    "AveragePool": ("AveragePool", X, {}, {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 17,
                    "AveragePool", {"kernel_shape": (3, 3), "strides": (2, 2), "dilations": (1, 1),
                                    "pads": (1, 1, 1, 1), "ceil_mode": 0, "count_include_pad": 0}),
    "AveragePool dilated": ("AveragePool", X, {}, {"kernel_shape": [2, 2], "dilations": [2, 3]}, 19, "AveragePool",
                            {"kernel_shape": (2, 2), "strides": (1, 1), "dilations": (2, 3), "pads": (0,) * 4,
                             "ceil_mode": 0, "count_include_pad": 0}),
    "GlobalAveragePool": ("GlobalAveragePool", X, {}, {}, 17, "GlobalAveragePool", {}),
    "GlobalMaxPool": ("GlobalMaxPool", X, {}, {}, 17, "MaxPool",
                      {"kernel_shape": (9, 11), "strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4,
                       "ceil_mode": 0}),
    "ReduceMean 17": ("ReduceMean", X, {}, {"axes": [-1, 2], "keepdims": 0}, 17, "ReduceMean",
                      {"axes": (2, 3), "keepdims": 0}),
    "ReduceMean 18": ("ReduceMean", X, {1: ints(-1, 2)}, {}, 18, "ReduceMean", {"axes": (2, 3), "keepdims": 1}),
    **{
        f"{op} {opset}": (op, X, constants, attrs, opset, op, {"axes": (1, 3), "keepdims": 0})
        for op in ("ReduceMax", "ReduceMin", "ReduceL2", "ReduceSum")
        for opset, constants, attrs in (
            (12, {}, {"axes": [-1, 1], "keepdims": 0}), (20, {1: ints(-1, 1)}, {"keepdims": 0}),
        )
    },
    "LayerNormalization": ("LayerNormalization", X, {1: floats(11), 2: floats(11)}, {"epsilon": 0.125}, 17,
                           "LayerNormalization", {"axis": 3, "epsilon": 0.125}),
    "LayerNormalization axes": ("LayerNormalization", X, {1: floats(9, 11)}, {"axis": -2}, 17, "LayerNormalization",
                                None),
    "InstanceNormalization": ("InstanceNormalization", X, {1: floats(4), 2: floats(4)}, {"epsilon": 0.125}, 17,
                              "InstanceNormalization", {"epsilon": 0.125}),
    "Gather": ("Gather", X, {1: ints(-1, 0, 3)}, {"axis": -3}, 17, "Gather",
               {"axis": 1, "indices": (3, 0, 3), "shape": (3,)}),
    "Gather one": ("Gather", X, {1: np.array(2, np.int32)}, {"axis": 2}, 17, "Gather",
                   {"axis": 2, "indices": (2,), "shape": ()}),
    "Gather rows": ("Gather", X, {1: ints(0, 1, 5, 2).reshape(2, 2)}, {"axis": 2}, 17, "Gather",
                    {"axis": 2, "indices": (0, 1, 5, 2), "shape": (2, 2)}),
    "Tile": ("Tile", X, {1: ints(1, 2, 1, 3)}, {}, 17, "Tile", {"repeats": (1, 2, 1, 3)}),
    "Tile nothing": ("Tile", X, {1: ints(1, 1, 1, 1)}, {}, 17, "Reshape", None),
    "Expand": ("Expand", {"x": [1, 4, 1, 3]}, {1: ints(1, 5, 1)}, {}, 17, "Tile", {"repeats": (1, 1, 5, 1)}),
    "Slice": ("Slice", X, {1: ints(1, -3), 2: ints(100, -1), 3: ints(2, -1)}, {}, 17, "Slice",
              {"axes": (2, 3), "starts": (1, 8), "ends": (9, 10), "steps": (1, 1)}),
    "Slice backwards": ("Slice", X, {1: ints(-1), 2: ints(-100), 3: ints(3), 4: ints(-2)}, {}, 17, "Slice",
                        {"axes": (3,), "starts": (10,), "ends": (-1,), "steps": (-2,)}),
    "Slice opset 9": ("Slice", X, {}, {"starts": [1], "ends": [3], "axes": [1]}, 9, "Slice",
                      {"axes": (1,), "starts": (1,), "ends": (3,), "steps": (1,)}),
    "Pad": ("Pad", X, {1: ints(0, 0, 1, 2, 0, 1, 0, 3), 2: F32(0.5)}, {}, 17, "Pad",
            {"pads": (0, 0, 1, 2, 0, 1, 0, 3), "mode": "constant", "value": 0.5}),
    "Pad axes": ("Pad", X, {1: ints(2, 1), 3: ints(-1)}, {"mode": "reflect"}, 18, "Pad",
                 {"pads": (0, 0, 0, 2, 0, 0, 0, 1), "mode": "reflect", "value": 0.0}),
    "Pad opset 7": ("Pad", X, {}, {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "mode": "edge"}, 7, "Pad", None),
    "Pad that crops": ("Pad", X, {1: ints(0, 0, -1, 0, 0, 0, -2, 0)}, {}, 17, "Slice",
                       {"axes": (2,), "starts": (1,), "ends": (7,), "steps": (1,)}),
    "Reshape": ("Reshape", X, {1: ints(0, -1, 11)}, {}, 17, "Reshape", {"shape": (1, 36, 11)}),
    "Flatten": ("Flatten", X, {}, {}, 17, "Reshape", {"shape": (1, 396)}),
    "Squeeze": ("Squeeze", {"x": [1, 3, 1, 5]}, {1: ints(2)}, {}, 17, "Reshape", {"shape": (1, 3, 5)}),
    "Unsqueeze opset 9": ("Unsqueeze", {"x": [1, 3, 5]}, {}, {"axes": [1]}, 9, "Reshape", {"shape": (1, 1, 3, 5)}),
    "Transpose": ("Transpose", X, {}, {"perm": [0, 2, 3, 1]}, 17, "Transpose", {"perm": (0, 2, 3, 1)}),
    "Resize scales": ("Resize", X, {2: np.array([1, 1, 2, 2], F32)}, {"mode": "linear"}, 17, "Resize",
                      {"mode": "linear", "sizes": (1, 4, 18, 22), "scales": (1.0, 1.0, 2.0, 2.0),
                       "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}),
    "Resize sizes": ("Resize", X, {3: ints(1, 4, 7, 13)}, {"mode": "linear",
                     "coordinate_transformation_mode": "align_corners"}, 17, "Resize", None),
    "Resize axes": ("Resize", X, {3: ints(20, 30)}, {"axes": [2, 3], "nearest_mode": "floor"}, 18, "Resize", None),
    "Upsample opset 9": ("Upsample", X, {1: np.array([1, 1, 2, 3], F32)}, {"mode": "nearest"}, 9, "Resize",
                         {"mode": "nearest", "sizes": (1, 4, 18, 33), "scales": (1.0, 1.0, 2.0, 3.0),
                          "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "Upsample opset 7": ("Upsample", X, {}, {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}, 7, "Resize", None),
    "Upsample linear": ("Upsample", X, {1: np.array([1, 1, 2, 2], F32)}, {"mode": "linear"}, 9, "Resize", None),
    "Resize opset 10": ("Resize", X, {1: np.array([1, 1, 2, 2], F32)}, {"mode": "nearest"}, 10, "Resize", None),
    "Resize opset 10 reduces": ("Resize", X, {1: np.array([1, 1, 0.4, 0.4], F32)}, {"mode": "nearest"}, 10, "Resize",
                                None),
    "DepthToSpace": ("DepthToSpace", X, {}, {"blocksize": 2, "mode": "CRD"}, 17, "DepthToSpace",
                     {"blocksize": 2, "mode": "CRD"}),
    "SpaceToDepth": ("SpaceToDepth", {"x": [1, 2, 4, 6]}, {}, {"blocksize": 2}, 17, "SpaceToDepth",
                     {"blocksize": 2, "mode": "DCR"}),
    "ArgMax": ("ArgMax", X, {}, {"axis": -3, "keepdims": 0}, 17, "ArgMax",
               {"axis": 1, "keepdims": 0, "select_last_index": 0}),
    "Softmax opset 11": ("Softmax", {"x": [1, 4, 5]}, {}, {"axis": 2}, 11, None, None),
    "BatchNormalization": ("BatchNormalization", X, {1: floats(4), 2: floats(4), 3: floats(4), 4: np.ones(4, F32)},
                           {}, 9, None, None),
}  # fmt: skip


# Operators that ONNX Runtime knows as functions only: it spells them out, and our passes recognise them again.
SPELLED_OUT = ("HardSwish", "Mish")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimize", [True, False])
def test_operator(build, compare, case, optimize):
    op, inputs, constants, attrs, opset, expected, expected_attrs = CASES[case]
    names = [*inputs, *[""] * (max(constants, default=len(inputs) - 1) + 1 - len(inputs))]
    for place in constants:
        names[place] = f"c{place}"
    kinds = {"y": 7} if op == "ArgMax" else {}
    values = {f"c{place}": value for place, value in constants.items()}
    path = build([(op, names, ["y"], attrs)], inputs, ["y"], values, opset=opset, dtypes=kinds)
    graph = load_onnx(path, optimize=optimize)
    assert graph.batchable, graph.batch_note
    compare(path, graph, 1e-5 if optimize else 0.0)
    if not optimize and op in SPELLED_OUT:
        return
    if expected is not None:
        assert graph.nodes[-1].op == expected
    if expected_attrs is not None:
        assert dict(graph.nodes[-1].attrs) == expected_attrs


def test_split(build, compare):
    inputs, outputs = {"x": [1, 5, 3]}, ["a", "b"]
    nodes = [("Split", ["x", "s"], outputs, {"axis": -2})]
    path = build(nodes, inputs, outputs, {"s": ints(2, 3)})
    graph = load_onnx(path)
    assert dict(graph.nodes[0].attrs) == {"axis": 1, "split": (2, 3)}
    compare(path, graph, 0.0)


def test_gemm_with_transposed_activation_is_spelled_out(build, compare):
    path = build([("Gemm", ["x", "w"], ["y"], {"transA": 1})], {"x": [5, 1]}, ["y"], {"w": floats(5, 3)})
    graph = load_onnx(path, optimize=False)
    assert [node.op for node in graph.nodes] == ["Transpose", "Gemm"]
    compare(path, graph, 1e-6)


@pytest.mark.parametrize(
    ("node", "constants", "op"),
    [
        (("Clip", ["x", "l"], ["y"], {}), {}, "OnnxClip"),
        (("Resize", ["x", "", "s"], ["y"], {"mode": "cubic"}), {"s": np.array([1, 1, 2, 2], F32)}, "OnnxResize"),
        (("MaxPool", ["x"], ["y", "i"], {"kernel_shape": [2, 2]}), {}, "OnnxMaxPool"),
        (("PRelu", ["x", "x"], ["y"], {}), {}, "OnnxPRelu"),
        (("Elu", ["x"], ["y"], {"alpha": 0.5}), {}, "Elu"),
        (("Gemm", ["x2", "w2"], ["y"], {"alpha": 0.5}), {}, "OnnxGemm"),
    ],
)
def test_forms_without_a_canonical_one_stay_and_run(build, compare, node, constants, op):
    inputs = dict(X)
    if op == "OnnxClip":
        inputs["l"] = []
    if op == "OnnxGemm":
        inputs = {"x2": [1, 4], "w2": [4, 4]}
    outputs = ["y", "i"] if op == "OnnxMaxPool" else ["y"]
    path = build([node], inputs, outputs, constants, dtypes={"i": 7})
    graph = load_onnx(path)
    assert [item.op for item in graph.nodes] == [op]
    compare(path, graph, 1e-6)


def test_no_ops_are_dropped(build, compare):
    nodes = [
        ("Identity", ["x"], ["a"], {}),
        ("Dropout", ["a"], ["b"], {}),
        ("Relu", ["b"], ["c"], {}),
        ("Transpose", ["c"], ["d"], {"perm": [0, 1, 2]}),
        ("Pad", ["d", "zero"], ["e"], {}),
        ("Slice", ["e", "first", "last"], ["f"], {}),
        ("Cast", ["f"], ["g"], {"to": 1}),
        ("Concat", ["g"], ["y"], {"axis": 1}),
    ]
    constants = {"zero": ints(*[0] * 6), "first": ints(0, 0, 0), "last": ints(1, 9, 9)}
    path = build(nodes, {"x": [1, 3, 4]}, ["y"], constants)
    graph = load_onnx(path, optimize=False)
    assert [(node.op, node.inputs, node.outputs) for node in graph.nodes] == [("Relu", ("x",), ("y",))]
    compare(path, graph, 0.0)


def test_identity_between_input_and_output_stays_as_reshape(build, compare):
    path = build([("Identity", ["x"], ["y"], {})], {"x": [1, 3]}, ["y"])
    graph = load_onnx(path)
    assert [(node.op, node.attrs["shape"]) for node in graph.nodes] == [("Reshape", (1, 3))]
    compare(path, graph, 0.0)


def test_computed_shapes_are_resolved_without_the_optimizer(build, compare):
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {}),
        ("Unsqueeze", ["n", "axis"], ["n1"], {}),
        ("Concat", ["n1", "minus"], ["target"], {"axis": 0}),
        ("Reshape", ["x", "target"], ["r"], {}),
        ("Constant", [], ["top"], {"value_float": 2.5}),
        ("Neg", ["top"], ["bottom"], {}),
        ("Clip", ["r", "bottom", "top"], ["y"], {}),
    ]
    constants = {"zero": np.int64(0), "axis": ints(0), "minus": ints(-1)}
    path = build(nodes, {"x": ["N", 3, 4]}, ["y"], constants)
    graph = load_onnx(path, optimize=False)
    assert [node.op for node in graph.nodes] == ["Reshape", "Clip"]
    assert dict(graph.nodes[1].attrs) == {"lo": -2.5, "hi": 2.5}
    assert graph.batchable
    compare(path, graph, 0.0)


def test_a_reshape_that_loses_elements_is_refused_by_name(build):
    """A size 0 of the first axis is an open batch; with allowzero the target keeps its 0."""
    nodes = [("Reshape", ["x", "s"], ["y"], {"allowzero": 1})]
    path = build(nodes, {"x": [0, 3, 4]}, ["y"], {"s": ints(3, 4, 0)}, 17)
    with pytest.raises(
        UnsupportedError, match=r"reshape0: Reshape from \[1, 3, 4\] does not keep the number of elements"
    ):
        load_onnx(path)


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_three_operands_become_a_chain_of_two(build, compare, op):
    path = build([(op, "abc", "y", {})], {"a": [1, 3], "b": [1, 3], "c": [1, 1]}, ["y"])
    graph = load_onnx(path)
    assert [node.op for node in graph.nodes] == [op, op]
    compare(path, graph, 1e-6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["Max", "Min"]),
    st.integers(0, 4),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([0.0, -0.4, 2.5]),
)
def test_one_number_with_any_axes_on_either_side_is_a_clamp(build, compare, op, axes, first, channels, value):
    """But for the upper limit of a single channel, whose spelling is that of limits a channel."""
    constant = np.full((1,) * axes, value, np.float32)
    path = build([(op, "cx" if first else "xc", "y", {})], {"x": [1, channels, 3, 2]}, ["y"], {"c": constant})
    graph = load_onnx(path)
    kept = op == "Min" and channels == 1 and axes > 1
    assert [node.op for node in graph.nodes] == [op if kept else "Relu" if op == "Max" and value == 0.0 else "Clip"]
    compare(path, graph, 0.0)
