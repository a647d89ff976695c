"""Every form of Gemm keeps its product in an integer kernel: any bias, any scaling, two activations."""

import itertools

import numpy as np
import pytest

from slimai.graph.load import load_onnx
from slimai.quantizer.layers import layer_steps

FORMS = list(
    itertools.product([None, (4,), (1, 4), (3, 4), (3, 1), (1, 1), ()], [False, True], [1.0, 0.5], [0, 1], [1, 3])
)


@pytest.mark.parametrize(("bias", "computed", "beta", "trans_b", "rows"), FORMS)
def test_gemm(build, compare, bias, computed, beta, trans_b, rows):
    """Tolerance 1e-5 of the largest value: sums in another order."""
    if bias is not None and len(bias) == 2 and bias[0] not in (1, rows):
        bias = (rows, *bias[1:])
    rng = np.random.default_rng(2)
    constants = {"w": rng.normal(size=(4, 5) if trans_b else (5, 4)).astype(np.float32)}
    inputs = {"x": [rows, 5]}
    names = ["x", "w"]
    if bias is not None and computed:
        inputs["c"] = list(bias)
        names.append("s")
    elif bias is not None:
        constants["s"] = rng.normal(size=bias).astype(np.float32)
        names.append("s")
    nodes = [("Sigmoid", ["c"], ["s"], {})] if "c" in inputs else []
    nodes.append(("Gemm", names, ["y"], {"beta": beta, "transB": trans_b}))
    path = build(nodes, inputs, ["y"], constants)
    graph = load_onnx(path)
    compare(path, graph, 1e-5)
    product = [step for step in layer_steps(graph) if step.node.op in ("Gemm", "MatMul")]
    assert [step.host for step in product] == [""]


@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_of_two_activations_is_a_matmul(build, compare, trans_b):
    shape = [4, 5] if trans_b else [5, 4]
    path = build(
        [("Sigmoid", ["b"], ["s"], {}), ("Gemm", ["a", "s", "c"], ["y"], {"transB": trans_b})],
        {"a": [3, 5], "b": shape},
        ["y"],
        {"c": np.ones(4, np.float32)},
    )
    graph = load_onnx(path)
    compare(path, graph, 1e-5)
    assert not any(step.host for step in layer_steps(graph))
    assert "MatMul" in [node.op for node in graph.nodes]


def test_integer_matmul_with_a_computed_addend_stays_in_integers(build):
    """ONNX Runtime's optimizer makes MatMul and Add a Gemm with a computed bias."""
    path = build(
        [("MatMul", ["a", "w"], ["p"], {}), ("MatMul", ["b", "w"], ["q"], {}), ("Add", ["p", "q"], ["y"], {})],
        {"a": [1, 5], "b": [1, 5]},
        ["y"],
        {"w": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)},
    )
    graph = load_onnx(path)
    assert not any(step.host for step in layer_steps(graph))
