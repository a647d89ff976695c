"""A job on a target that clamps by channel: MobileNet v2 with ReLU6 is equalized from end to end."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest

ABLE = ("target.clamp_per_channel=true", "quantization.equalization=true")


@pytest.fixture(scope="module")
def job(slimai, tmp_path_factory, cache_dir):
    """Return a function that runs the example with these words into a new folder, or into `output`."""

    def start(*words, output=None):
        folder = output or tmp_path_factory.mktemp("clamp")
        done = slimai(
            "+model=mobilenet_digits", "quantization.weight_rounding=nearest", "quantization.range=100",
            f"path.output_dir={folder}",
            f"path.tmp_dir={cache_dir}", *words,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done, folder

    return start


@pytest.fixture(scope="module")
def able(job):
    return job(*ABLE, "quantization.accuracy_level=1", "metric.adjust=true")[1]


def notes(folder):
    """Return what the report says that the quantizer chose."""
    listed = re.search(r"What the quantizer chose.*?<ul>(.*?)</ul>", (folder / "report.html").read_text(), re.DOTALL)
    return re.findall(r"<li>(.*?)</li>", listed[1])


def limits(folder):
    """Return the integer limits of the saved tables by name."""
    with np.load(folder / "mobilenet_digits_quant.npz", allow_pickle=False) as tables:
        return {name: tables[name] for name in tables.files if name.endswith("/clamp_high")}


def test_layers_before_relu6_are_equalized_and_keep_the_accuracy(able):
    assert sum("channels equalized" in note for note in notes(able)) == 14
    found = limits(able)
    assert len(found) == 12
    assert sum(value.min() < value.max() for value in found.values()) > 4
    run = json.loads((able / "run.json").read_text())
    assert run["best"]["score"] >= run["float"]["score"] - 0.02


def test_the_exported_network_agrees_with_float(able, rng_image):
    """Cosine of the logits of one image above 0.98, as for the other examples."""
    answers = []
    for name in ("tvmgen_mobilenet_digits_slimai_main_0.onnx", "mobilenet_digits_quant.onnx"):
        model = onnx.load(able / name)
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"images": rng_image})[0])
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Min") == 12
    ours, theirs = answers
    assert float((ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)) > 0.98


@pytest.fixture
def rng_image():
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)


def test_the_exported_network_is_simulated_again(able, slimai, tmp_path, rng_image):
    np.savez(tmp_path / "in.npz", images=np.repeat(rng_image, 3, axis=0))
    words = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    done = slimai("simulate", able / "mobilenet_digits_quant.onnx", *words)
    assert done.returncode == 0, done.stderr
    assert "host" not in done.stdout
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert arrays["logits"].shape == (3, 10)
        assert np.unique(arrays["logits"]).size > 3


@pytest.mark.slow
def test_an_edited_limit_of_a_clamp_changes_the_integers_of_its_channels(able, job):
    before, path = limits(able), able / "Adjust_yaml" / "mobilenet_digits.yaml"
    items = path.read_text().split("- NodeOutputName: ")
    at = next(i for i, item in enumerate(items) if item.startswith('"Clip_'))
    items[at] = re.sub(r"(?m)^(  Max:\s*)(\S+)$", lambda m: f"{m[1]}{float(m[2]) * 8}", items[at])
    path.write_text("- NodeOutputName: ".join(items))
    words = (*ABLE, "quantization.accuracy_level=1", "metric.adjust=true")
    done, _ = job(*words, output=able)
    assert "adjust: Clip_" in done.stderr
    after = limits(able)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert len(changed) == 1, "one tensor's grid is coarser: the limits of its layer alone are other integers"


@pytest.mark.slow
def test_without_the_clamp_the_report_says_why_they_are_left_alone(job):
    _, folder = job("quantization.accuracy_level=1")
    left = [note for note in notes(folder) if "needs a clamp per channel" in note]
    assert len(left) == 12
    assert limits(folder) == {}


@pytest.mark.slow
def test_unless_asked_clamps_are_passed_at_level_0_alone(job):
    _, folder = job("target.clamp_per_channel=true", "quantization.accuracy_level=0")
    left = [note for note in notes(folder) if "not equalized" in note]
    assert [note.split("(")[1] for note in left] == ["the predicted noise does not fall)"] * len(left)
    assert len(limits(folder)) == 12 - len(left) >= 8
    _, folder = job("target.clamp_per_channel=true", "quantization.accuracy_level=1")
    assert limits(folder) == {}
