"""Recurrent layers: kernels against their NumPy twins, ONNX forms, long sequences, cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from slimai.calibration.collect import collect
from slimai.graph.load import load_onnx
from slimai.graph.samples import run_samples, sample_shape
from slimai.quantizer.options import QuantOptions
from slimai.quantizer.planner import build_plan
from slimai.quantizer.support import host_reason
from slimai.runtime.session import FloatSession
from slimai.schema.target import TargetSection
from slimai.simulator import _kernels_recurrent as kernels
from slimai.simulator import _reference_recurrent as twins
from slimai.simulator.cost import node_macs
from slimai.simulator.ops.gates import added_tables, gate_tables
from slimai.simulator.program import compile_plan

UNITS, INPUTS = 12, 6


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([None, 16, 20]),
    st.booleans(), st.integers(0, 12),
)  # fmt: skip
def test_kernels_equal_their_numpy_twins(seed, wide, backwards, after, acc_bits, wraps, bits):
    """Tolerance 0, with extreme weights, multipliers on both sides of 1, narrow accumulators."""
    rng = np.random.default_rng(seed)
    steps, batch, units = rng.integers(1, 6), rng.integers(1, 3), rng.integers(1, 7)
    high = 32767 if wide else 127
    weights = rng.choice([-high, high], (4 * units, units)) if rng.random() < 0.3 else rng.integers(
        -high, high + 1, (4 * units, units))  # fmt: skip
    exponent = rng.integers(0, 40, (2, 4 * units)) if wide else rng.integers(-20, 8, (2, 4 * units))
    multiplier = rng.integers(2**14, 2**15, (2, 4 * units)) if wide else rng.integers(2**30, 2**31, (2, 4 * units))
    parts = rng.integers(-32768, 32768, (steps, batch, 4 * units))
    limit = (1 << 62) - 1 if acc_bits is None else (1 << (acc_bits - 1)) - 1
    zero = 0 if wide else int(rng.integers(-128, 128))
    out = (int(rng.integers(2**30, 2**31)), int(rng.integers(-30, -5)), zero, -high - 1, high)
    tables, added = gate_tables(wide=wide, cell_bits=bits), bool(seed & 1)
    if added:
        tables = (*added_tables(wide=wide), tables[2])
        parts *= 5
    h, c = rng.integers(-high - 1, high + 1, (batch, units)) - zero, rng.integers(-32768, 32768, (batch, units))
    cells = (-(1 << 15), (1 << 15) - 1) if rng.random() < 0.5 else (-9000, 9000)
    numbers = (int(wide), int(added), 15 + bits, *cells, *out, limit, int(wraps), int(backwards))
    gru_numbers = (int(wide), bits, *out, limit, int(wraps), int(backwards), int(after))
    bias = rng.integers(-(10**5), 10**5, (2, units))
    found = []
    for module in (kernels, twins):
        lstm = [h.copy(), c.copy(), *np.zeros((2, steps, batch, units), np.int64)]
        count = module.lstm_steps(parts, (weights, multiplier, exponent), tables, numbers, *lstm)
        rows = slice(0, 3 * units)
        gru = [h.copy(), c.copy(), np.zeros((steps, batch, units), np.int64)]
        products = (weights[rows].copy(), multiplier[:, rows].copy(), exponent[:, rows].copy(), bias)
        other = module.gru_steps(parts[..., rows].copy(), products, tables[:2], gru_numbers, *gru)
        found.append(([count, other], [*lstm, *gru]))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def network(
    path, op, *, uniform=False, steps=20, direction="forward", opset=14, states=(), outputs=(1, 1, 1), extra=(), **attrs
):
    """Write a network of one LSTM or GRU, with a head behind Y; return its path."""
    rng, gates = np.random.default_rng(5), 4 if op == "LSTM" else 3
    both = 2 if direction == "bidirectional" else 1
    shapes = {"w": (both, gates * UNITS, INPUTS), "r": (both, gates * UNITS, UNITS), "b": (both, 2 * gates * UNITS)}
    spread = {"w": INPUTS, "r": UNITS, "b": 10}
    values = {
        name: (rng.normal(0, 1, shape) / np.sqrt(spread[name])).astype(np.float32) for name, shape in shapes.items()
    }
    if uniform:  # as training frameworks begin
        limit = 1 / np.sqrt(UNITS)
        values = {name: rng.uniform(-limit, limit, shape).astype(np.float32) for name, shape in shapes.items()}
    values["head"] = rng.normal(0, 0.3, (UNITS, 5)).astype(np.float32)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, 1, INPUTS])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [both, 1, UNITS]) for name in states]
    names = ["x", "w", "r", "b", "", *(name if name in states else "" for name in ("h0", "c0"))]
    for position, value in extra:
        names += [""] * (position + 1 - len(names))
        names[position], values[f"e{position}"] = f"e{position}", value
    while not names[-1]:
        names.pop()
    given = [name if wanted else "" for name, wanted in zip(("Y", "Y_h", "Y_c")[: gates - 1], outputs, strict=False)]
    node = helper.make_node(op, names, given, "rnn", hidden_size=UNITS, direction=direction, **attrs)
    nodes = [node, helper.make_node("MatMul", ["Y", "head"], ["y"], "head")] if outputs[0] else [node]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (["y"] if outputs[0] else []) + [name for name in given[1:] if name]]  # fmt: skip
    graph = helper.make_graph(nodes, "net", inputs, ends, [numpy_helper.from_array(v, k) for k, v in values.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def feeds(graph, rng):
    """Return inputs; states are within what an LSTM can give."""
    return {name: np.tanh(rng.normal(0, 1, graph.shape(name))).astype(np.float32) if name != "x" else
            rng.normal(0, 1, graph.shape(name)).astype(np.float32) for name in graph.inputs}  # fmt: skip


def outputs_of(path, values):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([item.name for item in session.get_outputs()], session.run(None, values), strict=True))


def sqnr(found, wanted):
    noise = np.square(np.asarray(found, np.float64) - wanted).sum()
    return 10 * np.log10(np.square(np.asarray(wanted, np.float64)).sum() / max(noise, 1e-30))


def programs(graph, levels, values):
    """Return level -> program, calibrated on these samples."""
    stats = collect(graph, iter(values))
    return {
        level: compile_plan(build_plan(graph, stats, QuantOptions(level=level)), TargetSection()) for level in levels
    }


FORMS = [
    ("LSTM", {}),
    ("LSTM", {"direction": "reverse", "states": ("h0", "c0")}),
    ("LSTM", {"opset": 7, "outputs": (0, 1, 0)}),
    ("LSTM", {"direction": "bidirectional", "states": ("h0", "c0")}),
    ("LSTM", {"states": ("c0",), "outputs": (0, 0, 1)}),
    ("LSTM", {"steps": 1, "states": ("h0",)}),
    ("LSTM", {"opset": 22, "direction": "bidirectional", "outputs": (0, 1, 1)}),
    ("LSTM", {"extra": ((4, np.array([20], np.int32)), (7, np.zeros((1, 3 * UNITS), np.float32)))}),
    ("LSTM", {"extra": ((5, np.full((1, 1, UNITS), 0.25, np.float32)), (6, np.ones((1, 1, UNITS), np.float32)))}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"opset": 7, "states": ("h0",), "direction": "reverse"}),
    ("GRU", {"linear_before_reset": 1, "states": ("h0",), "direction": "bidirectional"}),
    ("GRU", {"outputs": (0, 1), "opset": 22}),
]


@pytest.mark.parametrize(("op", "form"), FORMS, ids=str)
def test_every_form_is_all_integer(op, form, tmp_path):
    """The float network is the model's (1e-5), and its integers are near it: 25 dB at 8 bits, 45 at 16."""
    path = network(tmp_path / "net.onnx", op, **form)
    graph = load_onnx(path)
    assert [host_reason(graph, node) for node in graph.nodes if host_reason(graph, node)] == []
    rng = np.random.default_rng(2)
    values = [feeds(graph, rng) for _ in range(8)]
    wanted = [outputs_of(path, item) for item in values]
    float_session = FloatSession(graph)
    for level, program in programs(graph, (0, 3, 4), values).items():
        assert program.host_layers == {}
        found = [program.dequantize(program.run(item)) for item in values]
        for name in graph.outputs:
            real = np.stack([item[name] for item in wanted])
            assert np.allclose(np.stack([float_session.run(item)[name] for item in values]), real, atol=1e-5)
            assert sqnr(np.stack([item[name] for item in found]), real) >= (45 if level == 4 else 25), (level, name)


@pytest.mark.parametrize(
    ("op", "form", "told"),
    [
        ("LSTM", {"clip": 3.0}, "LSTM with clip has no integer kernel"),
        ("LSTM", {"input_forget": 1}, "LSTM with input_forget has no integer kernel"),
        ("GRU", {"activations": ["Sigmoid", "Relu"]}, "GRU with the functions sigmoid, relu has no integer kernel"),
        ("LSTM", {"extra": ((7, np.ones((1, 3 * UNITS), np.float32)),)}, "LSTM with peepholes has no integer kernel"),
        ("GRU", {"extra": ((4, np.array([7], np.int32)),)}, "the sequence_lens of this GRU are shorter than its input"),
    ],
)
def test_other_forms_stay_on_the_host_and_say_why(op, form, told, tmp_path):
    graph = load_onnx(network(tmp_path / "net.onnx", op, **form))
    (node,) = (item for item in graph.nodes if item.name == "rnn")
    assert host_reason(graph, node).startswith(told)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_noise_does_not_grow_over_two_hundred_steps(op, tmp_path):
    """Steps 151 to 200 have at most 3 dB less than steps 1 to 50; level 4 has 40 dB or more on both."""
    path = network(tmp_path / "net.onnx", op, steps=200, outputs=(1, 0, 0))
    graph = load_onnx(path)
    rng = np.random.default_rng(3)
    values = [feeds(graph, rng) for _ in range(8)]
    wanted = np.stack([outputs_of(path, item)["y"] for item in values])
    for level, program in programs(graph, (1, 3, 4), values).items():
        found = np.stack([program.dequantize(program.run(item))["y"] for item in values])
        first, last = sqnr(found[:, :50], wanted[:, :50]), sqnr(found[:, 150:], wanted[:, 150:])
        assert last >= first - 3
        assert min(first, last) >= (40 if level == 4 else 25)


class Reader(CalibrationDataReader):
    """Samples for ONNX Runtime's quantizer."""

    def __init__(self, values):
        self.values = iter(values)

    def get_next(self):
        """Return the next sample, or None."""
        return next(self.values, None)


@pytest.mark.parametrize(("op", "uniform"), [("LSTM", False), ("LSTM", True), ("GRU", True)])
def test_level_three_is_not_below_onnx_runtime_s_qdq(op, uniform, tmp_path):
    """Over 200 steps, on other samples than calibration's: ONNX Runtime keeps the operator in float, u8 beside it."""
    path, quantized = network(tmp_path / "net.onnx", op, uniform=uniform, steps=200, outputs=(1, 0, 0)), tmp_path / "q"
    graph, rng = load_onnx(path), np.random.default_rng(3)
    values = [feeds(graph, rng) for _ in range(12)]
    quantize_static(str(path), str(quantized), Reader(values[:8]), per_channel=True, activation_type=QuantType.QUInt8)
    wanted, peer = (np.stack([outputs_of(file, item)["y"] for item in values[8:]]) for file in (path, quantized))
    (program,) = programs(graph, (3,), values[:8]).values()
    assert program.plan.tensors["x"].dtype.bits == 16
    (layer,) = (item for item in program.plan.layers if item.matrices)
    assert {layer.matrices[position].dtype.name for position in (1, 2)} == {"s8"}
    found = np.stack([program.dequantize(program.run(item))["y"] for item in values[8:]])
    for part in (slice(0, 50), slice(150, 200)):
        assert sqnr(found[:, part], wanted[:, part]) >= sqnr(peer[:, part], wanted[:, part])


def test_cells_of_all_steps_are_calibrated(tmp_path):
    """Their statistics are those of the states that ONNX Runtime gives at the end of every prefix of the sequence."""
    path = network(tmp_path / "net.onnx", "LSTM", steps=6, states=("h0", "c0"))
    graph = load_onnx(path)
    values = feeds(graph, np.random.default_rng(4))
    cells = FloatSession(graph, outputs=["rnn_cells"]).run(values)["rnn_cells"]
    for steps in range(1, 7):
        short = network(tmp_path / f"{steps}.onnx", "LSTM", steps=steps, states=("h0", "c0"))
        final = outputs_of(short, {**values, "x": values["x"][:steps]})["Y_c"]
        assert np.allclose(cells[steps - 1], final, atol=1e-5)


def test_products_of_every_step_are_counted(tmp_path):
    graph = load_onnx(network(tmp_path / "net.onnx", "GRU", steps=20))
    node = graph.by_name["rnn"]
    assert node_macs(graph, node.op, node.inputs, node.outputs[0]) == 20 * 3 * UNITS * (INPUTS + UNITS)


def test_batch_first_is_the_same_network_transposed(tmp_path):
    """ONNX Runtime has no layout 1: the network is compared with that of layout 0, exactly."""
    first = load_onnx(network(tmp_path / "0.onnx", "LSTM", steps=7, states=("h0",), outputs=(0, 1, 1)))
    path = network(tmp_path / "1.onnx", "LSTM", steps=7, states=("h0",), outputs=(0, 1, 1), layout=1)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    del model.graph.value_info[:]
    onnx.save(model, path)
    values = feeds(first, np.random.default_rng(6))
    wanted = FloatSession(first).run(values)
    turned = {name: value.transpose(1, 0, 2) for name, value in values.items()}
    found = FloatSession(load_onnx(path)).run(turned)
    assert all(np.array_equal(found[name].transpose(1, 0, 2), wanted[name]) for name in wanted)


def test_rows_have_scales_of_their_own_where_the_target_s_gemm_has(tmp_path):
    graph = load_onnx(network(tmp_path / "net.onnx", "LSTM"))
    values = [feeds(graph, np.random.default_rng(7))]
    stats = collect(graph, iter(values))
    sizes = []
    for ops in (("Conv",), ("Conv", "Gemm")):
        plan = build_plan(graph, stats, QuantOptions(level=3), TargetSection(per_channel_ops=ops))
        (layer,) = (item for item in plan.layers if item.matrices)
        sizes.append([np.unique(layer.matrices[position].scale).size for position in (1, 2)])
    assert sizes == [[4, 4], [4 * UNITS, 4 * UNITS]]


def test_an_unrolled_cell_is_all_integer(tmp_path):
    """Gemm, Split, Sigmoid, Tanh, Mul, Add, as exporters write a cell: no layer is left on the host."""
    rng, units = np.random.default_rng(8), 6
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> net (float[1,5] x, float[1,6] h, float[1,6] c) '
        "=> (float[1,6] hn, float[1,6] cn) "
        "{ a = Gemm<transB = 1>(x, w, b) r = Gemm<transB = 1>(h, u, b) s = Add(a, r) "
        "i, f, g, o = Split<axis = 1>(s, n) "
        "si = Sigmoid(i) sf = Sigmoid(f) tg = Tanh(g) so = Sigmoid(o) kept = Mul(sf, c) new = Mul(si, tg) "
        "cn = Add(kept, new) tc = Tanh(cn) hn = Mul(so, tc) }"
    )
    model = onnx.parser.parse_model(text)
    for name, shape in (("w", (4 * units, 5)), ("u", (4 * units, units)), ("b", (4 * units,))):
        value = rng.normal(0, 0.4, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, units, np.int64), "n"))
    onnx.save(model, tmp_path / "net.onnx")
    graph = load_onnx(tmp_path / "net.onnx")
    values = [feeds(graph, rng) for _ in range(20)]
    wanted = [outputs_of(tmp_path / "net.onnx", item) for item in values]
    for level, program in programs(graph, (0, 3, 4), values).items():
        assert program.host_layers == {}
        for name in graph.outputs:
            found = np.stack([program.dequantize(program.run(item))[name] for item in values])
            assert sqnr(found, np.stack([item[name] for item in wanted])) >= (50 if level == 4 else 25)


MOVES = {
    "Reshape": ("[1,12]", "Reshape(h, full)", "Reshape(c, full)", "Reshape(yh, flat)", "Reshape(yc, flat)"),
    "Transpose": ("[12,1,1]", "Transpose<perm = [1,2,0]>(h)", "Transpose<perm = [1,2,0]>(c)",
                  "Transpose<perm = [2,0,1]>(yh)", "Transpose<perm = [2,0,1]>(yc)"),
    "Slice": ("[1,1,13]", "Slice(h, zero, units, two)", "Slice(c, zero, units, two)",
              "Pad(yh, pads)", "Pad(yc, pads)"),
}  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("level", [1, 3])
def test_cells_and_hidden_values_keep_16_bits_through_moves(move, level, tmp_path):
    """A state that is moved on its way in and out: no rounding between, and 35 dB over 30 steps."""
    shape, h_in, c_in, h_out, c_out = MOVES[move]
    text = (
        f'<ir_version: 8, opset_import: ["" : 17]> net (float[1,1,6] x, float{shape} h, float{shape} c) '
        f"=> (float[1,1,1,12] y, float{shape} hn, float{shape} cn) {{ h0 = {h_in} c0 = {c_in} "
        f"y, yh, yc = LSTM<hidden_size = 12>(x, w, r, b, , h0, c0) hn = {h_out} cn = {c_out} }}"
    )
    rng, model = np.random.default_rng(2), onnx.parser.parse_model(text)
    limit = 1 / np.sqrt(UNITS)
    values = {name: rng.uniform(-limit, limit, size).astype(np.float32)
              for name, size in (("w", (1, 48, 6)), ("r", (1, 48, 12)), ("b", (1, 96)))}  # fmt: skip
    values |= {name: np.array(value, np.int64) for name, value in (
        ("full", [1, 1, 12]), ("flat", [1, 12]), ("zero", [0]), ("units", [12]), ("two", [2]), ("pads", [0] * 5 + [1]))
    }  # fmt: skip
    for name, value in values.items():
        if f" {name}" in text.partition("{")[2] or f"({name}" in text:
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "net.onnx")
    graph = load_onnx(tmp_path / "net.onnx")
    graph = replace(graph, states={"h": "hn", "c": "cn"}, sequences=("x",))
    zeros = {name: np.zeros(sample_shape(graph.shape(name)), np.float32) for name in ("h", "c")}
    feeds_of = [{"x": rng.normal(size=(1, 30, 1, 6)).astype(np.float32), **zeros} for _ in range(6)]
    (program,) = programs(graph, (level,), feeds_of).values()
    tensors = program.plan.tensors
    assert {tensors[name].dtype.bits for name in ("h", "c", "hn", "cn", "y")} == {16}
    assert tensors["c"] == tensors["cn"]
    assert tensors["h"] == tensors["hn"]
    assert [layer.kind for layer in program.plan.layers if layer.kind == "Requantize"] == []
    session = FloatSession(graph)
    wanted = np.stack([run_samples(graph, session.run, item)["y"] for item in feeds_of])
    found = np.stack([program.dequantize(program.samples(item))["y"] for item in feeds_of])
    assert sqnr(found, wanted) >= 35
