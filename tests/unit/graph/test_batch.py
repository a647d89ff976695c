"""Which operators keep images apart. Wherever the analysis says yes, `compare` runs three images at once."""

from __future__ import annotations

import numpy as np
import pytest

from slimai.graph.load import load_onnx

F32 = np.float32


def ints(*values):
    return np.array(values, dtype=np.int64)


M = np.random.default_rng(2).normal(size=(4, 4)).astype(F32)

# Nodes, inputs, constants, and the reason (None: any batch) of each case.
CASES = {
    "channel shuffle": (
        [("Reshape", "xa", "r", {}), ("Transpose", "r", "t", {"perm": [0, 2, 1, 3]}), ("Reshape", "tb", "y", {})],
        {"x": [1, 4, 6]}, {"a": ints(1, 2, 2, 6), "b": ints(1, 4, 6)}, None),
    "attention": (
        [("Transpose", "x", "t", {"perm": [0, 2, 1]}), ("MatMul", "xt", "m", {}), ("Softmax", "m", "y", {"axis": -1})],
        {"x": [1, 4, 6]}, {}, None),
    "constant times tensor": ([("MatMul", "mx", "y", {})], {"x": [1, 4, 6]}, {"m": M}, None),
    "tensor times constant": ([("MatMul", "xm", "y", {})], {"x": [1, 4]}, {"m": M}, None),
    "one row in a constant": ([("Add", "xm", "y", {})], {"x": [1, 4]}, {"m": M[:1]}, None),
    "reduced sum": ([("ReduceSum", "xa", "y", {"keepdims": 0})], {"x": [1, 4, 6]}, {"a": ints(2)}, None),
    "picked channels": ([("Gather", "xi", "y", {"axis": 1})], {"x": [1, 4, 6]}, {"i": ints(3, 1)}, None),
    "layer norm": ([("LayerNormalization", "xs", "y", {})], {"x": [1, 4, 6]}, {"s": np.ones(6, F32)}, None),
    "where": ([("Greater", "xk", "g", {}), ("Where", "gxk", "y", {})], {"x": [1, 4]}, {"k": F32(0)}, None),
    "two rows in a constant": (
        [("Add", "xm", "y", {})], {"x": [1, 4]}, {"m": M[:2]},
        "Add 'add0' gives a tensor of the shape (2, 4), without a batch axis of 1"),
    "priors": (
        [("Concat", "xm", "y", {"axis": 1})], {"x": [1, 4]}, {"m": M[:1]},
        "Concat 'concat0' appends a constant, which has no batch"),
    "ranks differ": (
        [("ReduceSum", "xa", "s", {"keepdims": 0}), ("Add", "xs", "y", {})], {"x": [1, 4, 4]}, {"a": ints(1)},
        "Add 'add1' combines tensors of different rank"),
    "two matrices": (
        [("Transpose", "x", "t", {"perm": [0, 1]}), ("MatMul", "xz", "y", {})], {"x": [1, 1], "z": [1, 5]}, {},
        "MatMul 'matmul1' multiplies two activations across the batch axis"),
    "outer constant": (
        [("MatMul", "mx", "y", {})], {"x": [1, 5]}, {"m": M[:1, :1]},
        "MatMul 'matmul0' combines a constant along the batch axis"),
    "softmax over images": (
        [("Softmax", "x", "y", {"axis": 0})], {"x": [1, 4]}, {}, "Softmax 'softmax0' works along the batch axis"),
    "mean over everything": (
        [("ReduceMean", "x", "y", {})], {"x": [1, 4]}, {}, "ReduceMean 'reducemean0' works along the batch axis"),
    "sum over everything": (
        [("ReduceSum", "x", "y", {})], {"x": [1, 4]}, {}, "ReduceSum 'reducesum0' works along the batch axis"),
    "no batch axis": (
        [("Relu", "x", "y", {})], {"x": [5, 4]}, {}, "input 'x' has the shape (5, 4), without a batch axis of 1"),
    "batch from inside": (
        [("Transpose", "x", "t", {"perm": [1, 0, 2]}), ("Relu", "t", "y", {})], {"x": [1, 1, 4]}, {},
        "Transpose 'transpose0' moves the batch axis"),
    "unknown to the table": (
        [("Einsum", "x", "y", {"equation": "ij->ij"})], {"x": [1, 4]}, {},
        "Einsum 'einsum0' is not known to keep images apart"),
    "random": (
        [("RandomNormal", "", "r", {"shape": [1, 4]}), ("Add", "xr", "y", {})], {"x": [1, 4]}, {},
        "RandomNormal 'randomnormal0' does not depend on the input"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_batch(build, compare, case):
    nodes, inputs, constants, reason = CASES[case]
    path = build(nodes, inputs, ["y"], constants)
    graph = load_onnx(path)
    assert graph.batch_note == (reason or "")
    assert graph.batchable == (reason is None)
    if case != "random":
        compare(path, graph, 1e-6)


def test_constant_output(build):
    graph = load_onnx(build([("Relu", "x", "y", {}), ("Neg", "k", "z", {})], {"x": [1, 2]}, ["y", "z"], {"k": M}))
    assert graph.batch_note == "output 'z' is a constant"
