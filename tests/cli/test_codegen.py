"""The command ``slimai codegen``: what it writes, and the texts of its refusals."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import slimai
from slimai.app.cli import main


@pytest.fixture
def model(tmp_path):
    """Return the path of a QDQ network: a Relu between two grids."""
    constants = {"s": np.float32(0.1), "z": np.uint8(7), "t": np.float32(0.05), "u": np.uint8(0)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("QuantizeLinear", ["b", "t", "u"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, 4])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )  # fmt: skip
    path = tmp_path / "my net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_model_becomes_a_folder(model, tmp_path, capsys):
    out = tmp_path / "c"
    assert main(["codegen", str(model), "-o", str(out), "codegen.weights=file", "codegen.test_vectors=3"]) == 0
    assert "3 test vectors" in capsys.readouterr().out
    assert "int my_net_run(" in (out / "my_net.h").read_text()
    assert (out / "my_net_weights.bin").is_file()
    assert "#define VECTORS 3" in (out / "test" / "vectors.h").read_text()
    assert json.loads((out / "memory.json").read_text())["layers"]
    first = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    main(["codegen", str(model), "-o", str(out), "codegen.weights=file", "codegen.test_vectors=3"])
    assert first == {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_inputs_become_the_vectors(model, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([[7, 8, 9, 10], [1, 2, 3, 255]], np.uint8))
    out = tmp_path / "c"
    assert main(["codegen", str(model), "-o", str(out), "--inputs", str(tmp_path / "x.npz")]) == 0
    text = (out / "test" / "vectors.h").read_text()
    assert "{\n7,8,9,10\n}" in text
    assert "{\n0,2,4,6\n}" in text


WRONG = {
    (
        "codegen.prefix=for",
    ): "codegen.prefix: Prefix should be a C identifier (got 'for'); letters, digits and _, a letter",
    ("codegen.byte_ordr=big",): "codegen.byte_ordr: no such setting; did you mean 'codegen.byte_order'?",
    ("codegen.test_vectors=-1",): "codegen.test_vectors: Input should be greater than or equal to 0",
    ("quantization.mix=auto",): "quantization.mix=auto: is no codegen.KEY=VALUE",
    ("--arithmetic", "ort_f32"): "ort_f32 is float arithmetic by definition",
    ("--inputs", "none.npz"): "none.npz",
}


def test_a_file_in_the_place_of_the_folder_is_refused(model, tmp_path, capsys):
    (tmp_path / "c").write_text("")
    assert main(["codegen", str(model), "-o", str(tmp_path / "c")]) == 2
    assert "cannot be written (File exists); give the name of a folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_words_end_with_code_2(model, tmp_path, capsys, words):
    assert main(["codegen", str(model), "-o", str(tmp_path / "c"), *words]) == 2
    said = capsys.readouterr().err
    assert WRONG[words] in said
    assert "Traceback" not in said
    assert not (tmp_path / "c").exists()


def test_only_the_source_is_asked_for(capsys):
    assert main(["codegen"]) == 2
    said = capsys.readouterr().err
    assert "RUN_DIR|MODEL [codegen.KEY=VALUE ...]" in said
    assert said.endswith("the following arguments are required: RUN_DIR|MODEL\n")


def run_json(folder, **changes):
    values = {"slimai": slimai.__version__, "network": "net", "arithmetic": "native", "target_settings": {}}
    values["best"] = {"profile": "net_100.yaml"}
    (folder / "run.json").write_text(json.dumps({**values, **changes}))


RUNS = {
    "is of another version than": {"slimai": "0.0.1"},
    "has no best candidate": {"best": None},
    "its network is no name of files": {"network": "../net"},
    "its target_settings are damaged": {"target_settings": {"acc_bits": "many"}},
}


@pytest.mark.parametrize("text", RUNS)
def test_a_run_that_cannot_be_taken_is_refused(tmp_path, capsys, text):
    run_json(tmp_path, **RUNS[text])
    assert main(["codegen", str(tmp_path)]) == 2
    assert text in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert main(["codegen", str(tmp_path)]) == 2
    assert "run.json: cannot be read" in capsys.readouterr().err
    (tmp_path / "run.json").write_text('{"slimai": "0')
    assert main(["codegen", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "run.json: is damaged: no whole JSON (Unterminated string starting at: line 1 column 12 (char 11)); " in said
    assert "run the job again" in said
    (tmp_path / "run.json").write_text("[1]")
    assert main(["codegen", str(tmp_path)]) == 2
    assert "is not the result of a run" in capsys.readouterr().err
    run_json(tmp_path)
    assert main(["codegen", str(tmp_path)]) == 2
    assert "the run has not delivered net_quant.onnx and net_quant.npz; let the stage" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "nowhere.onnx"])
def test_a_path_to_nothing_is_refused_as_that(tmp_path, capsys, name):
    assert main(["codegen", str(tmp_path / name)]) == 2
    assert f"{name}: there is no such run folder or model file; give the output folder of" in capsys.readouterr().err


def test_inputs_without_a_sample_are_refused(model, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x=np.zeros((0, 4), np.uint8))
    assert main(["codegen", str(model), "-o", str(tmp_path / "c"), "--inputs", str(tmp_path / "x.npz")]) == 2
    assert "x.npz: holds no sample" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["net_quant.onnx", "net_quant.npz"])
def test_a_damaged_delivery_is_refused_by_its_file(model, tmp_path, capsys, damaged):
    run_json(tmp_path)
    (tmp_path / "net_quant.onnx").write_bytes(model.read_bytes())
    np.savez(tmp_path / "net_quant.npz", **{"Relu_relu__1/table": np.zeros(256, np.uint8)})
    (tmp_path / damaged).write_bytes(b"PK damaged")
    assert main(["codegen", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{damaged}: " in said
    cure = "run the job again with codegen.language=c" if damaged.endswith("npz") else "copy the whole file"
    assert cure in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*_c"))


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[]", b'{"layers": [1]}', b"[" * 100_000])
def test_a_damaged_description_of_the_integers_is_refused(model, tmp_path, capsys, text):
    run_json(tmp_path)
    (tmp_path / "net_quant.onnx").write_bytes(model.read_bytes())
    np.savez(tmp_path / "net_quant.npz", network=np.frombuffer(text, np.uint8))
    assert main(["codegen", str(tmp_path)]) == 2
    assert "net_quant.npz: its description 'network' is damaged; run the job again" in capsys.readouterr().err


def test_a_run_without_a_model_says_why_it_was_refused(tmp_path, capsys):
    run_json(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "exported_model": {"refused": "Conv_a__1: falls apart"}}))
    np.savez(tmp_path / "net_quant.npz", x=np.zeros(1))
    assert main(["codegen", str(tmp_path)]) == 2
    assert "the run has not delivered net_quant.onnx (Conv_a__1: falls apart)" in capsys.readouterr().err


def test_a_run_whose_integers_are_others_is_refused(model, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    run_json(folder)
    (folder / "net_quant.onnx").write_bytes(model.read_bytes())
    np.savez(folder / "net_quant.npz", **{"Relu_relu__1/table": np.zeros(256, np.uint8)})
    assert main(["codegen", str(folder)]) == 2
    assert (
        "differs from the integers in net_quant.npz; run the job again with codegen.language=c"
        in capsys.readouterr().err
    )
