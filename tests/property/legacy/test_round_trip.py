"""Export and conversion are inverse: over generated configurations, and over every file of legacy_cfg."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import ValidationError

from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.export import export_cfg
from slimai.config.legacy.load import load_cfg
from slimai.schema.root import SlimaiConfig

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CFGS = sorted((ROOT / "legacy_cfg").glob("*.cfg"))


def _strategies():
    spec = importlib.util.spec_from_file_location("legacy_strategies", HERE / "strategies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


configurations = _strategies().configurations


def exported(config: SlimaiConfig, folder: Path) -> Path:
    """Return the cfg written for `config`; nothing of it may be left out or unwritable.

    A rules file is named and has to be copied beside the cfg, which is said of those that there are and of no others.
    """
    target = folder / "cfg" / "net.cfg"
    target.parent.mkdir(exist_ok=True)
    export = export_cfg(config, target)
    said = [item for item in export.diagnostics if "is written, but" not in item.message]
    beside = [item.key for item in said if "reads it beside the cfg" in item.message]
    assert [str(item) for item in said if item.key not in beside] == []
    rules = ("nodename_datatypes", "nodekind_datatypes")
    assert beside == [f"quantization.{name}" for name in rules if getattr(config.quantization, name) is not None]
    target.write_text(export.text, encoding="utf-8")
    return target


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_configuration_comes_back_from_its_cfg(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = data.draw(st.sampled_from([str(tmp_path), "/data/elsewhere"]))
    try:
        config = SlimaiConfig.model_validate(data.draw(configurations(root)))
    except ValidationError:
        assume(False)  # a rule across sections refuses the combination
    cfg = exported(config, tmp_path)
    values, found = load_cfg(cfg)
    assert [str(item) for item in found if item.severity == "error"] == []
    assert SlimaiConfig.model_validate(values) == config
    result = convert_cfg(cfg, tmp_path / "conf/model/net.yaml")
    read = OmegaConf.to_container(OmegaConf.create(result.text), resolve=True)
    assert SlimaiConfig.model_validate(read) == config


def test_most_generated_configurations_are_valid(tmp_path):
    outcomes = []

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(configurations(str(tmp_path)))
    def count(values):
        try:
            SlimaiConfig.model_validate(values)
            outcomes.append(True)
        except ValidationError:
            outcomes.append(False)

    count()
    assert sum(outcomes) >= len(outcomes) / 2


@pytest.mark.parametrize("cfg", CFGS, ids=lambda path: path.stem)
def test_a_cfg_means_the_same_after_conversion_and_export(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    first = SlimaiConfig.model_validate(load_cfg(cfg)[0])
    result = convert_cfg(cfg, tmp_path / f"{cfg.stem}.yaml")
    preset = SlimaiConfig.model_validate(OmegaConf.to_container(OmegaConf.create(result.text), resolve=True))
    target = tmp_path / cfg.name
    target.write_text(export_cfg(preset, target).text, encoding="utf-8")
    values, found = load_cfg(target)
    assert [str(item) for item in found if item.severity == "error"] == []
    assert SlimaiConfig.model_validate(values) == first
