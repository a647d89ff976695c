"""The C library and the simulator's operators: what is missing is listed, and refused by name."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from operators import SAMPLES, integer_case

from slimai.codegen.kernels import FAMILIES, KernelSet, library
from slimai.codegen.layers import WRITERS, operators_without_kernel, writer_for
from slimai.codegen.network import build_network
from slimai.codegen.options import CodeOptions
from slimai.errors import InputError
from slimai.graph.ops import TRAITS
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

# Integer operators of the simulator that the C library lacks: refused by name. An entry leaves when its kernel comes.
RULES = ("xi_sym", "single", "gemmlowp", "tflite_s64", "tflite_dense")
LACKS: tuple[str, ...] = ()


def test_what_the_library_lacks_is_listed():
    assert operators_without_kernel() == LACKS, (
        "slimai/codegen/layers: give the operator a writer and a kernel in slimai/codegen/c, or list it here"
    )
    assert set(WRITERS) <= set(TRAITS)
    assert all(callable(writer_for(op)) for op in WRITERS)


def test_every_kernel_has_its_marks():
    pieces = library()
    assert {piece.kind for piece in pieces.values()} == {"helper", "kernel", "part"}
    for piece in pieces.values():
        assert piece.text.startswith(("static ", "/*", "void ")), piece.name
        assert (piece.kind == "kernel") == (re.search(rf"^void {piece.name}\(", piece.text, re.MULTILINE) is not None)
        called = [other.text for other in pieces.values() if other.kind == "part" and f"{other.name}(" in piece.text]
        for word in piece.words:
            assert any(re.search(rf"\b{word}\b", text) for text in (piece.text, *called)), (
                f"{piece.name}: {word} is no word of its text or of a part that it calls"
            )
    assert len(FAMILIES) == len(set(FAMILIES))


def test_a_kernel_wants_all_its_types():
    with pytest.raises(ValueError, match="kernel clamp is written for"):
        KernelSet("p").use("clamp", x_t="int8_t")


@pytest.mark.parametrize("kernel", ["conv", "depthwise"])
def test_rules_of_one_network_do_not_share_what_reads_their_tables(kernel):
    kernels = KernelSet("p")
    types = {"x_t": "int8_t", "w_t": "int8_t", "b_t": "int32_t", "acc_t": "int64_t", "y_t": "int8_t"}
    names = {rule: kernels.use(kernel, **types, tail=f"{rule}_s64") for rule in RULES}
    for rule, name in names.items():
        called = [text for part, text in kernels.parts.items() if f"{part}(" in kernels.made[name]]
        tables = {
            found for text in (kernels.made[name], *called) for found in re.findall(r"const (\w+_table) \*", text)
        }
        assert tables == {f"{rule}_table"}


def test_the_library_is_integers_without_allocation():
    for piece in library().values():
        code = re.sub(r"/\*.*?\*/", "", piece.text, flags=re.DOTALL)
        assert not re.search(r"\b(float|double|malloc|calloc|free|goto|__\w+)\b", code), piece.name
        assert not re.search(rf"\b{piece.name}\(.*\b{piece.name}\(", code.replace("\n", " ")), f"{piece.name} recurs"


def _program(op, arithmetic, plan=None):
    (sample, *_) = SAMPLES[op]
    made, _, _ = integer_case(op, sample, "xi_sym", "s8", np.random.default_rng(0))
    return compile_plan(plan or made, TargetSection(), arithmetic=arithmetic), made


def test_an_operator_without_a_kernel_is_refused_by_name(monkeypatch):
    program, _ = _program("Add", "xi_sym")
    monkeypatch.delitem(WRITERS, "Add")
    with pytest.raises(InputError) as info:
        build_network(program, TargetSection(), CodeOptions("net"))
    assert "codegen: Add_node__0: Add has no kernel in the C library yet" in str(info.value)


def test_float_arithmetic_and_host_layers_are_refused_by_name():
    program, plan = _program("Add", "ort_f32")
    with pytest.raises(InputError, match="Add_node__0: ort_f32 is float arithmetic by definition; choose another"):
        build_network(program, TargetSection(), CodeOptions("net"))
    three = replace(plan, layers=tuple(replace(plan.layers[0], name=f"add_{n}") for n in range(3)))
    program, _ = _program("Add", "ort_f32", three)
    with pytest.raises(InputError) as info:
        build_network(program, TargetSection(), CodeOptions("net"))
    assert str(info.value) == (
        "codegen: add_0: ort_f32 is float arithmetic by definition, here and in 2 more layers; "
        "choose another arithmetic (target.arithmetic, --arithmetic)"
    )
    host = replace(plan, layers=tuple(replace(layer, mode="host", note="it is strange") for layer in plan.layers))
    program, _ = _program("Add", "xi_sym", host)
    with pytest.raises(InputError, match="codegen: Add_node__0: runs in float on the host: it is strange"):
        build_network(program, TargetSection(), CodeOptions("net"))


def test_every_layer_that_cannot_become_c_is_named():
    _, plan = _program("Add", "xi_sym")
    (layer,) = plan.layers
    layers = tuple(replace(layer, name=f"host_{n}", mode="host", note=f"reason {n}") for n in range(3))
    program, _ = _program("Add", "xi_sym", replace(plan, layers=layers))
    with pytest.raises(InputError) as info:
        build_network(program, TargetSection(), CodeOptions("net"))
    assert [f"host_{n}: runs in float on the host: reason {n}" in str(info.value) for n in range(3)] == [True] * 3


@pytest.mark.parametrize("prefix", ["", "1net", "a-b", "for", "_net", "n" * 41, "netz\u00e9"])
def test_a_prefix_that_is_no_identifier_is_refused(prefix):
    with pytest.raises(InputError, match=r"codegen\.prefix: is no C identifier"):
        CodeOptions(prefix)
