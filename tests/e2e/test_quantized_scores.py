"""Real pre-quantized networks: the score of level 3, weights as stored, on the labelled sets.

The published figures (data/README.md) were taken with LiteRT's optimized kernels, which round differently from its
reference kernels; ours equal the latter bit for bit (tests/oracle/test_tflite_networks.py). So the published figure
is met within a point or so, and LiteRT's own reference score exactly.
"""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image

from slimai.app.float_pass.local import float_runner
from slimai.app.opening.open_job import prepare
from slimai.config.compose import compose_job, hydra_ready
from slimai.config.diagnose import judge

pytestmark = [pytest.mark.shared, pytest.mark.slow]

CASES = [("mobilenet_v1_tflite", "top1", 0.4633, 0.01), ("portrait_tflite", "MIU", 0.6831, 0.015)]


@pytest.fixture(autouse=True)
def _shared_folder(shared_data, monkeypatch, repo_root):
    monkeypatch.setenv("SLIMAI_SHARED", str(shared_data.parent))
    monkeypatch.chdir(repo_root)


@pytest.fixture
def words(shared_data, tmp_path):
    """Return the folder of keyword arrays, one file a sample."""
    values = np.load(shared_data / "datasets" / "kws" / "mfcc_int8_49x10.npy")
    labels = np.load(shared_data / "datasets" / "kws" / "labels.npy")
    for index, value in enumerate(values):
        np.save(tmp_path / f"{index}.npy", value)
    lines = [f"{index}.npy {int(label)}" for index, label in enumerate(labels)]
    (tmp_path / "val.txt").write_text("\n".join([str(len(lines)), *lines]) + "\n")
    return tmp_path


def stored_score(name, overrides):
    """Return the result of the network as stored, by the job's own preprocessing and metric."""
    with hydra_ready():
        verdict = judge(compose_job([f"+model={name}", *overrides]))
    assert verdict.config is not None, verdict
    job = prepare(verdict.config)
    run, records = float_runner(job), []
    for line in job.validation:
        sample, feeds = job.preprocess(line)
        found = run(feeds)
        outputs = [found[output] for output in job.outputs]
        records.append(job.metric.measure(sample, outputs, outputs))
    return job.metric.combine(records)


@pytest.mark.parametrize(("name", "key", "published", "tolerance"), CASES, ids=[case[0] for case in CASES])
def test_published_score(name, key, published, tolerance):
    result = stored_score(name, [])
    assert result.values[key] == pytest.approx(published, abs=tolerance)
    assert result.score == result.values[key]


def reference_top1(path, inputs, labels):
    """Return the share of inputs that LiteRT's reference kernels classify right."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    right = 0
    for value, label in zip(inputs, labels, strict=True):
        interpreter.set_tensor(source, value[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(target)[0].argmax()) == label
    return right / len(labels)


def test_resnet_scores_what_the_reference_kernels_score(shared_data):
    folder = shared_data / "datasets" / "cifar10"
    pairs = [line.split() for line in (folder / "val.txt").read_text().splitlines()[1:]]
    pixels = [np.asarray(Image.open(folder / name).convert("RGB")).astype(int) - 128 for name, _ in pairs]
    model = shared_data / "models" / "tflite" / "resnet8_cifar10_int8.tflite"
    expected = reference_top1(model, np.array(pixels, np.int8), [int(label) for _, label in pairs])
    assert stored_score("resnet8_cifar10_tflite", []).score == expected
    assert expected == pytest.approx(0.753, abs=0.006)


def test_keywords_score_what_the_reference_kernels_score(shared_data, words):
    values = np.load(shared_data / "datasets" / "kws" / "mfcc_int8_49x10.npy")[..., None]
    labels = np.load(shared_data / "datasets" / "kws" / "labels.npy").tolist()
    expected = reference_top1(shared_data / "models" / "tflite" / "kws_ref_model_int8.tflite", values, labels)
    assert stored_score("kws_dscnn_tflite", [f"path.image_dir={words}"]).score == expected
    assert expected == pytest.approx(0.906, abs=0.006)
