"""Host operators of a 16-bit file have the form of its operator set: the values are those of the form they came in."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import defs, helper, numpy_helper

from slimai.graph.later_form import in_operator_set
from slimai.graph.load import load_onnx
from slimai.graph.save import to_onnx

FORMS = {
    "ReduceProd": ([(1, 3, 4)], {"axes": [1], "keepdims": 0}, {}),
    "ReduceLogSum": ([(1, 3, 4)], {"axes": [-1], "keepdims": 0}, {}),
    "ReduceLogSumExp": ([(1, 3, 4)], {"keepdims": 0}, {}),
    "GridSample bilinear": ([(1, 2, 5, 4), (1, 3, 3, 2)], {"mode": "bilinear", "padding_mode": "border"}, {}),
    "GridSample bicubic": ([(1, 2, 5, 4), (1, 3, 3, 2)], {"mode": "bicubic", "align_corners": 1}, {}),
    "GridSample": ([(1, 2, 5, 4), (1, 3, 3, 2)], {}, {}),
    "DFT": ([(1, 6, 1)], {"axis": 1, "onesided": 1}, {}),
    "Resize": ([(1, 2, 4, 4)], {"mode": "cubic"}, {2: np.array([1, 1, 2, 1.5], np.float32)}),
    "Split": ([(1, 6)], {"axis": 1}, {}),
    "LpPool": ([(1, 2, 5, 5)], {"kernel_shape": [2, 2]}, {}),
    "ScatterElements": ([(1, 3)], {"axis": 1}, {1: np.array([[2]]), 2: np.array([[0.5]], np.float32)}),
}


def network(tmp_path, op: str, shapes, attrs, constants):
    names = [f"x{number}" for number in range(len(shapes))]
    rows = {position: f"c{position}" for position in constants}
    length = max([len(names) - 1, *rows]) + 1
    inputs = [rows.get(at, names[at] if at < len(names) else "") for at in range(length)]
    node = helper.make_node(op, inputs, ["y0", "y1"] if op == "Split" else ["y0"], name="host", **attrs)
    graph = helper.make_graph(
        [helper.make_node("Abs", [names[0]], ["a"], name="first"), node],
        "net",
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in zip(names, shapes, strict=True)],
        [helper.make_tensor_value_info(name, 1, None) for name in node.output],
        [numpy_helper.from_array(value, rows[position]) for position, value in constants.items()],
    )
    graph.node[1].input[0] = "a"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return load_onnx(path)


def values(model: onnx.ModelProto, feeds):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def check(graph, shapes):
    rng = np.random.default_rng(7)
    feeds = {f"x{number}": rng.uniform(-1, 1, shape).astype(np.float32) for number, shape in enumerate(shapes)}
    later = to_onnx(in_operator_set(graph, 21))
    assert later.opset_import[0].version == 21
    onnx.checker.check_model(later, full_check=True)
    for found, wanted in zip(values(later, feeds), values(to_onnx(graph), feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_a_host_operator_means_the_same_in_a_later_operator_set(form, tmp_path):
    shapes, attrs, constants = FORMS[form]
    check(network(tmp_path, form.split()[0], shapes, attrs, constants), shapes)


REDUCTIONS = sorted(
    op
    for op in ("ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax")
    if defs.get_schema(op, max_inclusive_version=17).since_version
    != defs.get_schema(op, max_inclusive_version=21).since_version
)


@settings(max_examples=30, deadline=None)
@given(
    op=st.sampled_from(REDUCTIONS),
    axes=st.none() | st.lists(st.integers(-3, 2), min_size=1, max_size=2, unique_by=lambda axis: axis % 3),
    keepdims=st.integers(0, 1),
)
def test_reductions_of_any_axes(op, axes, keepdims, tmp_path_factory):
    attrs = {"keepdims": keepdims} | ({} if axes is None else {"axes": axes})
    shapes = [(2, 3, 4)]
    check(network(tmp_path_factory.mktemp("net"), op, shapes, attrs, {}), shapes)
