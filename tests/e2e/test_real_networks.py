"""Real networks and labels: float scores reproduced, integer scores kept (figures of the data's own page)."""

from __future__ import annotations

import json
import sys

import pytest

from slimai import load_config, run

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def scores(model, shared_data, monkeypatch, tmp_path, cache_dir, levels, *extra):
    """Return (float score, level -> score) of a preset at range 100."""
    monkeypatch.setenv("SLIMAI_SHARED", str(shared_data.parent))
    config = load_config(
        f"+model={model}",
        f"path.output_dir={tmp_path}",
        f"path.tmp_dir={cache_dir}",
        f"quantization.accuracy_level={levels}",
        "quantization.range=100",
        "quantization.weight_rounding=nearest",
        *extra,
    )
    result = run(config)
    assert result.host_layers == ()
    return result.float_result.score, {item.candidate.level: item.score for item in result.candidates}


def test_resnet20_cifar10(shared_data, monkeypatch, tmp_path, cache_dir):
    reference, found = scores("resnet20_cifar10", shared_data, monkeypatch, tmp_path, cache_dir, [1, 2, 3, 4])
    assert reference == pytest.approx(0.801, abs=1e-9)
    assert min(found[level] for level in (1, 2, 3)) >= 0.785
    assert found[4] >= 0.797


@pytest.mark.parametrize(("levels", "weights"), [([0, 1, 2, 3], "compensated"), ([4], "nearest")])
def test_resnet8_cifar10_of_a_float_tflite_file(levels, weights, shared_data, monkeypatch, tmp_path, cache_dir):
    """With the weights that a run delivers; nearest ones lose 1.2 points at level 0."""
    monkeypatch.setenv("SLIMAI_SHARED", str(shared_data.parent))
    config = load_config(
        "+model=resnet20_cifar10",
        "network.name=resnet8_cifar10",
        f"network.input_model={shared_data / 'models' / 'tflite' / 'resnet8_cifar10_float.tflite'}",
        "network.input_data_layout=NHWC",
        "network.mean=[0]",
        "network.stddev=[1]",
        f"path.output_dir={tmp_path}",
        f"path.tmp_dir={cache_dir}",
        f"quantization.accuracy_level={levels}",
        f"quantization.weight_rounding={weights}",
    )
    result = run(config)
    assert result.host_layers == ()
    assert result.float_result.score == pytest.approx(0.75, abs=1e-9)
    found = {item.candidate.level: item.score for item in result.candidates if item.candidate.variant or levels == [4]}
    assert sorted(found) == levels
    assert min(found.values()) >= result.float_result.score - 0.01, found


def test_mobilenet_v1_imagenet(shared_data, monkeypatch, tmp_path, cache_dir):
    reference, found = scores("mobilenet_v1_imagenet", shared_data, monkeypatch, tmp_path, cache_dir, [0, 1, 2, 3, 4])
    assert reference == pytest.approx(0.5633, abs=1e-4)
    assert abs(found[4] - reference) <= 0.01
    assert all(found[level] >= reference - 0.02 for level in (1, 2, 3))
    assert found[0] >= 0.1, "one scale a tensor is hopeless without equalization (0.003), not with it"


def test_kws_dscnn(shared_data, monkeypatch, tmp_path, cache_dir, repo_root):
    monkeypatch.syspath_prepend(str(repo_root / "benchmarks"))
    import unpack_kws

    unpack_kws.unpack(shared_data / "datasets" / "kws", tmp_path / "arrays")
    reference, found = scores(
        "kws_dscnn",
        shared_data,
        monkeypatch,
        tmp_path / "out",
        cache_dir,
        [0, 1, 2, 3, 4],
        f"path.image_dir={tmp_path / 'arrays'}",
    )
    sys.modules.pop("unpack_kws", None)
    assert reference == pytest.approx(0.904, abs=1e-9)
    assert min(found.values()) >= reference - 0.02


def test_yolov3_nano_voc(shared_data, monkeypatch, tmp_path, cache_dir):
    reference, found = scores("mobilenetv2_yolov3_nano_voc", shared_data, monkeypatch, tmp_path, cache_dir, [0, 1, 3])
    assert reference == pytest.approx(0.7951, abs=0.01)
    assert found[1] >= reference - 0.03
    assert found[3] >= reference - 0.03
    assert found[0] >= found[1] - 0.02


def test_one_picture_without_small_objects(shared_data, monkeypatch, tmp_path, cache_dir):
    """COCO's AP of small objects is no number there: null in run.json, and the run goes on."""
    words = ("dataset.validation_count=1", "dataset.calibration_count=2")
    _, found = scores("yolo_fastest_coco", shared_data, monkeypatch, tmp_path, cache_dir, [1], *words)
    assert 0 < found[1] <= 1
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["float"]["values"]["AP_small"] is None
    assert written["candidates"][0]["values"]["AP_small"] is None
    assert written["candidates"][0]["values"]["AP"] == found[1]
