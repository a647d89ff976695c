"""Every preset that ships composes and validates; none names a Python target."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimai.config.compose import compose_job, hydra_ready
from slimai.config.diagnose import judge
from slimai.config.hydra_setup import prepare_hydra

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
TARGETS = sorted(path.stem for path in (ROOT / "conf" / "target").glob("*.yaml"))


def verdict(monkeypatch, *overrides):
    monkeypatch.setenv("SLIMAI_SHARED", "/shared")
    with hydra_ready():
        return judge(compose_job(overrides))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid(name, monkeypatch):
    found = verdict(monkeypatch, f"+model={name}")
    assert [str(item) for item in found.diagnostics] == []
    assert found.config is not None


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_valid(name, monkeypatch):
    found = verdict(monkeypatch, "+model=yolo", f"target={name}")
    assert found.config is not None
    assert found.config.target.name == name


def test_no_conf_file_names_a_python_target():
    assert [path for path in (ROOT / "conf").rglob("*.yaml") if "_target_" in path.read_text(encoding="utf-8")] == []


def test_hydra_may_be_prepared_twice():
    prepare_hydra()
    prepare_hydra()
