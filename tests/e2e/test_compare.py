"""``slimai compare`` on real runs: two of them, and one against what a device has computed of its validation images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from slimai.app.comparison.board import validation_image
from slimai.app.comparison.subject import Subject, network_of
from slimai.simulator.buffers import BufferPool
from slimai.simulator.program import IntegerStep, Program, compile_layer

SMALL = (
    "quantization.weight_rounding=nearest",
    "dataset.calibration_count=8",
    "dataset.validation_count=24",
)


@pytest.fixture(scope="module")
def runs(slimai, tmp_path_factory):
    """Two runs of one network: ranges 97 (with the blobs of its layers) and 60."""
    base = tmp_path_factory.mktemp("compare")
    for name, more in (
        ("one", ("quantization.range=97", "metric.output_debug=3")),
        ("two", ("quantization.range=60",)),
    ):
        done = slimai("+model=mobilenet_digits", *SMALL, *more, f"path.output_dir={base / name}")
        assert done.returncode == 0, done.stderr
    return base


def test_two_runs(slimai, runs):
    done = slimai("compare", str(runs / "one"), str(runs / "two"), "--format", "json")
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert {"key": "quantization.range", "first": "97", "second": "60"} in report["config"]
    assert not report["content"]
    results = [json.loads((runs / name / "run.json").read_text())["delivered"] for name in ("one", "two")]
    paired = report["score"]["paired"]
    assert paired["images"] == 24
    assert paired["difference"] == pytest.approx(results[1]["score"] - results[0]["score"], abs=1e-12)
    assert paired["interval"][0] <= paired["difference"] <= paired["interval"][1]
    assert report["results"]["estimated ms"] == {name: item["latency_ms"] for name, item in
                                                 zip(("first", "second"), results, strict=True)}  # fmt: skip
    with np.load(runs / "one" / "mobilenet_digits_quant.npz") as tables:
        kept = [name for name in tables.files if name != "network" and not name.endswith("/weight_scale")]
        assert report["results"]["bytes of constants"]["first"] == sum(tables[name].nbytes for name in kept)
    assert all(row["first"] is not None and row["second"] is not None for row in report["sqnr"])


def test_a_run_and_its_copy_are_the_same(slimai, runs, tmp_path):
    shutil.copytree(runs / "one", tmp_path / "copy")
    done = slimai("compare", str(runs / "one"), str(tmp_path / "copy"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("settings: the same\nintegers: the same\n")


def test_runs_that_cannot_be_compared(slimai, runs, tmp_path):
    shutil.copytree(runs / "one", tmp_path / "copy")
    file = tmp_path / "copy" / "run.json"
    run = json.loads(file.read_text())
    file.write_text(json.dumps({**run, "outputs": [{"name": "other", "shape": [1, 4]}]}))
    done = slimai("compare", str(runs / "one"), str(tmp_path / "copy"))
    assert done.returncode == 2
    assert "is a run of another network" in done.stderr
    file.write_text(json.dumps({**run, "slimai": "0.0.1"}))
    done = slimai("compare", str(runs / "one"), str(tmp_path / "copy"))
    assert done.returncode == 2
    assert "is of another version than" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_a_dump_are_those_of_the_profile(runs):
    network = network_of(Subject("run", runs / "one"))
    profile = runs / "one" / (runs / "one" / "BestProfile.txt").read_text().strip()
    assert {row["NodeOutputName"] for row in yaml.safe_load(profile.read_text())} == set(network.names.values())


def test_the_blobs_that_a_run_writes_are_what_it_computes(slimai, runs):
    done = slimai("compare", str(runs / "one"), str(runs / "one" / "mobilenet_digits_97"), "--image", "val_003")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no integer differs" in done.stdout
    done = slimai("compare", str(runs / "one"), str(runs / "one" / "mobilenet_digits_97"), "--image", "val_3")
    assert done.returncode == 2
    assert done.stderr.startswith("--image: is no validation image of the run (got 'val_3'); did you mean 'val_")


def faulty(network, file: Path, image: str, preset: str):
    """Write the tensors of a device that computes one layer under another preset; return the layer.

    It is the first layer in whose place several tensors are others then.
    """
    plan, feeds = network.program.plan, validation_image(network, image).feeds
    names = [name for name in network.names if name not in plan.graph.inputs]
    right = network.program.run(feeds, capture=names)
    for at, step in enumerate(network.program.steps):
        if not isinstance(step, IntegerStep):
            continue
        steps = list(network.program.steps)
        steps[at] = compile_layer(plan, step.layer, network.target, preset, BufferPool())
        found = Program(plan, tuple(steps)).run(feeds, capture=names)
        if sum(not np.array_equal(found[name], right[name]) for name in names) > 2:
            np.savez(file, **{network.names[name]: found[name] for name in names})
            return step.layer
    raise AssertionError(f"no layer computes other integers under {preset}")


def test_a_device_with_another_preset_in_one_layer(slimai, runs, tmp_path):
    network = network_of(Subject("run", runs / "one"))
    layer = faulty(network, tmp_path / "board.npz", "0", "single")
    done = slimai("compare", str(runs / "one"), str(tmp_path / "board.npz"), "--image", "0")
    assert done.returncode == 3, done.stderr
    assert f"written by {layer.name} (xi_sym)" in done.stdout
    assert "the preset single gives them" in done.stdout
    assert "later layers" not in done.stdout
    asked = slimai("compare", str(runs / "one"), str(tmp_path / "board.npz"))
    assert asked.returncode == 2
    assert "which input did the device run?; add the array images to the dump, or give --image" in asked.stderr


def test_layers_that_were_not_dumped_are_named(slimai, runs, tmp_path):
    network = network_of(Subject("run", runs / "one"))
    layer = faulty(network, tmp_path / "board.npz", "0", "single")
    with np.load(tmp_path / "board.npz") as file:
        values = dict(file)
    del values[network.names[layer.outputs[0]]]
    np.savez(tmp_path / "board.npz", **values)
    done = slimai("compare", str(runs / "one"), str(tmp_path / "board.npz"), "--image", "0")
    assert done.returncode == 3
    assert f"its cause may also be in {layer.name}: their outputs are not in the dump" in done.stdout
