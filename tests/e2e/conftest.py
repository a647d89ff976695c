"""Real processes: the program as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Finished = subprocess.CompletedProcess


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a calibration cache that the runs of this session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def slimai(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """Return a function that runs `python -m slimai` with these words in an empty folder."""

    def run(*words: str, cwd: Path | None = None, timeout: float = 300) -> Finished:
        folder = cwd or tmp_path_factory.mktemp("cwd")
        command = [sys.executable, "-m", "slimai", *map(str, words)]
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        environment.pop("SLIMAI_DEBUG", None)
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run
