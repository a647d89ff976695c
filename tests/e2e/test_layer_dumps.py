"""Per-layer dumps come in pairs: fixed-point and float in the same units, as similarity.txt compares them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slimai import load_config, run
from slimai.blobs.reader import read_blob


def test_fixed_and_float_layers_are_those_of_similarity_txt(tmp_path, cache_dir):
    result = run(
        load_config(
            "+model=mobilenet_digits", f"path.output_dir={tmp_path}/out", f"path.tmp_dir={cache_dir}",
            "quantization.accuracy_level=0", "quantization.equalization=true", "metric.output_debug=3",
            "dataset.calibration_count=8", "dataset.validation_count=4",
        )
    )  # fmt: skip
    out = result.output_dir
    fixed = out / result.best.candidate.profile("mobilenet_digits") / "layers"
    floats = out / "mobilenet_digits_ref" / "layers"
    names = {path.name for path in fixed.iterdir()}
    assert names == {path.name for path in floats.iterdir()}
    rows = json.loads((out / ".slimai" / "report.json").read_text())["layers"]
    blobs = {row["profile"]: row["tensor"].replace("/", "_") for row in rows}
    told = {}
    for line in (out / "similarity.txt").read_text().splitlines():
        words = line.split()
        told[blobs[words[3]]] = float(words[-1])
    stems = {f"val_{at:03d}" for at in range(4)}
    for tensor, similarity in told.items():
        cosines = []
        for stem in stems:
            one, other = (read_blob(folder / f"{stem}_{tensor}.blob").real().reshape(-1) for folder in (fixed, floats))
            norms = float(np.linalg.norm(one) * np.linalg.norm(other))
            cosines.append(float(one.astype(np.float64) @ other.astype(np.float64)) / norms if norms else 1.0)
        assert np.mean(cosines) == pytest.approx(similarity, abs=2e-4), tensor  # blobs have six decimals
