"""One row an operator: whatever has a row in `slimai.graph.ops` is whole, and what is missing is told by name."""

from __future__ import annotations

import re
import typing
import zlib
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from operators import SAMPLES, float_graph, integer_case

from slimai.app.candidates.empirical_bias import corrected_options
from slimai.calibration.collect import channel_extremes, channel_magnitudes, collect
from slimai.errors import InputError
from slimai.graph import batch, ops, sign
from slimai.graph.canonical import RULES
from slimai.graph.channels import MARKS
from slimai.graph.load import load_onnx
from slimai.graph.ops import TRAITS, operators
from slimai.graph.save import to_onnx
from slimai.quantizer import tails
from slimai.quantizer.options import QuantOptions, VisionDsp
from slimai.quantizer.planner import build_plan
from slimai.quantizer.qdq import to_qdq
from slimai.quantizer.rewrites import absorption, channels
from slimai.quantizer.rewrites.absorption import absorb_biases
from slimai.quantizer.rewrites.clustering import cluster_channels
from slimai.quantizer.rewrites.constant_channels import fold_constant_channels
from slimai.quantizer.rewrites.equalization import equalize
from slimai.quantizer.support import host_reason
from slimai.schema.target import TargetSection
from slimai.simulator.ops import COMPILERS
from slimai.simulator.ops.tables import FUNCTIONS
from slimai.simulator.program import compile_plan
from slimai.simulator.requantize import PRESETS

INTEGER = tuple(op for op, row in TRAITS.items() if row.integer)
PLANNED = tuple(op for op in INTEGER if op != "Requantize")  # only the quantizer makes these
COLUMN_OF = {"dsp": 1, "tflite": 2, "ort": 3}


def seeded(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def samples(op):
    assert op in SAMPLES, f"{op}: no sample and scalar model in tests/oracle/operators.py"
    return SAMPLES[op]


@pytest.mark.parametrize("op", TRAITS)
def test_a_row_is_consistent(op):
    row = TRAITS[op]
    assert (row.scale == "fixed") == (row.fixed_range is not None), f"{op}: scale fixed and fixed_range go together"
    assert row.bias is None or row.weight is not None, f"{op}: a bias needs a weight"
    assert row.recipes or not row.integer, f"{op}: integer, and no recipe"
    assert not (row.clamp or row.ranks or row.operands or row.view) or row.integer, f"{op}: columns of integers only"
    assert row.onnx is not None or op in RULES or op in {"SiLU", "Rsqrt", "Requantize", "SquaredDifference"}, (
        f"{op}: column `onnx` is empty and slimai/graph/canonical has no rule: no ONNX model can bring it"
    )


def test_formulas_and_rows_name_the_same_operators():
    """A column that says `formula` has its formula, and no formula stands for an operator that does not say so."""
    assert set(operators(saturates=True)) == set(tails.FLAT), "column saturates against slimai/quantizer/tails.py"
    own = {op for op in batch.FORMULAS if op in TRAITS}
    assert set(operators(batch="formula")) == own, "column batch against slimai/graph/batch.py"
    foreign = batch._ELEMENTWISE | batch._BROADCAST
    assert not foreign & set(TRAITS), "slimai/graph/batch.py lists operators that have a row: the row speaks"
    assert set(operators(sign="formula")) == set(sign.FORMULAS), "column sign against slimai/graph/sign.py"
    factor = "column factor against slimai/quantizer/rewrites/channels.py"
    assert set(operators(factor="formula")) == set(channels.FORMULAS), factor
    constant = "column constant against slimai/quantizer/rewrites/absorption.py"
    assert set(operators(constant="formula")) == set(absorption.FORMULAS), constant


def test_every_row_is_in_the_docstring_of_canonical_forms():
    table = re.search(r"={3,} .*?\n(.*)\n={3,}", ops.__doc__, re.DOTALL)[1]
    missing = [op for op in TRAITS if not re.search(rf"(?<!\w){op}(?!\w)", table)]
    assert missing == [], "slimai/graph/ops.py, docstring: inputs and attributes are not written down"


def test_the_target_may_name_every_operator_with_weights():
    from slimai.schema import target

    annotation = target.TargetSection.model_fields["per_channel_ops"].annotation
    named = typing.get_args(typing.get_args(annotation)[0])
    assert set(named) == {*operators(family="matrix"), *operators(family="recurrent")}, (
        "slimai/schema/target.py, per_channel_ops"
    )
    assert tuple(target.TargetSection().per_channel_ops) == VisionDsp().per_channel_ops


def test_aliases_are_unique_and_name_kinds():
    every = [alias for row in TRAITS.values() for alias in row.aliases]
    assert len(every) == len(set(every))
    assert set(ops.KIND_ALIASES.values()) <= {*TRAITS, ops.DEPTHWISE}


# Kernels


def test_kernels_and_rows_name_the_same_operators():
    compilers = set(COMPILERS)
    assert set(INTEGER) - compilers == set(), "slimai/simulator/ops: no kernel of an operator whose row has a scale"
    assert compilers - set(INTEGER) == set(), "slimai/graph/ops.py: a kernel of an operator whose row has no scale"
    tables = {op for op in INTEGER if TRAITS[op].family == "pointwise" and TRAITS[op].weight is None}
    assert tables - set(FUNCTIONS) == set(), "slimai/simulator/ops/tables.py, FUNCTIONS: no formula"


@pytest.mark.parametrize("dtype", ["s8", "u8", "s16"])
@pytest.mark.parametrize("op", INTEGER)
def test_a_kernel_in_every_recipe_that_the_row_claims(op, dtype):
    for number, sample in enumerate(samples(op)):
        for preset in (item for item in PRESETS.values() if item.recipe in TRAITS[op].recipes):
            plan, feeds, case = integer_case(op, sample, preset.name, dtype, seeded(op, number, dtype))
            where = f"{op}, sample {number}, {preset.name} ({preset.recipe}), {dtype}"
            found = compile_plan(plan, TargetSection(), arithmetic=preset.name).run(feeds)
            for name, shape in zip(plan.graph.outputs, case.out_shapes, strict=True):
                kind = plan.tensors[name].dtype.numpy if name in plan.tensors else np.dtype(np.int64)
                assert (found[name].shape, found[name].dtype) == (shape, kind), where
                assert np.unique(found[name]).size > 1 or found[name].size == 1, f"{where}: one value everywhere"


def test_an_arithmetic_that_the_row_does_not_claim_is_refused_by_name(monkeypatch):
    (sample, *_) = samples("Relu")
    plan, _, _ = integer_case("Relu", sample, "ort_f32", "s8", seeded(0))
    monkeypatch.setitem(TRAITS, "Relu", replace(TRAITS["Relu"], recipes=frozenset({"dsp"})))
    compile_plan(plan, TargetSection(), arithmetic="xi_sym")
    with pytest.raises(InputError) as info:
        compile_plan(plan, TargetSection(), arithmetic="ort_f32")
    told = "target.arithmetic: Relu_node__0: Relu has no kernel under the arithmetic ort_f32"
    assert str(info.value).startswith(told)
    assert "it has one under xi_sym, single" in str(info.value)


# Scalar oracle


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["s8", "u8", "s16"])
@pytest.mark.parametrize("rule", ["xi_sym", "single"])
@pytest.mark.parametrize("op", INTEGER)
def test_every_integer_is_the_scalar_model_s(op, rule, dtype, tied):
    """Tolerance 0. Tied: the output has the grid of the input, as operators that move elements mostly have it."""
    if tied and TRAITS[op].scale not in ("same", "concat"):
        tied = False
    for number, sample in enumerate(samples(op)):
        plan, feeds, case = integer_case(op, sample, rule, dtype, seeded(op, number, rule, dtype), tied=tied)
        found = compile_plan(plan, TargetSection(), arithmetic=rule).run(feeds)
        for name, expected in zip(plan.graph.outputs, sample.model(case), strict=True):
            assert found[name].ravel().tolist() == expected, f"{op}, sample {number}, output {name}"


def test_no_sample_is_of_an_operator_without_a_row():
    assert set(SAMPLES) - set(INTEGER) == set(), "tests/oracle/operators.py"


# Documentation


def documented(root):
    """Return operator -> cells of its row in docs/arithmetic.md."""
    text = (root / "docs/arithmetic.md").read_text()
    section = text[text.index("## 3 Operators") : text.index("## 4 ")]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if "|" in line]
    found = {}
    for cells in rows[2:]:
        for op in re.findall(r"[A-Z]\w+", re.sub(r"\(.*?\)", "", cells[0])):
            found.setdefault(op, []).append(cells)
    return found


@pytest.mark.parametrize("op", INTEGER)
def test_a_row_of_documentation(op, repo_root):
    rows = documented(repo_root).get(op)
    assert rows, f"{op}: docs/arithmetic.md, section 3, has no row"
    for cells in rows:
        for recipe in TRAITS[op].recipes:
            filled = cells[COLUMN_OF[recipe]] if len(cells) > COLUMN_OF[recipe] else ""
            assert filled, f"{op}: the {recipe} column is empty"


def test_no_row_of_documentation_is_of_an_operator_without_kernel(repo_root):
    assert set(documented(repo_root)) <= set(INTEGER)


# Forms: ONNX in and out, and the exported integer network, with and without each accuracy aid


def float_outputs(graph, feeds, model=None):
    model = to_onnx(graph) if model is None else model
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(graph.outputs, session.run(None, feeds), strict=True))


def random_feeds(graph, rng):
    return {name: rng.uniform(-2, 2, graph.shape(name)).astype(np.float32) for name in graph.inputs}


@pytest.mark.parametrize("op", PLANNED)
def test_the_onnx_form_is_read_back_as_the_same_operator(op, tmp_path):
    for number, sample in enumerate(samples(op)):
        graph = float_graph(op, sample, seeded(op, number))
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(to_onnx(graph).SerializeToString())
        again = load_onnx(path)
        if not sample.spelled_out:
            node = next((node for node in again.nodes if node.op == op), None)
            assert node is not None, f"{op}: its ONNX form is read as {[item.op for item in again.nodes]}"
            assert set(node.attrs) == set(graph.nodes[0].attrs) - MARKS, f"{op}: attributes"
        assert not any(host_reason(again, item) for item in again.nodes), op
        feeds = random_feeds(graph, seeded(op, number, "feeds"))
        before, after = float_outputs(graph, feeds), float_outputs(again, feeds)
        for name in graph.outputs:
            assert np.allclose(before[name], after[name], rtol=1e-6, atol=1e-6, equal_nan=True), op


def rewritten(graph, aid, feeds):
    """Return the float network that an aid makes."""
    if aid in ("equalization", "clamp_per_channel"):
        magnitudes = channel_magnitudes(graph, iter(feeds))
        return equalize(graph, magnitudes, clamp_per_channel=aid == "clamp_per_channel").graph
    if aid == "bias_absorption":
        return absorb_biases(graph, channel_extremes(graph, iter(feeds))).graph
    if aid == "channel_clustering":
        return cluster_channels(graph, channel_magnitudes(graph, iter(feeds)), everywhere=True).graph
    return fold_constant_channels(graph)[0] if aid == "constant_channels" else graph


REWRITES = ("constant_channels", "equalization", "clamp_per_channel", "bias_absorption", "channel_clustering")
OPTIONS = {
    "none": {},
    "bias_correction": {"bias_correction": True},
    "weight_clipping": {"weight_clipping": True},
    "tail_clipping": {"tail_clipping": True},
    "level 3": {"level": 3},
    "level 4": {"level": 4},
}


@pytest.mark.parametrize("aid", [*OPTIONS, "empirical", *REWRITES])
@pytest.mark.parametrize("op", PLANNED)
def test_an_export_form_with_and_without_each_aid(op, aid):
    """The exported model runs and says what the integers say: at least 20 dB, and indices equal where it has them.

    Rewrites leave what the float network computes on the calibration images: relative tolerance 1e-4.
    """
    for number, sample in enumerate(samples(op)):
        rng = seeded(op, number, aid)
        graph = float_graph(op, sample, rng, hosted=True)
        feeds = [random_feeds(graph, rng) for _ in range(3)]
        changed = rewritten(graph, aid, feeds)
        where = f"{op}, sample {number}, {aid}"
        for item in feeds if changed is not graph else ():
            before, after = float_outputs(graph, item), float_outputs(changed, item)
            for name in graph.outputs:
                scale = np.abs(before[name]).max() + 1e-6
                assert np.abs(before[name] - after[name]).max() <= 1e-4 * scale, f"{where}: the rewrite changes {name}"
        stats = collect(changed, iter(feeds), per_channel=True)
        options = QuantOptions(**OPTIONS.get(aid, {}))
        if aid == "empirical":
            options = corrected_options(changed, stats, options, TargetSection(), feeds)
        plan = build_plan(changed, stats, options, TargetSection())
        assert all(layer.mode == "integer" for layer in plan.layers), where
        model = to_qdq(plan)
        program = compile_plan(plan, TargetSection())
        ours = program.dequantize(program.run(feeds[0]))
        theirs = float_outputs(changed, feeds[0], model)
        for name in changed.outputs:
            if TRAITS[op].scale == "index":
                assert np.array_equal(ours[name], theirs[name]), where
                continue
            noise, signal = np.square(ours[name] - theirs[name]).sum(), np.square(theirs[name]).sum()
            assert noise <= signal / 100, f"{where}: {name}"
