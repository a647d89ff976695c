"""``slimai inspect`` of a finished run and of quantized models: proofs, pairs of presets, memory, refusals."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import slimai
from slimai.app.cli import main
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.buffers import BufferPool
from slimai.simulator.context import Tally
from slimai.simulator.program import compile_layer, compile_plan

CHANNELS, OUTPUTS = 8, 3


def save_network(path):
    """Write a QDQ convolution [1, 8, 6, 6] -> [1, 3, 6, 6] with weights that need more than 16 bits."""
    rng = np.random.default_rng(3)
    constants = {
        "s": np.float32(0.1), "z": np.uint8(7), "t": np.float32(0.5), "u": np.uint8(0),
        "w": rng.integers(-100, 101, (OUTPUTS, CHANNELS, 3, 3)).astype(np.int8), "ws": np.float32(0.01),
        "wz": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"]),
        helper.make_node("Conv", ["a", "wf"], ["b"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["b", "t", "u"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, CHANNELS, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, OUTPUTS, 6, 6])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def run(tmp_path):
    """Return the folder of a finished run whose target has 16 bits of accumulator."""
    save_network(tmp_path / "net_quant.onnx")
    plan = load_quantized(tmp_path / "net_quant.onnx")
    np.savez(tmp_path / "net_quant.npz", **compile_plan(plan, TargetSection()).table())
    values = {"slimai": slimai.__version__, "network": "net", "arithmetic": "native"}
    values |= {"target_settings": {"acc_bits": 16}, "best": {"profile": "net_100.yaml"}}
    (tmp_path / "run.json").write_text(json.dumps(values))
    return tmp_path


def test_the_witness_of_a_run_overflows_its_layer(run, capsys):
    assert main(["inspect", str(run), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["layers"]
    assert row["acc_bits"] == 16 < row["sum_bits"]
    assert row["overflow"].startswith("overflows 16 bits: ")
    witness = row["witness"]
    x = np.full(witness["shape"], witness["elsewhere"], np.uint8)
    values = np.array(witness["values"], np.uint8)
    x[tuple(slice(at, at + size) for at, size in zip(witness["start"], values.shape, strict=True))] = values
    plan, tally = load_quantized(run / "net_quant.onnx"), Tally()
    layer = plan.layers[0]
    compiled = compile_layer(plan, layer, TargetSection(acc_bits=16), "native", BufferPool()).compiled
    compiled.kernel([x], tally)
    assert tally.overflows[layer.name] >= 1
    weight = layer.weight.values.astype(int)
    assert witness["sum"] in {row["least"], row["most"]}
    assert row["most"] == max(int((np.where(w > 0, 248, -7) * w).sum()) for w in weight)
    assert row["least"] == min(int((np.where(w < 0, 248, -7) * w).sum()) for w in weight)


def test_memory_of_a_run_is_that_of_its_c(run, capsys, tmp_path):
    assert main(["codegen", str(run), "-o", str(tmp_path / "c"), "codegen.test_vectors=0"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(run), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    made = json.loads((tmp_path / "c" / "memory.json").read_text())
    assert found["memory"]["arena"] == made["arena"]["bytes"]
    assert found["memory"]["flash"] == made["flash"]["tables"]
    assert [(row["ram"], row["flash"]) for row in found["layers"]] == [(i["ram"], i["flash"]) for i in made["layers"]]


def test_text_has_the_proofs_and_the_pair(run, capsys):
    assert main(["inspect", str(run), "--presets", "gemmlowp,single"]) == 0
    said = capsys.readouterr().out
    assert "overflows 16 bits" in said
    assert "arena " in said
    assert (
        "channels differ: in channel 0 the sum" in said or "gemmlowp and single agree on every sum of 16 bits" in said
    )


def test_a_quantized_model_is_proven_for_the_default_target(run, capsys):
    assert main(["inspect", str(run / "net_quant.onnx"), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["acc_bits"] == 32
    assert row["overflow"] == "cannot overflow 32 bits"


WRONG = {
    ("--presets", "xi_sym,ort_f32"): "--presets: is float arithmetic by definition",
    ("--presets", "xi_sym,gemlowp"): "--presets: unknown preset 'gemlowp'; did you mean 'gemmlowp'?",
    ("--presets", "xi_sym"): "should be two presets A,B (got 'xi_sym')",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_presets_end_with_code_2(run, capsys, words):
    assert main(["inspect", str(run), *words]) == 2
    said = capsys.readouterr().err
    assert WRONG[words] in said
    assert "Traceback" not in said


def test_folders_that_are_no_run_are_refused(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / "empty")]) == 2
    assert "run.json: cannot be read" in capsys.readouterr().err
    tables = dict(np.load(run / "net_quant.npz"))
    key = next(key for key in tables if key.endswith("/weight"))
    tables[key] = tables[key] + 1
    np.savez(run / "net_quant.npz", **tables)
    assert main(["inspect", str(run)]) == 2
    assert "differs from the integers in net_quant.npz" in capsys.readouterr().err


def test_presets_of_a_float_model_are_refused(tmp_path, capsys):
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "net", infos[:1], infos[1:]), ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])  # fmt: skip
    onnx.save(model, tmp_path / "float.onnx")
    assert main(["inspect", str(tmp_path / "float.onnx"), "--presets", "xi_sym,single"]) == 2
    assert "--presets: is about integers, and the model is a float one" in capsys.readouterr().err
