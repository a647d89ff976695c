"""Each pass: results as before (ONNX Runtime on the file is the oracle), and refusals with their reason."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.graph.load import load_onnx
from slimai.graph.passes import PASSES, run_pass
from slimai.graph.passes.base import Pass, Replacement, broken, run_passes
from slimai.graph.passes.fold_constant import FOLD_CONSTANT

rng = np.random.default_rng(17)
BY_NAME = {item.name: item for item in PASSES}
F32 = np.float32
X = {"x": [1, 4, 8, 10]}
ZEROS = [0] * 4


def floats(*shape):
    return rng.normal(size=shape).astype(F32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def spread(*shape):
    """Values away from zero, safe as divisors and scales."""
    return rng.uniform(0.5, 1.5, shape).astype(F32)


CONV = {"w": floats(6, 4, 3, 3), "b": floats(6)}
BN = {"s": spread(6), "o": floats(6), "m": floats(6), "v": spread(6)}
GATE = {"three": F32(3.0), "zero": F32(0.0), "six": F32(6.0), "sixth": F32(1 / 6)}

# name: (pass, nodes, inputs, constants, operators afterwards)
POSITIVE = {
    "BatchNormalization into Conv": (
        "fold_batchnorm",
        [("Conv", "xwb", "c", {}), ("BatchNormalization", "csomv", "y", {"epsilon": 0.01})],
        X, {**CONV, **BN}, ["Conv"]),
    "BatchNormalization into Conv without bias": (
        "fold_batchnorm",
        [("Conv", "xw", "c", {}), ("BatchNormalization", "csomv", "y", {})],
        X, {**CONV, **BN}, ["Conv"]),
    "BatchNormalization into grouped ConvTranspose": (
        "fold_batchnorm",
        [("ConvTranspose", "xwb", "c", {"group": 2, "strides": [2, 2]}), ("BatchNormalization", "csomv", "y", {})],
        X, {"w": floats(4, 3, 3, 3), "b": floats(6), **BN}, ["ConvTranspose"]),
    "BatchNormalization into Gemm": (
        "fold_batchnorm",
        [("Gemm", "xwb", "c", {"transB": 1}), ("BatchNormalization", "csomv", "y", {})],
        {"x": [1, 5]}, {"w": floats(6, 5), "b": floats(6), **BN}, ["Gemm"]),
    "BatchNormalization alone": (
        "fold_batchnorm", [("Relu", "x", "r", {}), ("BatchNormalization", "rsomv", "y", {})],
        {"x": [1, 6, 4, 5]}, BN, ["Relu", "Conv"]),
    "BatchNormalization alone, 1-D": (
        "fold_batchnorm", [("BatchNormalization", "xsomv", "y", {})], {"x": [1, 6, 7]}, BN, ["Conv"]),
    "BatchNormalization of rank 2": (
        "fold_batchnorm", [("BatchNormalization", "xsomv", "y", {})], {"x": [1, 6]}, BN, ["Mul", "Add"]),
    "BatchNormalization after a shared Conv": (
        "fold_batchnorm",
        [("Conv", "xwb", "c", {}), ("BatchNormalization", "csomv", "n", {}), ("Add", "nc", "y", {})],
        X, {**CONV, **BN}, ["Conv", "Conv", "Add"]),
    "Mul into Conv": (
        "fold_scale", [("Conv", "xwb", "c", {}), ("Mul", "ck", "y", {})], X, {**CONV, "k": spread(6, 1, 1)}, ["Conv"]),
    "Div by a constant": (
        "divide_to_multiply", [("Div", "xk", "y", {})], X, {"k": spread(4, 1, 1)}, ["Mul"]),
    "one divided by a tensor": ("divide_to_multiply", [("Div", "kx", "y", {})], X, {"k": F32(1.0)}, ["Reciprocal"]),
    "Reciprocal of Sqrt": (
        "fuse_rsqrt", [("Abs", "x", "a", {}), ("Sqrt", "a", "s", {}), ("Reciprocal", "s", "y", {})], X, {},
        ["Abs", "Rsqrt"]),
    "Div into ConvTranspose": (
        "fold_scale", [("ConvTranspose", "xw", "c", {}), ("Div", "ck", "y", {})], X,
        {"w": floats(4, 6, 2, 2), "k": spread(1, 6, 1, 1)}, ["ConvTranspose"]),
    "Add into Conv": (
        "fold_scale", [("Conv", "xw", "c", {}), ("Add", "kc", "y", {})], X, {**CONV, "k": floats(6, 1, 1)}, ["Conv"]),
    "constant minus Conv": (
        "fold_scale", [("Conv", "xwb", "c", {}), ("Sub", "kc", "y", {})], X, {**CONV, "k": floats(1)}, ["Conv"]),
    "Conv minus constant, twice": (
        "fold_scale", [("Conv", "xwb", "c", {}), ("Sub", "ck", "d", {}), ("Mul", "dk", "y", {})], X,
        {**CONV, "k": floats(1)}, ["Conv"]),
    "Mul into Gemm": (
        "fold_scale", [("Gemm", "xwb", "c", {}), ("Mul", "ck", "y", {})], {"x": [1, 5]},
        {"w": floats(5, 6), "b": floats(6), "k": spread(6)}, ["Gemm"]),
    "Mul and Add into the Conv behind": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "m", {}), ("Add", "mo", "a", {}),
                             ("Conv", "awb", "y", {})],
        X, {**CONV, "k": spread(1), "o": floats(4, 1, 1)}, ["Relu", "Conv"]),
    "Sub and Div into a grouped Conv without bias": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Sub", "or", "m", {}),
                             ("Div", "mk", "a", {}), ("Conv", "av", "y", {"group": 2})],
        X, {"v": floats(6, 2, 3, 3), "k": F32(-0.3), "o": floats(1)}, ["Relu", "Conv"]),
    "Mul into a padded Conv, the sum stays": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "kr", "m", {}), ("Add", "mo", "a", {}),
                             ("Conv", "awb", "y", {"pads": [1, 1, 1, 1]})],
        X, {**CONV, "k": spread(1), "o": floats(4, 1, 1)}, ["Relu", "Add", "Conv"]),
    "Mul into two readers, one of them padded": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "m", {}), ("Conv", "mwb", "c", {}),
                             ("Conv", "mv", "d", {"pads": [1, 1, 1, 1], "strides": [2, 2]}), ("Relu", "c", "e", {}),
                             ("GlobalAveragePool", "e", "f", {}), ("GlobalAveragePool", "d", "g", {}),
                             ("Add", "fg", "y", {})],
        X, {**CONV, "v": floats(6, 4, 3, 3), "k": spread(1)},
        ["Relu", "Conv", "Conv", "Relu", "GlobalAveragePool", "GlobalAveragePool", "Add"]),
    "Mul into ConvTranspose": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "m", {}), ("ConvTranspose", "mw", "y", {})],
        X, {"w": floats(4, 6, 2, 2), "k": F32(2.5)}, ["Relu", "ConvTranspose"]),
    "Mul and Add into Gemm": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "m", {}), ("Add", "mo", "a", {}),
                             ("Gemm", "awb", "y", {"transB": 1})],
        {"x": [1, 5]}, {"w": floats(6, 5), "b": floats(6), "k": F32(0.2), "o": floats(5)}, ["Relu", "Gemm"]),
    "Mul into MatMul": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "m", {}), ("MatMul", "mw", "y", {})],
        {"x": [1, 3, 5]}, {"w": floats(5, 6), "k": F32(0.2)}, ["Relu", "MatMul"]),
    "Mul of an input into Conv": (
        "fold_scale_ahead", [("Mul", "xk", "m", {}), ("Sub", "mo", "a", {}), ("Conv", "awb", "y", {})],
        X, {**CONV, "k": F32(1 / 127.5), "o": F32(1)}, ["Add", "Conv"]),
    "MatMul and Add": (
        "fuse_gemm", [("MatMul", "xw", "c", {}), ("Add", "cb", "y", {})], {"x": [1, 5]},
        {"w": floats(5, 6), "b": floats(1, 6)}, ["Gemm"]),
    "Pad into Conv": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("Conv", "cwb", "y", {"pads": [1, 0, 0, 1], "strides": [2, 1]})], X,
        {**CONV, "p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, ["Conv"]),
    "Pad into AveragePool": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("AveragePool", "cs", "y", {"kernel_shape": [3, 3]})], X,
        {"p": ints(0, 0, 1, 2, 0, 0, 1, 0)}, ["AveragePool"]),
    "Pad into AveragePool that counts its own": (
        "fuse_pad",
        [("Pad", "xp", "c", {}),
         ("AveragePool", "c", "y", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1})], X,
        {"p": ints(0, 0, 1, 1, 0, 0, 1, 0)}, ["AveragePool"]),
    "Pad into MaxPool after Relu": (
        "fuse_pad",
        [("Relu", "x", "r", {}), ("Pad", "rp", "c", {}), ("MaxPool", "c", "y", {"kernel_shape": [3, 3]})], X,
        {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}, ["Relu", "MaxPool"]),
    "Pad with minus infinity into MaxPool": (
        "fuse_pad", [("Pad", "xpi", "c", {}), ("MaxPool", "c", "y", {"kernel_shape": [3, 3], "strides": [2, 2]})], X,
        {"p": ints(0, 0, 1, 1, 0, 0, 1, 1), "i": F32(-np.inf)}, ["MaxPool"]),
    "SiLU": ("fuse_activation", [("Sigmoid", "x", "s", {}), ("Mul", "sx", "y", {})], X, {}, ["SiLU"]),
    "Mish": (
        "fuse_activation", [("Softplus", "x", "s", {}), ("Tanh", "s", "t", {}), ("Mul", "xt", "y", {})], X, {},
        ["Mish"]),
    "HardSwish from HardSigmoid": (
        "fuse_activation", [("HardSigmoid", "x", "s", {"alpha": 1 / 6}), ("Mul", "xs", "y", {})], X, {}, ["HardSwish"]),
    "HardSwish divided at the end": (
        "fuse_activation",
        [("Add", ["x", "three"], "a", {}), ("Clip", ["a", "zero", "six"], "c", {}), ("Mul", "xc", "m", {}),
         ("Div", ["m", "six"], "y", {})], X, GATE, ["HardSwish"]),
    "HardSwish multiplied at the end": (
        "fuse_activation",
        [("Add", ["three", "x"], "a", {}), ("Clip", ["a", "zero", "six"], "c", {}), ("Mul", "cx", "m", {}),
         ("Mul", ["sixth", "m"], "y", {})], X, GATE, ["HardSwish"]),
    "HardSwish with the factor inside": (
        ("fuse_hard_sigmoid", "fuse_activation"),
        [("Add", ["x", "three"], "a", {}), ("Clip", ["a", "zero", "six"], "c", {}), ("Div", ["c", "six"], "d", {}),
         ("Mul", "xd", "y", {})], X, GATE, ["HardSwish"]),
    "HardSigmoid": (
        "fuse_hard_sigmoid",
        [("Add", ["x", "three"], "a", {}), ("Clip", ["a", "zero", "six"], "c", {}), ("Div", ["c", "six"], "y", {})],
        X, GATE, ["HardSigmoid"]),
    "HardSigmoid of a scaled input": (
        "fuse_hard_sigmoid",
        [("Mul", ["x", "fifth"], "m", {}), ("Add", ["m", "half"], "a", {}), ("Clip", ["a", "zero", "one"], "y", {})],
        X, {"fifth": F32(0.2), "half": F32(0.5), "zero": F32(0), "one": F32(1)}, ["HardSigmoid"]),
    "PRelu from Abs": (
        "fuse_prelu",
        [("Relu", "x", "r", {}), ("Abs", "x", "a", {}), ("Sub", "xa", "s", {}), ("Mul", "sk", "m", {}),
         ("Mul", "mh", "n", {}), ("Add", "rn", "y", {})],
        X, {"k": spread(1, 4, 1, 1), "h": F32(0.5)}, ["PRelu"]),
    "PRelu from Neg": (
        "fuse_prelu",
        [("Relu", "x", "r", {}), ("Neg", "x", "a", {}), ("Relu", "a", "s", {}), ("Mul", "sk", "m", {}),
         ("Neg", "m", "n", {}), ("Add", "nr", "y", {})],
        X, {"k": spread(4, 1, 1)}, ["PRelu"]),
    "PRelu from a difference": (
        "fuse_prelu",
        [("Relu", "x", "r", {}), ("Neg", "x", "a", {}), ("Relu", "a", "s", {}), ("Mul", "sk", "m", {}),
         ("Sub", "rm", "y", {})],
        X, {"k": spread(4, 1, 1)}, ["PRelu"]),
    "LeakyRelu from Abs": (
        "fuse_prelu",
        [("Relu", "x", "r", {}), ("Abs", "x", "a", {}), ("Sub", "ax", "s", {}), ("Mul", "sk", "m", {}),
         ("Add", "rm", "y", {})],
        X, {"k": F32(-0.05)}, ["LeakyRelu"]),
    "Softmax between Reshapes": (
        "unwrap_softmax",
        [("Reshape", ["x", "flat"], "f", {}), ("Softmax", "f", "s", {"axis": 1}), ("Reshape", ["s", "back"], "y", {})],
        {"x": [1, 6, 5]}, {"flat": ints(6, 5), "back": ints(1, 6, 5)}, ["Softmax"]),
    "Softmax in float64": (
        "drop_wider_type",
        [("Cast", "x", "d", {"to": 11}), ("Softmax", "d", "s", {"axis": 3}), ("Cast", "s", "y", {"to": 1})],
        X, {}, ["Softmax"]),
    "Tanh in float64, whose operand is also read": (
        "drop_wider_type",
        [("Cast", "x", "d", {"to": 11}), ("Tanh", "d", "t", {}), ("Cast", "t", "f", {"to": 1}),
         ("Floor", "d", "e", {}), ("Cast", "e", "g", {"to": 1}), ("Add", "fg", "y", {})],
        X, {}, ["Cast", "Tanh", "Floor", "Cast", "Add"]),
    "channel order into Conv": (
        "fold_channel_gather", [("Gather", "xi", "g", {"axis": 1}), ("Conv", "gwb", "y", {})], X,
        {**CONV, "i": ints(2, 0, -1, 2)}, ["Conv"]),
    "two Reshapes": (
        "merge_reshape", [("Reshape", "xa", "r", {}), ("Reshape", "rb", "y", {})], X,
        {"a": ints(1, 32, 10), "b": ints(1, 320)}, ["Reshape"]),
}  # fmt: skip


def small(build, nodes, inputs, constants, outputs=("y",), **kwargs):
    used = {name for node in nodes for name in node[1]}
    kept = {key: value for key, value in constants.items() if key in used}
    drop = [(op, [name for name in ins if name != "s" or op != "AveragePool"], outs, at) for op, ins, outs, at in nodes]
    return build(drop, inputs, list(outputs), kept, **kwargs)


def apply(graph, names):
    changes = ()
    for name in (names,) if isinstance(names, str) else names:
        graph, found = run_pass(graph, BY_NAME[name])
        changes += found
    return graph, changes


@pytest.mark.parametrize("case", POSITIVE)
def test_rewrite_keeps_the_results(build, compare, case):
    names, nodes, inputs, constants, expected = POSITIVE[case]
    path = small(build, nodes, inputs, constants)
    before = load_onnx(path, optimize=False)
    graph, changes = apply(before, names)
    assert [node.op for node in graph.nodes] == expected
    assert graph.outputs == before.outputs
    assert all(item.applied and item.reason for item in changes if item.node == graph.nodes[-1].name)
    compare(path, graph, 2e-6)
    again, changes = apply(graph, names)
    assert again.nodes == graph.nodes
    assert not any(item.applied for item in changes)


CONV_THEN = [("Conv", "xwb", "c", {})]
PAD4 = ints(0, 0, 1, 1, 0, 0, 1, 1)

# name: (pass, nodes, inputs, constants, outputs, reason)
NEGATIVE = {
    "shared Conv": (
        "fold_scale", [*CONV_THEN, ("Mul", "ck", "m", {}), ("Add", "mc", "y", {})], X, {**CONV, "k": spread(6, 1, 1)},
        ["y"], "'c' is also read by 'add2'"),
    "Conv output of the network": (
        "fold_scale", [*CONV_THEN, ("Mul", "ck", "y", {})], X, {**CONV, "k": spread(6, 1, 1)}, ["y", "c"],
        "'c' is an output of the network"),
    "constant by column": (
        "fold_scale", [*CONV_THEN, ("Mul", "ck", "y", {})], X, {**CONV, "k": spread(8)}, ["y"],
        "the constant differs within a channel"),
    "constant divided by Conv": (
        "fold_scale", [*CONV_THEN, ("Div", "kc", "y", {})], X, {**CONV, "k": spread(1)}, ["y"],
        "a constant divided by a tensor is not linear"),
    "division by a constant with zeros": (
        "divide_to_multiply", [("Div", "xk", "y", {})], X, {"k": np.zeros(1, F32)}, ["y"],
        "the divisor has no reciprocal in float32"),
    "division by zero": (
        "fold_scale", [*CONV_THEN, ("Div", "ck", "y", {})], X, {**CONV, "k": np.zeros(1, F32)}, ["y"],
        "a factor is not finite"),
    "a constant in front of padding": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Add", "rk", "a", {}), ("Conv", "awb", "y", {"pads": [1] * 4})],
        X, {**CONV, "k": floats(1)}, ["y"],
        "zeros around what a reader sees, or the pixels of an input, are not to be moved"),
    "a factor of zero": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "a", {}), ("Conv", "awb", "y", {})],
        X, {**CONV, "k": np.zeros(1, F32)}, ["y"], "a factor is zero or not finite"),
    "computed weights": (
        "fold_scale", [("Conv", "xw", "c", {}), ("Mul", "ck", "y", {})], {**X, "w": [6, 4, 3, 3]},
        {"k": spread(1)}, ["y"], "the weights or the bias of 'conv0' are computed"),
    "computed statistics": (
        "fold_batchnorm", [("BatchNormalization", "xsomv", "y", {})], {"x": [1, 6, 4, 4], "m": [6]}, BN, ["y"],
        "its statistics are computed"),
    "BatchNormalization of rank 6": (
        "fold_batchnorm", [("BatchNormalization", "xsomv", "y", {})], {"x": [1, 6, 2, 2, 2, 2]}, BN, ["y"],
        "a tensor of 6 axes"),
    "reflect Pad": (
        "fuse_pad", [("Pad", "xp", "c", {"mode": "reflect"}), ("Conv", "cwb", "y", {})], X, {**CONV, "p": PAD4},
        ["y"], "a reflect Pad is no zero padding"),
    "Pad with one": (
        "fuse_pad", [("Pad", "xpi", "c", {}), ("Conv", "cwb", "y", {})], X, {**CONV, "p": PAD4, "i": F32(1)},
        ["y"], "the padding value is 1.0, not 0"),
    "Pad of channels": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("Conv", "cwb", "y", {})], {"x": [1, 3, 8, 8]},
        {**CONV, "p": ints(0, 1, 0, 0, 0, 0, 0, 0)}, ["y"], "it pads batch or channels"),
    "Pad before MaxPool": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("MaxPool", "c", "y", {"kernel_shape": [3, 3]})], X, {"p": PAD4},
        ["y"], "the padding value could be the maximum"),
    "AveragePool with ceil_mode": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("AveragePool", "c", "y", {"kernel_shape": [3, 3], "ceil_mode": 1})], X,
        {"p": PAD4}, ["y"], "with ceil_mode the divisor would change"),
    "AveragePool with own padding": (
        "fuse_pad",
        [("Pad", "xp", "c", {}), ("AveragePool", "c", "y", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})], X,
        {"p": PAD4}, ["y"], "the AveragePool leaves its own padding out of the count"),
    "large padding": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("AveragePool", "c", "y", {"kernel_shape": [2, 2]})], X,
        {"p": ints(0, 0, 2, 2, 0, 0, 2, 2)}, ["y"], "the padding is as large as the window"),
    "shared Pad": (
        "fuse_pad", [("Pad", "xp", "c", {}), ("Conv", "cwb", "y", {}), ("Relu", "c", "z", {})], X,
        {**CONV, "p": PAD4}, ["y", "z"], "'c' is also read by 'relu2'"),
    "MatMul of rank 3": (
        "fuse_gemm", [("MatMul", "xw", "c", {}), ("Add", "cb", "y", {})], {"x": [1, 3, 5]},
        {"w": floats(5, 6), "b": floats(6)}, ["y"], "a Gemm takes two axes and constant weights"),
    "MatMul and a column": (
        "fuse_gemm", [("MatMul", "xw", "c", {}), ("Add", "cb", "y", {})], {"x": [4, 5]},
        {"w": floats(5, 6), "b": floats(4, 1)}, ["y"], "the constant is not one row"),
    "shared Sigmoid": (
        "fuse_activation", [("Sigmoid", "x", "s", {}), ("Mul", "xs", "m", {}), ("Add", "ms", "y", {})], X, {}, ["y"],
        "'s' is also read by 'add2'"),
    "Abs read by another": (
        "fuse_prelu",
        [("Relu", "x", "r", {}), ("Abs", "x", "a", {}), ("Sub", "xa", "s", {}), ("Mul", "sk", "m", {}),
         ("Add", "rm", "y", {})],
        X, {"k": F32(0.1)}, ["y", "a"], "'a' is an output of the network"),
    "Softmax over two axes": (
        "unwrap_softmax",
        [("Reshape", ["x", "flat"], "f", {}), ("Softmax", "f", "s", {"axis": 1}), ("Reshape", ["s", "back"], "y", {})],
        {"x": [1, 6, 5]}, {"flat": ints(1, 30), "back": ints(1, 6, 5)}, ["y"], "the Softmax runs over several axes"),
    "float64 that is read twice": (
        "drop_wider_type",
        [("Cast", "x", "d", {"to": 11}), ("Softmax", "d", "s", {"axis": 3}), ("Cast", "s", "y", {"to": 1}),
         ("Floor", "s", "e", {}), ("Cast", "e", "z", {"to": 1})],
        X, {}, ["y", "z"], "'s' is also read by 'floor3'"),
    "Gather of rows": (
        "fold_channel_gather", [("Gather", "xi", "g", {"axis": 2}), ("Conv", "gwb", "y", {})], X,
        {**CONV, "i": ints(2, 0, 1)}, ["y"], "it does not pick channels"),
    "Gather before a grouped Conv": (
        "fold_channel_gather", [("Gather", "xi", "g", {"axis": 1}), ("Conv", "gw", "y", {"group": 4})], X,
        {"w": floats(4, 1, 3, 3), "i": ints(2, 0, 1, 3)}, ["y"], "the Conv has groups"),
    "Reshape that is an output": (
        "merge_reshape", [("Reshape", "xa", "r", {}), ("Reshape", "rb", "y", {})], X,
        {"a": ints(1, 32, 10), "b": ints(1, 320)}, ["y", "r"], "'r' is an output of the network"),
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVE)
def test_refusal_says_why_and_changes_nothing(build, case):
    name, nodes, inputs, constants, outputs, reason = NEGATIVE[case]
    constants = {key: value for key, value in constants.items() if key not in inputs}
    before = load_onnx(small(build, nodes, inputs, constants, outputs), optimize=False)
    graph, changes = apply(before, name)
    assert [item.reason for item in changes] == [reason]
    assert not changes[0].applied
    assert graph.nodes == before.nodes


UNRELATED = {
    "a factor a channel in front of a Conv": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "a", {}), ("Conv", "awb", "y", {})],
        {**CONV, "k": spread(4, 1, 1)}),
    "a factor that something else reads too": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "a", {}), ("Conv", "awb", "c", {}),
                             ("GlobalAveragePool", "a", "g", {}), ("GlobalAveragePool", "c", "d", {}),
                             ("Concat", "gd", "y", {"axis": 1})],
        {**CONV, "k": spread(1)}),
    "a factor of what has computed weights": (
        "fold_scale_ahead", [("Relu", "x", "r", {}), ("Mul", "rk", "a", {}),
                             ("Transpose", "z", "t", {"perm": [0, 1, 3, 2]}), ("MatMul", "at", "y", {})],
        {"k": spread(1)}),
    "Sigmoid of another tensor": ("fuse_activation", [("Sigmoid", "z", "s", {}), ("Mul", "xs", "y", {})], {}),
    "HardSigmoid of another slope": (
        "fuse_activation", [("HardSigmoid", "x", "s", {"alpha": 0.2}), ("Mul", "xs", "y", {})], {}),
    "Clip at another top": (
        "fuse_hard_sigmoid",
        [("Add", "xt", "a", {}), ("Clip", "alh", "c", {}), ("Div", "cd", "y", {}), ("Relu", "z", "q", {})],
        {"t": F32(3), "l": F32(0), "h": F32(5), "d": F32(6)}),
    "Relu of another tensor": (
        "fuse_prelu",
        [("Relu", "z", "r", {}), ("Abs", "x", "a", {}), ("Sub", "xa", "s", {}), ("Mul", "sk", "m", {}),
         ("Add", "rm", "y", {})], {"k": F32(0.1)}),
}  # fmt: skip


@pytest.mark.parametrize("case", UNRELATED)
def test_a_near_miss_is_left_alone(build, case):
    name, nodes, constants = UNRELATED[case]
    before = load_onnx(build(nodes, {**X, "z": X["x"]}, ["y"], constants), optimize=False)
    graph, changes = apply(before, name)
    assert changes == ()
    assert graph.nodes == before.nodes


def test_constants_are_folded_but_quantizers_and_large_values_stay(build, compare):
    nodes = [
        ("Add", ["a", "b"], "c", {}),
        ("Exp", "c", "d", {}),
        ("Mul", "xd", "m", {}),
        ("QuantizeLinear", ["a", "k", "o"], "q", {}),
        ("DequantizeLinear", ["q", "k", "o"], "e", {}),
        ("Add", "me", "y", {}),
    ]
    constants = {"a": floats(4, 1, 1), "b": floats(1), "k": F32(0.1), "o": np.uint8(7)}
    path = build(nodes, X, ["y"], constants)
    graph = load_onnx(path, optimize=False)
    assert [node.op for node in graph.nodes] == ["Mul", "QuantizeLinear", "DequantizeLinear", "Add"]
    compare(path, graph, 1e-6)
    path = build([("Expand", ["k", "n"], "e", {}), ("Mul", "xe", "y", {})], {"x": [1]}, ["y"],
                 {"k": F32(0.1), "n": ints(20_000_000)}, name="large")  # fmt: skip
    graph = load_onnx(path, optimize=False)
    _, (change,) = run_pass(graph, FOLD_CONSTANT)
    assert (change.reason, change.applied) == ("its value would take 80000000 bytes", False)


def test_unread_nodes_go(build):
    nodes = [("Relu", "x", "y", {}), ("Sigmoid", "x", "a", {}), ("Exp", "a", "b", {})]
    graph = load_onnx(build(nodes, X, ["y"]), optimize=False)
    assert [node.op for node in graph.nodes] == ["Relu"]
    assert any(line.startswith("drop_unread: exp2: nobody reads its output") for line in graph.history)


def test_contract_of_a_pass(build):
    graph = load_onnx(build([("Relu", "x", "y", {})], X, ["y"]), optimize=False)
    with pytest.raises(AssertionError, match="graph pass late must run after early"):
        run_passes(graph, [Pass("late", lambda _graph, _node: None, requires=("early",))])
    with pytest.raises(AssertionError, match="graph pass wrong: still there"):
        run_pass(graph, Pass("wrong", lambda _graph, _node: None, ensures=lambda _graph: "still there"))

    def lose(_graph, node):
        return Replacement((), (), "lost") if node.op == "Relu" else None

    with pytest.raises(AssertionError, match="graph pass lose: output y is not computed"):
        run_pass(graph, Pass("lose", lose))
    assert broken(graph) == ""


def test_order_of_passes_meets_their_requirements():
    done = set()
    for item in PASSES:
        assert done.issuperset(item.requires), item.name
        done.add(item.name)
    assert len(done) == len(PASSES)
