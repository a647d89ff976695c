"""The one-line metric_input: the guide's own examples, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from slimai.schema.metric import MetricUnion
from slimai.schema.metric_text import format_metric_input, parse_metric_input

ADAPTER = TypeAdapter(MetricUnion)


def read(metric_cls, text):
    return ADAPTER.validate_python({"metric_cls": metric_cls, "metric_input": text}).metric_input


def test_voc_example_of_the_guide():
    spec = read("voc_det_AP", "/workspace/det_model/voc_annotation/ center=True,threshold=0.30001")
    assert str(spec.annotations) == "/workspace/det_model/voc_annotation"
    assert (spec.center, spec.yfirst, spec.threshold, spec.custom_pp) == (True, False, 0.30001, None)


def test_yolo_example_of_the_guide():
    text = (
        "/workspace/yolov2_tiny/imagelist custom_pp=yolo,center=True,data_offset=1,threshold=0.6,iou_threshold=0.3,"
        "input_size=416:416,layout=CHW,"
        "anchors=[34.56:38.08;109.44:141.12;212.16:364.16;301.44:163.52;531.84:336.64]"
    )
    spec = read("voc_det_AP", text)
    assert spec.anchors == (((34.56, 38.08), (109.44, 141.12), (212.16, 364.16), (301.44, 163.52), (531.84, 336.64)),)
    assert (spec.input_size, spec.layout, spec.iou_threshold, spec.data_offset) == ((416, 416), "CHW", 0.3, 1)


def test_coco_example_of_the_guide():
    text = (
        "/workspace/coco2014/annotations/instances_val2014.json 80 custom_pp=yolo,center=True,data_offset=1,"
        "threshold=0.5,iou_threshold=0.6,input_size=416:416,layout=HWC,anchors=[81:82;135:169;344:319][10:14;23:27;37:58]"
    )
    spec = read("coco_det_AP", text)
    assert spec.classes == 80
    assert spec.anchors == (((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58)))


def test_ssd_example_of_the_guide():
    text = (
        "/workspace/road_det/imagelist/Annotations/ custom_pp=ssd,input_size=640:360,center=True,threshold=0.30001,"
        "data_offset=-1,voc_labels=[person;bicycle;car;truck;bus;traffic_light]"
    )
    spec = read("voc_det_AP", text)
    assert spec.voc_labels == ("person", "bicycle", "car", "truck", "bus", "traffic_light")
    assert (spec.data_offset, spec.input_size, spec.custom_pp) == (-1, (640, 360), "ssd")


def test_segmentation_example_of_the_guide():
    spec = read("SegStats", "/workspace/segmentation/label.txt axis=1,threshold=0.5,resizeNN=240:288")
    assert (spec.axis, spec.threshold, spec.resize.method, spec.resize.size) == (1, 0.5, "NN", (240, 288))


def test_image_examples_of_the_guide():
    assert read("psnr", "cwh range=255").model_dump() == {"use_float": False, "layout": "cwh", "range": 255.0}
    assert read("psnr", "use_float").use_float is True
    assert read("ssim", "").range == 1.0


def test_a_custom_metric_keeps_its_string():
    assert read("faceboxes_map", "faceboxes/imagelist threshold=0.6") == "faceboxes/imagelist threshold=0.6"


@pytest.mark.parametrize(
    ("metric_cls", "text", "message"),
    [
        ("voc_det_AP", "/a centre", "'centre' is not of the form name=value"),
        ("voc_det_AP", "/a center=True,center=False", "'center' is given twice"),
        ("voc_det_AP", "/a anchors=81:82", "anchors are brackets of w:h pairs"),
        ("voc_det_AP", "/a anchors=[81:82:83]", "'81:82:83' is not a w:h pair of numbers"),
        ("voc_det_AP", "/a voc_labels=person;car", "voc_labels is a list in brackets"),
        ("voc_det_AP", "/a input_size=416", "Input should be [width, height]"),
        ("voc_det_AP", "center=True", "annotations"),
        ("voc_det_AP", "/a treshold=1", "treshold"),
        ("voc_det_AP", "/a threshold=1.5", "less than or equal to 1"),
        ("voc_det_AP", "/a anchors=[1:2][1:2][1:2][1:2]", "Anchors have at most three scales"),
        ("psnr", "cwz", "'cwz' is not of the form name=value"),
        ("coco_det_AP", "/a.json eighty", "valid integer"),
    ],
)
def test_a_wrong_string_says_why(metric_cls, text, message):
    with pytest.raises(ValidationError) as error:
        read(metric_cls, text)
    assert message in str(error.value)


def test_brackets_may_hold_commas():
    assert read("voc_det_AP", "/a voc_labels=[a,b;c],center=True").voc_labels == ("a,b", "c")


def test_only_what_differs_from_the_default_is_written():
    spec = read("psnr", "range=1 cwh")
    assert format_metric_input(spec) == "cwh"
    assert format_metric_input(read("SegStats", "/l.txt axis=0,resizeBi=4:5")) == "/l.txt resizeBi=4:5"


def test_a_blank_inside_the_options_is_refused():
    with pytest.raises(PydanticCustomError, match=r"a blank inside the options: 'center=True, threshold=0.3'"):
        parse_metric_input("ann center=True, threshold=0.3", ("annotations",))
    assert parse_metric_input("cwh range=255", (), bare=True) == {"layout": "cwh", "range": "255"}
