"""What an operator means is known up to a definition; a node that goes beyond is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper

from slimai.errors import UnsupportedError
from slimai.graph import attributes
from slimai.graph.attributes import KNOWN, refuse_unknown_forms
from slimai.graph.canonical import RULES
from slimai.graph.load import load_onnx


def one_node(op, attrs, opset):
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="the_node", **attrs)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_every_operator_with_a_rule_is_in_the_table():
    assert set(RULES) <= set(KNOWN)


@pytest.mark.parametrize("op", KNOWN)
def test_the_table_is_as_new_as_the_installed_onnx(op):
    """Fails with a newer onnx package: read what it changed, then raise the number and handle the attribute."""
    schema = defs.get_schema(op)
    assert schema.since_version <= KNOWN[op].version
    assert set(schema.attributes) <= KNOWN[op].attributes


@given(st.sampled_from(sorted(op for op, form in KNOWN.items() if form.attributes)), st.data())
def test_an_attribute_that_is_not_in_the_table_is_refused(op, data):
    attribute = data.draw(st.sampled_from(sorted(KNOWN[op].attributes)))
    old = attributes._form(KNOWN[op].version, *(KNOWN[op].attributes - {attribute}))
    model = one_node(op, {attribute: 1}, 28)
    refuse_unknown_forms(model, "net.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KNOWN, op, old)
        with pytest.raises(UnsupportedError) as caught:
            refuse_unknown_forms(model, "net.onnx")
    assert str(caught.value) == f"net.onnx: the_node: attribute '{attribute}' of {op} is not known here"


FIRST_OF_THEIR_NAME = {"Swish", "Gelu"}  # no operator set before defines them


@given(
    st.sampled_from(
        sorted(op for op in KNOWN if defs.get_schema(op).since_version > 17 and op not in FIRST_OF_THEIR_NAME)
    )
)
def test_a_newer_definition_is_refused(op):
    newest = defs.get_schema(op).since_version
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KNOWN, op, attributes._form(newest - 1, *KNOWN[op].attributes))
        refuse_unknown_forms(one_node(op, {}, newest - 1), "net.onnx")
        with pytest.raises(UnsupportedError) as caught:
            refuse_unknown_forms(one_node(op, {}, newest), "net.onnx")
    assert str(caught.value) == (
        f"net.onnx: the_node: {op} as operator set {newest} defines it is newer than the one known here "
        f"(got {newest - 1}); export the model with operator set {newest - 1} or older"
    )


def test_an_operator_set_that_nobody_knows_yet():
    with pytest.raises(UnsupportedError, match="Relu as operator set 99 defines it is newer"):
        refuse_unknown_forms(one_node("Relu", {}, 99), "net.onnx")


def test_space_to_depth_in_both_orders(build, compare):
    for mode in ("DCR", "CRD"):
        nodes = [("SpaceToDepth", "x", "y", {"blocksize": 2, "mode": mode})]
        path = build(nodes, {"x": [1, 3, 4, 6]}, ["y"], opset=28, ir=10, name=mode)
        graph = load_onnx(path)
        assert graph.nodes[0].attrs == {"blocksize": 2, "mode": mode}
        compare(path, graph, 0.0)


def test_attributes_of_operators_outside_the_table_are_left_to_onnx_runtime(build, compare):
    path = build([("Gelu", "x", "y", {"approximate": "tanh"})], {"x": [1, 3, 4, 6]}, ["y"], opset=20, ir=10)
    compare(path, load_onnx(path), 1e-5)
