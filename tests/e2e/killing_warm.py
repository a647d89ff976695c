"""Imported by the process that searches are forked from, and by nobody else: a small search loads all kernels once."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from slimai.app.api import load_config
from slimai.app.run.pipeline import run_job

with tempfile.TemporaryDirectory() as _folder, contextlib.redirect_stderr(io.StringIO()):
    _words = (
        *("+model=mobilenet_digits", "metric.metric_cls=cosine", "quantization.accuracy_level=[0,3]"),
        "quantization.weight_rounding=nearest",
        *("quantization.range=100", "dataset.calibration_count=16", "dataset.validation_count=48"),
    )
    run_job(load_config(*_words, f"path.output_dir={Path(_folder) / 'out'}"))
