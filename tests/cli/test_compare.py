"""The command ``slimai compare``: what it says of boards, models and profiles, and the texts of its refusals."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))

from small_network import small_network

from slimai.app.cli import main
from slimai.app.comparison.subject import Subject, network_of
from slimai.blobs.names import blob_name
from slimai.blobs.writer import format_fixed_blob
from slimai.errors import SlimaiError

PRESETS = ("tflite_s64", "single", "xi_sym", "ort_f32")


@pytest.fixture
def model(tmp_path):
    """Return the path of a small int8 TFLite classifier."""
    path = tmp_path / "net.tflite"
    path.write_bytes(small_network(size=32))  # enough integers that presets part
    return path


def tensors(model, seed=3, arithmetic=None):
    """Return profile name -> integers of every tensor, as a device would dump them, inputs among them."""
    network = network_of(Subject("model", model), arithmetic)
    plan = network.program.plan
    rng = np.random.default_rng(seed)
    feeds = {
        name: rng.integers(plan.tensors[name].dtype.low, plan.tensors[name].dtype.high + 1, plan.graph.shape(name))
        .astype(plan.tensors[name].dtype.numpy)
        for name in plan.graph.inputs
    }  # fmt: skip
    inner = [name for name in network.names if name not in feeds]
    found = {**feeds, **network.program.run(feeds, capture=inner)}
    return {network.names[name]: np.array(found[name]) for name in network.names}, network


def boards(model):
    """Yield (preset, tensors) of devices with another arithmetic in all layers."""
    for preset in PRESETS:
        with contextlib.suppress(SlimaiError):
            yield preset, tensors(model, arithmetic=preset)[0]


def said(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out + captured.err


def test_a_board_that_computes_the_same(model, tmp_path, capsys):
    values, _ = tensors(model)
    np.savez(tmp_path / "board.npz", **values)
    assert main(["compare", str(model), str(tmp_path / "board.npz")]) == 0
    assert said(capsys).splitlines() == [f"{len(values)} of {len(values)} tensors of the network are in the dump",
                                         "no integer differs"]  # fmt: skip
    assert main(["compare", str(tmp_path / "board.npz"), str(model)]) == 0


def test_a_board_of_another_preset_is_named(model, tmp_path, capsys):
    own, network = tensors(model)
    preset, other = next(found for found in boards(model) if any((own[name] != found[1][name]).any() for name in own))
    first = next(name for name in own if not np.array_equal(own[name], other[name]))
    layer = next(item for item in network.program.plan.layers if network.names[item.outputs[0]] == first)
    np.savez_compressed(tmp_path / "board.npz", **other)
    assert main(["compare", str(model), str(tmp_path / "board.npz"), "--format", "json"]) == 3
    report = json.loads(said(capsys))
    assert report["first"]["tensor"] == first
    assert report["first"]["node"] == layer.name
    assert report["first"]["count"] == np.count_nonzero(own[first] != other[first])
    assert report["first"]["largest"] == np.abs(own[first].astype(int) - other[first]).max()
    assert preset in [item["preset"] for item in report["first"]["explanations"]]


def test_what_nothing_explains_is_said(model, tmp_path, capsys):
    values, network = tensors(model)
    name = network.names[network.program.plan.layers[0].outputs[0]]
    rng = np.random.default_rng(1)
    values[name] = rng.integers(-128, 128, values[name].shape).astype(np.int8)
    np.savez(tmp_path / "board.npz", **values)
    assert main(["compare", str(model), str(tmp_path / "board.npz")]) == 3
    text = said(capsys)
    assert f"first difference: {name}, written by" in text
    assert "no preset explains it; differs in " in text


def test_a_folder_of_blobs_is_a_board_too(model, tmp_path, capsys):
    values, network = tensors(model)
    tensor = {profile: name for name, profile in network.names.items()}
    values["Conv_" if "Conv_" in values else next(reversed(values))][..., 0] += 1
    folder = tmp_path / "dump"
    folder.mkdir()
    for name, value in values.items():
        params = network.program.plan.tensors[tensor[name]]
        (folder / blob_name("img", name)).write_bytes(format_fixed_blob(value, params.scale, params.zero_point))
    assert main(["compare", str(model), str(folder)]) == 3
    text = said(capsys)
    assert f"first difference: {next(reversed(values))}" in text
    assert "in channel 0" in text
    other = next(iter(folder.glob("*.blob")))
    other.with_name(other.name.replace("img", "pic")).write_bytes(other.read_bytes())
    assert main(["compare", str(model), str(folder)]) == 2
    assert "has blobs of several images; give one with --image: img, pic" in said(capsys)


def _renamed(values):
    name = next(reversed(values))
    values[name[:-1] + "9"] = values.pop(name)


def _float(values):
    name = next(reversed(values))
    values[name] = values[name].astype(np.float32)


def _shape(values):
    name = next(reversed(values))
    values[name] = values[name][..., :-1]


def _wide(values):
    name = next(reversed(values))
    values[name] = values[name].astype(np.int32) + 1000


def _samples(values):
    name = next(reversed(values))
    values[name] = np.concatenate([values[name]] * 2)


def _no_input(values):
    del values[next(iter(values))]


WRONG = {
    "is no tensor of the network; did you mean": _renamed,
    "is not of integers (got 'float32'); dump the integers as the device holds them": _float,
    "does not fit (got [": _shape,
    "an integer is outside s8, -128..127": _wide,
    "has another number of samples than the input's 1 (got 2)": _samples,
    "which input did the device run?; add the array image to the dump": _no_input,
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_dump_is_one_message(model, tmp_path, capsys, text):
    values, _ = tensors(model)
    WRONG[text](values)
    np.savez(tmp_path / "board.npz", **values)
    assert main(["compare", str(model), str(tmp_path / "board.npz")]) == 2
    shown = said(capsys)
    assert text in shown
    assert len(shown.splitlines()) == 1


def test_files_that_cannot_be_compared(model, tmp_path, capsys):
    (tmp_path / "board.npz").write_bytes(b"PK no archive")
    cases = {
        ("none", str(model)): "none: is not there; give a run's folder, a quantized model, or a board's dump",
        (str(model), str(tmp_path / "board.npz")): "is no .npz file of plain arrays",
        (str(tmp_path), str(model)): "holds neither run.json nor .blob files",
        (str(model), str(model), "--image", "0"): "--image: is the input of a board's dump, and there is none",
        (str(tmp_path / "board.npz"),) * 2: "a dump and a dump cannot be compared",
    }
    for words, text in cases.items():
        assert main(["compare", *words]) == 2
        assert text in said(capsys)
    (tmp_path / "board.npz").write_bytes(b"")
    values, _ = tensors(model)
    np.savez(tmp_path / "board.npz", **values)
    whole = (tmp_path / "board.npz").read_bytes()
    (tmp_path / "board.npz").write_bytes(whole[:200] + bytes(64) + whole[264:])
    assert main(["compare", str(model), str(tmp_path / "board.npz")]) == 2
    assert main(["compare", str(model), str(tmp_path / "board.npz"), "--image", "0"]) == 2
    assert "--image: is for runs: a model has no validation images" in said(capsys)


def test_a_multirun_and_its_jobs(tmp_path, model, capsys):
    (tmp_path / "multi" / "job0").mkdir(parents=True)
    (tmp_path / "multi" / "multirun.json").write_text("{}")
    (tmp_path / "multi" / "job0" / "run.json").write_text("{}")
    assert main(["compare", str(tmp_path / "multi"), str(model)]) == 2
    assert f"is the folder of a multirun; compare its jobs, as {tmp_path / 'multi' / 'job0'}" in said(capsys)


def test_the_c_of_a_run_is_the_run(tmp_path, model, capsys):
    folder = tmp_path / "net_c"
    folder.mkdir()
    (folder / "memory.json").write_text("{}")
    (folder / "net_kernels.h").write_text("")
    assert main(["compare", str(folder), str(model)]) == 2
    assert "is the C of a network, which does not hold its graph; give the run or the model" in said(capsys)


def test_two_models(model, tmp_path, capsys):
    assert main(["compare", str(model), str(model)]) == 0
    assert "no integer differs in" in said(capsys)
    data = bytearray(model.read_bytes())
    network = network_of(Subject("model", model))
    layer = next(item for item in network.program.plan.layers if item.kind == "Gemm")
    place = data.index(layer.weight.values.astype(np.int8).tobytes())
    data[place] ^= 0x40
    other = tmp_path / "other.tflite"
    other.write_bytes(bytes(data))
    assert main(["compare", str(model), str(other)]) == 3
    text = said(capsys)
    assert f"{layer.name}: 1 of {layer.weight.values.size} weights differ, by 64 at most, in 1 channels: 0" in text
    assert f"written by {layer.name}" in text
    assert "in channel 0" in text
    assert "weight [" in text


def test_two_profiles(tmp_path, capsys):
    row = '- NodeOutputName: "a"\n  Min: -1\n  Max: {}\n'
    (tmp_path / "one.yaml").write_text(row.format(1))
    (tmp_path / "two.yaml").write_text(row.format(2))
    assert main(["compare", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")]) == 3
    assert said(capsys) == "a: Max 1.0 -> 2.0\n"
    assert main(["compare", str(tmp_path / "one.yaml"), str(tmp_path / "one.yaml")]) == 0
