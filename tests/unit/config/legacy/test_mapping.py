"""The table of legacy keys agrees with the schema and with the page of the docs; the guide's examples are all read."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.lexer import lex
from slimai.config.legacy.load import judge_cfg
from slimai.config.legacy.mapping import KEYS, SECTIONS, find, suggest_key, suggest_section
from slimai.config.legacy.page import BEGIN, END, key_table, with_table
from slimai.schema.metric import VocMetric
from slimai.schema.root import SlimaiConfig

ROOT = Path(__file__).resolve().parents[4]


def schema_keys() -> dict[str, str]:
    """Return the legacy spelling of every field that has one, with its dotted name."""
    found = {}
    for section, info in SlimaiConfig.model_fields.items():
        model = VocMetric if section == "metric" else info.annotation
        models = [model] if hasattr(model, "model_fields") else list(model.__args__)
        for part in models:
            for name, field in getattr(part, "model_fields", {}).items():
                spelled = (field.json_schema_extra or {}).get("legacy", ())
                for legacy in [spelled] if isinstance(spelled, str) else spelled:
                    found[legacy] = f"{section}.{field.alias or name}"
    return found


def test_the_table_and_the_schema_name_the_same_keys():
    table = {f"{key.section}.{name}": key.target for key in KEYS if key.target for name in (key.name, *key.aliases)}
    by_meaning = {"out_cntrl.description", "graph.tensor"}  # written into fields that have a key of their own
    assert {name: target for name, target in table.items() if name not in by_meaning} == schema_keys()


def test_no_spelling_stands_for_two_rows_of_a_section():
    spellings = [(key.section, name) for key in KEYS for name in key.spellings]
    assert len(spellings) == len(set(spellings))
    assert {key.section for key in KEYS} - {"*"} == set(SECTIONS)
    assert all(key.note for key in KEYS if key.fate != "mapped")
    assert all(key.target for key in KEYS if key.fate == "mapped")


def test_spellings_are_found_in_any_case():
    assert find("quantization", "MIX").target == "quantization.mix"
    assert find("quantization", "nodename_datatype").name == "nodename_datatypes"
    assert find("metric", "include").fate == "dropped"
    assert find("metric", "Mix") is None


def test_suggestions():
    assert suggest_section("quantisation") == "did you mean [quantization]?"
    assert suggest_key("metric", "metric_class") == "did you mean 'metric_cls'?"
    assert suggest_key("graph", "image_dirs") == "did you mean 'image_dir' of [path]?"
    assert suggest_key("graph", "zzz") == "the keys of [graph] are tensor, global_output, coefficient_tables"


def test_the_page_of_the_docs_is_up_to_date():
    page = (ROOT / "docs" / "legacy.md").read_text(encoding="utf-8")
    assert with_table(page) == page, "run: python -m slimai.config.legacy.page docs/legacy.md"
    assert key_table().count("\n") == len(KEYS) + 2
    assert page.count(BEGIN) == page.count(END) == 1


# the fragments that the guide prints, with its folders and values
FRAGMENTS = [
    "[smart_search]\nsmart_search_level = 0\ntime_limit = 7200   #two hours\n",
    "[quantization]\nhistogram_bins =10240\ncalibration =ImprovedMSE\n",
    "[metric]\nreplace_output = [reshape_40 reshape_3800]\nmetric_cls = xxx\nmetric_input = xxx\n",
    "[metric]\nmetric_cls = voc_det_AP\nmetric_input = /workspace/voc_annotation/ center=True,threshold=0.30001\n",
    (
        "[metric]\nmetric_cls = voc_det_AP\nmetric_input = /workspace/yolov2_tiny/imagelist custom_pp=yolo,center=True,"
        "data_offset=1,threshold=0.6,iou_threshold=0.3,input_size=416:416,layout=CHW,"
        "anchors=[34.56:38.08;109.44:141.12;212.16:364.16;301.44:163.52;531.84:336.64]\n"
    ),
    (
        "[metric]\nmetric_cls = voc_det_AP\nmetric_input = /workspace/road_det/imagelist/Annotations/ custom_pp=ssd,"
        "input_size=640:360,center=True,threshold=0.30001,data_offset=-1,"
        "voc_labels=[person;bicycle;car;truck;bus;traffic_light]\n"
    ),
    (
        "[metric]\nmetric_cls = coco_det_AP\nmetric_input = /workspace/coco2014/annotations/instances_val2014.json 80 "
        "custom_pp=yolo,center=True,data_offset=1,threshold=0.5,iou_threshold=0.6,input_size=416:416,layout=HWC,"
        "anchors=[81:82;135:169;344:319][10:14;23:27;37:58]\n"
    ),
    "[metric]\nmetric_cls = SegStats\nmetric_input = /workspace/segmentation/label.txt axis=1,threshold=0.5\n",
    "[metric]\nmetric_cls = psnr\nmetric_input = cwh range=255\n# metric_input = use_float #instead\n",
    (
        "[metric]\noutput_debug = 2\nmetric_cls = faceboxes_map\nmetric_input = faceboxes/imagelist threshold=0.6\n"
        "[quantization]\naccuracy_level = 0\nrange = 92:92\n[performance]\noptimization = level2\n"
    ),
    "[metric]\nAdjust=True\n",
    "[quantization]\nMix=True\n",
    "[quantization]\nMix=True\nnodename_datatypes = net.yaml\n",
    "[quantization]\nMix=True\nnodekind_datatypes  = net.yaml\n",
]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_the_guides_examples_convert_without_an_error(fragment, tmp_path):
    path = tmp_path / "net.cfg"
    path.write_text(fragment, encoding="utf-8")
    result = convert_cfg(path, tmp_path / "net.yaml")
    assert [str(item) for item in result.diagnostics if item.severity == "error"] == []
    assert result.text is not None
    assert "???" not in result.text
    read = judge_cfg(path).settings
    for entry in lex(fragment, "net.cfg").entries:
        assert read.get(find(entry.section, entry.key).target) is not None, entry.key


def test_a_part_of_a_cfg_is_said_to_be_one(tmp_path):
    path = tmp_path / "net.cfg"
    path.write_text("[metric]\nAdjust=True\n", encoding="utf-8")
    assert [str(item) for item in convert_cfg(path, tmp_path / "x.yaml").diagnostics] == [
        (
            f"{path}: is a part of a configuration: it names no folders and no network; "
            "use it beside a preset that does, or add [path] and [network]"
        )
    ]
