"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def find_shared_data() -> Path | None:
    """Return the folder of real networks and pictures, or None when this machine has none."""
    base = Path(os.environ.get("SLIMAI_SHARED", ROOT.parent / "shared"))
    return base / "data" if (base / "data" / "models").is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder with models/ and datasets/; skip where it is absent."""
    found = find_shared_data()
    if found is None:
        pytest.skip("real networks and pictures are not on this machine (set SLIMAI_SHARED to their folder)")
    return found


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Return the root of the repository."""
    return ROOT
