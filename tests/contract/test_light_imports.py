"""`slimai validate` and the dispatcher load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("onnx", "onnxruntime", "numba", "pycocotools", "PIL", "cv2", "numpy", "rich", "psutil")
PROGRAM = """
import json, sys
from slimai.app.cli import main
{run}
loaded = [name for name in {heavy!r} if name in sys.modules]
print(json.dumps(loaded), file=sys.stderr)
"""
CASES = {
    "import slimai": "import slimai",
    "the dispatcher": "",
    "the public functions": "import slimai; slimai.load_config('+model=yolo')",
    "validate": "assert main(['validate', '+model=yolo']) == 0",
    "validate of a wrong job": "assert main(['validate', '+model=yolo', 'a.b=1']) == 2",
    "preflight of a wrong multirun": ("assert main(['-m', '+model=yolo', 'quantization.accuracy_level=9,1']) == 2"),
    "schema": "assert main(['schema', '--check']) == 0",
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_heavy_is_loaded(name, repo_root):
    code = PROGRAM.format(run=CASES[name], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo_root, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_nothing_of_hydra_is_loaded_by_the_dispatcher_alone(repo_root):
    code = "import sys, slimai.app.cli; print([n for n in ('hydra', 'omegaconf', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo_root, check=True)
    assert done.stdout.strip() == "[]"


IDLE = (  # of no use to a configuration in which nothing is wrong
    "difflib",
    "slimai.app.opening.open_job",
    "slimai.config.legacy",
    "slimai.config.origins",
    "slimai.schema.export",
)


def test_validate_of_a_sound_preset_loads_only_what_it_needs(repo_root):
    code = PROGRAM.format(run=CASES["validate"], heavy=IDLE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo_root, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
