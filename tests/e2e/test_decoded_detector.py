"""A detector that decodes its boxes in the graph, pixels beside scores in one output, as a user tunes it.

Oracle: ONNX Runtime on the file and on the exported model.
"""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

from slimai.blobs.reader import read_blob
from slimai.runtime.session import FloatSession

IMAGES = 6
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(decoded_detector, tmp_path_factory, slimai, cache_dir):
    """Return the folder of a run at levels 0 to 3, what it said, and the float outputs by picture."""
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(0)
    pictures = [rng.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(IMAGES)]
    for place, picture in enumerate(pictures):
        np.save(folder / f"s{place}.npy", picture)
    (folder / "list.txt").write_text(f"{IMAGES}\n" + "".join(f"s{place}.npy\n" for place in range(IMAGES)))
    (folder / "job.yaml").write_text(
        f"path: {{image_dir: ., output_dir: out, tmp_dir: {cache_dir}}}\n"
        f"network: {{name: net, input_model: {decoded_detector}, class: Other, input_data_layout: NonImage}}\n"
        "dataset: {calibration_set: list.txt, validation_set: list.txt}\n"
        "quantization: {accuracy_level: [0, 1, 2, 3], range: 100}\n"
        "metric: {metric_cls: cosine, output_debug: 2}\n"
    )
    done = slimai("--config-dir", ".", "--config-name", "job", cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    session = onnxruntime.InferenceSession(str(decoded_detector), providers=["CPUExecutionProvider"])
    return folder / "out", done.stderr + done.stdout, [session.run(None, {"x": picture})[0] for picture in pictures]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_scores_are_alive_at_every_level(finished, level):
    folder, _, truth = finished
    for place, wanted in enumerate(truth):
        blob = read_blob(folder / f"acc{level}" / "net_100" / f"s{place}_join.blob")
        found = blob.real((1, 7, 256))
        scores, real = found[:, 4:], wanted[:, 4:]
        assert np.corrcoef(scores.ravel(), real.ravel())[0, 1] > 0.98
        assert np.abs(scores - real).max() < 0.1
        assert np.abs(found[:, :4] - wanted[:, :4]).max() < 3.0, "pixels"


def test_log_and_report_say_so(finished):
    folder, told, _ = finished
    for level in range(4):
        assert f"level {level}: join: 16 bits, up to the output (a join of unlike ranges: in 8 bits" in told
    assert "join: 16 bits, up to the output (a join of unlike ranges" in (folder / "report.html").read_text()


def test_the_exported_model_keeps_its_output(finished):
    folder, _, truth = finished
    session = FloatSession((folder / "net_quant.onnx").read_bytes(), optimize=False)
    assert session.outputs == ("join",)
    rng = np.random.default_rng(0)
    for wanted in truth:
        found = session.run({"x": rng.normal(size=(1, 3, 64, 64)).astype(np.float32)})["join"]
        assert np.abs(found[:, 4:] - wanted[:, 4:]).max() < 0.1


def test_sixteen_bits_behind_the_heads_are_proposed(finished):
    saved = json.loads((finished[0] / ".slimai" / "report.json").read_text())
    assert any("layers behind the heads in 16 bits" in row["remedy"] for row in saved["suspects"])
