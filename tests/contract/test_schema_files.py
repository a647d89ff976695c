"""The schemas in the tree are those of the models; every conf file is valid under the one it names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from slimai.schema.export import all_schemas
from slimai.schema.reference import reference_page

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if "hydra" not in path.relative_to(CONF).parts)


def validator(name):
    return jsonschema.Draft7Validator(json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", all_schemas())
def test_the_schema_is_up_to_date(name):
    assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == all_schemas()[name], "run: slimai schema"


def test_no_schema_is_left_over():
    assert {path.name for path in (ROOT / "schemas").iterdir()} == set(all_schemas())


def test_the_reference_page_is_up_to_date():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run: slimai schema --docs docs/configuration.md"


@pytest.mark.parametrize("name", all_schemas())
def test_the_schema_is_draft_7(name):
    schema = json.loads(all_schemas()[name])
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_conf_file_names_its_schema_and_is_valid_under_it(file):
    text = (CONF / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    found = [re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", line) for line in lines[:2]]
    modeline = next(match for match in found if match)
    schema = (CONF / file).parent / modeline[1]
    assert schema.resolve().parent == ROOT / "schemas"
    errors = list(validator(schema.name).iter_errors(yaml.safe_load(text)))
    assert errors == []


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "model"], ids=str)
def test_the_package_header_of_a_preset_comes_first(file):
    # above it, any other comment makes Hydra stop reading the header, silently
    assert (CONF / file).read_text(encoding="utf-8").startswith("# @package _global_\n")


REFUSED = {
    "a misspelt key": {"quantization": {"rnage": "90:99"}},
    "a misspelt section": {"quantisation": {}},
    "an unquoted range": {"quantization": {"range": 147001}},
    "a level that is none": {"quantization": {"accuracy_level": 5}},
    "an enum value": {"network": {"class": "Detect"}},
    "a number out of bounds": {"target": {"acc_bits": 8}},
    "an option of another metric": {"metric": {"metric_cls": "psnr", "metric_input": {"anchors": [[1, 2]]}}},
    "a misspelt option": {"metric": {"metric_input": {"treshold": 0.5}}},
}
ACCEPTED = {
    "a part": {"quantization": {"range": "96:99:1"}},
    "an interpolation": {"quantization": {"range": "${oc.env:RANGE}", "accuracy_level": "${levels}"}},
    "the legacy string": {"metric": {"metric_cls": "psnr", "metric_input": "cwh range=255"}},
    "a custom metric": {"metric": {"metric_cls": "faceboxes_map", "metric_input": "faces threshold=0.6"}},
    "a metric without its name": {"metric": {"output_debug": 2}},
    "a defaults list": {"defaults": [{"override /target": "vision_dsp"}, "_self_"]},
    "lists and single values": {"quantization": {"accuracy_level": [0, 1], "calibration": "ImprovedKL"}},
    "the short form of resize": {"network": {"resize": "letterbox"}},
    "no search": {"smart_search": None},
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_editor_refuses(what):
    assert not validator("slimai.schema.json").is_valid(REFUSED[what])


@pytest.mark.parametrize("what", ACCEPTED)
def test_an_editor_accepts(what):
    assert list(validator("slimai.schema.json").iter_errors(ACCEPTED[what])) == []


def test_every_field_has_a_description_for_the_editor():
    from pydantic import BaseModel

    from slimai.schema.base import Section

    def models(model: type[BaseModel]):
        for child in model.__subclasses__():
            yield child
            yield from models(child)

    missing = [f"{m.__name__}.{n}" for m in models(Section) for n, f in m.model_fields.items() if not f.description]
    assert missing == []


def test_the_editor_reads_yaml_as_slimai_does():
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    assert settings["yaml.yamlVersion"] == "1.1"
    for schema in settings["yaml.schemas"]:
        assert (ROOT / schema).is_file()
