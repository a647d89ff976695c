"""Composition: presets, the user's own conf, resolvers, what an override means to Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.config import dirs
from slimai.config.compose import compose_job, expand_sweep, hydra_ready
from slimai.config.overrides import as_written, in_hydra_terms, quoted
from slimai.config.target import load_target
from slimai.errors import InputError

BUNDLED = Path(__file__).resolve().parents[3] / "conf"


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("model=yolo", "+model=yolo"),
        ("+model=yolo", "+model=yolo"),
        ("quantization.range=99", "++quantization.range=99"),
        ("+quantization.range=99", "++quantization.range=99"),
        ("++quantization.range=99", "++quantization.range=99"),
        ("target=vision_dsp", "target=vision_dsp"),
        ("stages=[gen_quant_profile]", "++stages=[gen_quant_profile]"),
        ("smart_search=null", "++smart_search=null"),
        ("metric={metric_cls:cosine}", "++metric={metric_cls:cosine}"),
        ("~metric.adjust", "~metric.adjust"),
        ("hydra.verbose=true", "hydra.verbose=true"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib"),
        ("a.b=c=d", "++a.b=c=d"),
    ],
)
def test_the_override_that_hydra_gets(written, terms):
    assert in_hydra_terms(written) == terms
    assert in_hydra_terms(terms) == terms
    assert as_written(terms, [written]) == written


@given(st.text(st.sampled_from("ab'\"\\ $:;=,()[]{}~中"), max_size=12))
def test_a_quoted_text_is_read_back(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    value = OverridesParser.create().parse_override(f"key={quoted(text)}").value()
    assert value == text.replace("${", "\\${")


def compose(*overrides):
    with hydra_ready():
        return compose_job(overrides)


def test_the_bundled_preset_composes_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    composed = compose("+model=yolo")
    assert composed.config_file == BUNDLED / "model" / "yolo.yaml"
    assert composed.values["path"]["image_dir"] == f"{dirs.examples_dir()}/digits_det"
    assert "hydra" not in composed.values
    assert composed.values["target"]["name"] == "vision_dsp"


def test_the_users_conf_is_found_and_shadows_with_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "conf" / "model"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\nnetwork:\n  name: mine\n")
    (own / "yolo.yaml").write_text("# @package _global_\nnetwork:\n  name: shadow\n")
    assert compose("+model=mine").values["network"] == {"name": "mine"}
    assert compose("+model=yolo").values["network"] == {"name": "shadow"}
    assert dirs.shadowed() == [(own / "yolo.yaml", BUNDLED / "model" / "yolo.yaml")]
    assert {"mine", "yolo"} <= set(dirs.preset_names())


def test_in_the_checkout_the_bundled_conf_is_not_the_users(monkeypatch):
    monkeypatch.chdir(BUNDLED.parent)
    assert dirs.user_conf() is None
    assert dirs.shadowed() == []


def test_an_override_may_name_a_key_that_no_file_sets():
    assert compose("+model=yolo", "quantization.range_mode=percentile").values["quantization"]["range_mode"] == (
        "percentile"
    )


def test_a_sweep_becomes_jobs_in_hydras_order():
    with hydra_ready():
        jobs = expand_sweep(["+model=yolo", "quantization.accuracy_level=0,1", "quantization.range=90:92:1,95"])
    assert [job[1:] for job in jobs] == [
        [f"++quantization.accuracy_level={level}", f"++quantization.range={percent}"]
        for level in (0, 1)
        for percent in (r"90\:92\:1", "95")
    ]


def test_a_yaml_file_anywhere_is_a_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "deep" / "net.yaml"
    file.parent.mkdir()
    file.write_text("network:\n  input_model: a.onnx\ndefaults:\n  - override /target: vision_dsp\n  - _self_\n")
    composed = load_target([str(file), "network.class=Other"])
    assert composed.config_file == file
    assert composed.values["network"] == {"input_model": "a.onnx", "class": "Other"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.yaml", b"- 1\n", "should be a mapping of sections (got 'list')"),
        ("text.yaml", b'"3"\n', "should be a mapping of sections (got 'str')"),
        ("twice.yaml", b"'network: {}'\n", "should be a mapping of sections (got 'str')"),
        ("number.yaml", b"3\n", "should be a mapping of sections (got 'int')"),
        ("set.yaml", b"!!set {a}\n", "should be a mapping of sections (got 'set')"),
        ("bad.yaml", b"a: [\n", "not valid YAML"),
        ("latin.yaml", b"a: \xff\xfe\n", "is not UTF-8 text"),
        ("empty.yaml", b"\x00", "not valid YAML"),
    ],
)
def test_a_yaml_file_that_is_none(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load_target([str(tmp_path / name)])
    assert message in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"there is no such file \(got 'nope\.yaml'\)"):
        load_target(["nope.yaml"])


def test_hydra_is_left_as_it_was():
    from hydra.core.global_hydra import GlobalHydra

    compose("+model=yolo")
    assert not GlobalHydra.instance().is_initialized()
