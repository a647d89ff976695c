"""Every file of legacy_cfg converts to the YAML beside this test, and that YAML means what the cfg says.

After a wanted change write the files anew: ``SLIMAI_UPDATE_GOLDEN=1 pytest tests/golden/legacy``, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.load import load_cfg
from slimai.schema.root import SlimaiConfig

ROOT = Path(__file__).resolve().parents[3]
CFGS = sorted((ROOT / "legacy_cfg").glob("*.cfg"))


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def converted(cfg: Path):
    return convert_cfg(cfg.relative_to(ROOT), Path("conf/model") / f"{cfg.stem}.yaml")


def test_there_is_one_cfg_for_each_family():
    families = """yolov2_tiny_voc yolov3_tiny_coco ssd_mobilenet_voc ssd_road faceboxes maskrcnn unet deeplab
    mobilenet_v2 super_resolution style_transfer mobilenet_v2_mix mobilenet_v1_quant keyword_spotting yolox"""
    assert {path.stem for path in CFGS} >= set(families.split())


@pytest.mark.parametrize("cfg", CFGS, ids=lambda path: path.stem)
def test_the_yaml_is_the_golden_one(cfg):
    result = converted(cfg)
    assert [str(item) for item in result.diagnostics if item.severity == "error"] == []
    golden = Path(__file__).parent / f"{cfg.stem}.yaml"
    if os.environ.get("SLIMAI_UPDATE_GOLDEN"):
        golden.write_text(result.text, encoding="utf-8", newline="\n")
    assert result.text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("cfg", CFGS, ids=lambda path: path.stem)
def test_the_golden_yaml_means_what_the_cfg_says(cfg):
    golden = Path(__file__).parent / f"{cfg.stem}.yaml"
    from_yaml = OmegaConf.to_container(OmegaConf.load(golden), resolve=True)
    from_cfg, _ = load_cfg(cfg)
    assert SlimaiConfig.model_validate(from_yaml) == SlimaiConfig.model_validate(from_cfg)


@pytest.mark.parametrize("cfg", CFGS, ids=lambda path: path.stem)
def test_the_cfg_means_the_same_from_any_folder(cfg, tmp_path, monkeypatch):
    here, _ = load_cfg(Path("legacy_cfg") / cfg.name)
    monkeypatch.chdir(tmp_path)
    assert load_cfg(cfg)[0] == here


# what the settings must be, written down by hand from the cfg files and SPEC 3, 4, 10
FACTS = {
    "yolov2_tiny_voc": {
        "path.output_dir": ROOT / "outputs/yolov2_tiny_voc",
        "path.image_dir": ROOT / "data/voc2007/images",
        "network.input_model": ROOT / "models/yolov2_tiny.onnx",
        "network.network_class": "Detection",
        "dataset.calibration_set": ROOT / "data/voc2007/images/calibration.txt",
        "quantization.accuracy_level": (1,),
        "metric.metric_cls": "voc_det_AP",
        "metric.metric_input.annotations": ROOT / "data/voc2007/Annotations",
        "metric.metric_input.center": True,
        "metric.metric_input.data_offset": 1,
        "metric.metric_input.iou_threshold": 0.3,
        "metric.metric_input.input_size": (416, 416),
        "metric.metric_input.layout": "CHW",
        "metric.metric_input.anchors": (
            ((34.56, 38.08), (109.44, 141.12), (212.16, 364.16), (301.44, 163.52), (531.84, 336.64)),
        ),
    },
    "yolov3_tiny_coco": {
        "quantization.accuracy_level": (0, 1, 2, 3),
        "smart_search.time_limit": 7200.0,
        "metric.replace_output": ("reshape_40", "reshape_3800"),
        "metric.metric_input.instances": ROOT / "data/coco2014/annotations/instances_val2014.json",
        "metric.metric_input.classes": 80,
        "metric.metric_input.anchors": (((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58))),
        "search_on": True,
    },
    "ssd_road": {
        "quantization.histogram_bins": 10240,
        "quantization.calibration": ("ImprovedKL",),
        "network.channel_order": "BGR",
        "metric.metric_input.voc_labels": ("person", "bicycle", "car", "truck", "bus", "traffic_light"),
        "metric.metric_input.data_offset": -1,
    },
    "faceboxes": {"metric.metric_cls": "faceboxes_map", "metric.metric_input": "faceboxes/imagelist threshold=0.6"},
    "unet": {
        "metric.metric_cls": "SegStats",
        "metric.metric_input.axis": 1,
        "metric.metric_input.threshold": 0.5,
        "smart_search.smart_search_level": 1,
    },
    "deeplab": {"metric.metric_input.resize.method": "NN", "metric.metric_input.resize.size": (513, 513)},
    "mobilenet_v2": {"metric.metric_cls": "top1_5", "network.mean": (123.675, 116.28, 103.53), "search_on": False},
    "super_resolution": {"metric.metric_input.use_float": True, "quantization.accuracy_level": (4,)},
    "style_transfer": {"metric.metric_input.layout": "cwh", "metric.metric_input.range": 255.0},
    "mobilenet_v2_mix": {
        "quantization.mix": True,
        "quantization.nodename_datatypes": ROOT / "legacy_cfg/mobilenet_v2_mix.yaml",
        "metric.adjust": True,
        "metric.output_debug": 3,
    },
    "mobilenet_v1_quant": {"network.model_type": "quantized", "network.type": "Tensorflow"},
    "keyword_spotting": {"network.input_data_layout": "NonImage", "quantization.histogram_bins": 10240},
    "yolox": {
        "target.tcm_reserve_low": 640,
        "target.tcm_reserve_high": 12288,
        "network.input_data_layout": "NCHW",
        "metric.replace_output": ("reshape_3800", "reshape_40"),
    },
}


@pytest.mark.parametrize("name", FACTS)
def test_settings_written_down_by_hand(name):
    values, _ = load_cfg(ROOT / "legacy_cfg" / f"{name}.cfg")
    config = SlimaiConfig.model_validate(values)
    for dotted, expected in FACTS[name].items():
        found = config
        for part in dotted.split("."):
            found = getattr(found, part)
        assert found == expected, dotted


def test_only_the_old_project_the_plug_in_and_an_effort_without_effect_are_warned_about():
    warned = {cfg.stem: len(converted(cfg).diagnostics) for cfg in CFGS}
    assert {name: count for name, count in warned.items() if count} == {
        "faceboxes": 1,
        "ssd_mobilenet_voc": 1,
        "yolox": 9,
    }
