"""Fixtures that every test may use, and the option that runs slow tests for so long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STARTED = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "begin no slow test after so many seconds (skipped, with the reason); they come behind the quick ones"
    parser.addoption("--slow-for", type=float, metavar="SECONDS", default=None, help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow-for") is not None:
        items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--slow-for")
    if limit is not None and item.get_closest_marker("slow") and time.monotonic() - STARTED > limit:
        pytest.skip(f"not begun: {limit:g} seconds are over (--slow-for)")


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
