"""A run that ends in C: the folder passes its own test, and the finished run gives the same one again."""

from __future__ import annotations

import shutil
import subprocess

import pytest


@pytest.mark.slow
def test_a_run_ends_in_c_and_the_finished_run_gives_it_again(slimai, tmp_path):
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("no make and C compiler on this machine")
    output, again = tmp_path / "run", tmp_path / "again"
    done = slimai("+model=yolo", "quantization.weight_rounding=nearest", "quantization.accuracy_level=3",
                  f"path.output_dir={output}", f"path.tmp_dir={tmp_path}", "codegen.language=c")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "passed: 2 vectors" in make(output / "yolo_c")
    done = slimai("codegen", output, "-o", again)
    assert done.returncode == 0, done.stderr
    assert "passed: 2 vectors" in make(again)


def make(folder):
    done = subprocess.run(["make", "test"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_c_of_float_arithmetic_is_refused_before_anything_slow(slimai):
    done = slimai("validate", "+model=yolo", "codegen.language=c", "target.arithmetic=ort_f32")
    assert done.returncode == 2
    assert "codegen.language: c has integers alone: ort_f32 is float by definition" in done.stdout + done.stderr
