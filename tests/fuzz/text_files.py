"""Image lists, profiles, adjust and rules files, blobs, octrl, anchors, xml and json."""

from __future__ import annotations

import json
import random
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slimai.blobs.reader import read_blob
from slimai.data.image_list import parse_image_list
from slimai.data.preprocess import InputSpec, Preprocess
from slimai.data.resize import Resize
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.voc import read_voc
from slimai.quantizer.adjust import AdjustHeader, read_adjust
from slimai.quantizer.mix_rules import expand_rules, parse_rules
from slimai.quantizer.profile import read_profile
from slimai.schema.metric import MetricUnion
from tests.fuzz.mutate import edited, tree_edit
from tests.property.test_onnx_bytes_property import WHOLE

PROFILE = b"""- NodeOutputName: "Conv_a__1:0"
  Min: 0.0
  Max: 6.25
  Kind: Conv
  Dtype: u8
  Scale: 0.0245
  Offset: 0
- NodeOutputName: "Relu_b__1:0"
  Min: -1.0e-05
  Max: 3
"""
ADJUST = b"""# edit
Model: "m"
Level: "1"
Range: "100"
Nodes:
- NodeOutputName: "a"
  Min:            0.0
  Max:            6.25
  GeneratedMin:   0.0
  GeneratedMax:   6.0
  Kind:           Relu
  Fixed:          true
- NodeOutputName: "b"
  Min:            -1.0
  Max:            1.0
  GeneratedMin:   -1.0
  GeneratedMax:   1.0
"""
RULES = b"- nodes: [conv, 'Max*']\n  intypes: [s16]\n- nodes: [softmax]\n  intypes: [s8]\n  outtypes: [s16]\n"
LIST = b"3\na.png 0\nsub/b.png 1\nc.png,d.npy x.xml\n"
BLOB = b"1.0 3 2 1 1 F32\n1 2.5 -3 4e-5 5 6\n"
OCTRL = b"[out_1 out_2] save\n"
ANCHORS = [
    "anchors=[10:13,16:30,33:23;30:61,62:45,59:119;116:90,156:198,373:326],voc_labels=[a,b]",
    "classes=20,resizeNN=416:416,use_float",
    "annotations=xml,iou=0.5",
    "num_classes=21,ignore=255",
    "topk=5",
]
XML = (
    b"<annotation><size><width>20</width><height>10</height></size><object><name>cat</name><difficult>0</difficult>"
    b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax><ymax>9</ymax></bndbox></object></annotation>"
)
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "area": 14.0, "iscrowd": 0, "id": 1}],
}
SAMPLE = Sample(0, (Path("a.png"),), (), None, "list.txt", 1)
TEXTS = [
    b"a",
    b" ",
    b",",
    b"\n",
    b"\t",
    b"0",
    b"-1",
    b"9" * 30,
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"/",
    b"..",
    b"\0",
    b"\xe4\xbd\xa0",
]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def parse_list(path: Path) -> Any:
    samples, found = parse_image_list(path, path.parent, None)
    if not samples:
        raise InputError(found)
    return samples


def use_list(path: Path, samples: Any) -> None:
    Preprocess([InputSpec("x", (1, 3, 8, 8), resize=Resize("letterbox"))]).check(samples, 1)
    parse_image_list(path, path.parent, 2)


def use_profile(path: Path, _: Any) -> None:
    read_profile(_text(path), str(path))


def use_adjust(path: Path, _: Any) -> None:
    read_adjust(path, AdjustHeader("m", 1, "100"), ["a", "b"])


@cache
def small_graph() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.onnx"
        path.write_bytes(WHOLE)
        return load_onnx(path)


def use_rules(path: Path, _: Any) -> None:
    rules = parse_rules(_text(path), str(path)).rules
    expand_rules(small_graph(), 1, rules)
    expand_rules(small_graph(), 3, (), rules)


def parse_blob_head(path: Path) -> Any:
    return read_blob(path)


def use_blob(_: Path, blob: Any) -> None:
    blob.real()


def make_anchors(rng: random.Random) -> bytes:
    words = [
        b"anchors=",
        b"[",
        b"]",
        b";",
        b":",
        b",",
        b"1",
        b"-1",
        b"1e999",
        b"nan",
        b"9" * 400,
        b"resizeNN=",
        b"use_float",
        b" ",
        b"=",
        b"\xe2\x80\xa8",
    ]
    return edited(rng, rng.choice(ANCHORS).encode(), words)


UNION: TypeAdapter[Any] = TypeAdapter(MetricUnion)


def parse_anchors(path: Path) -> str:
    text = _text(path)
    if not re.search(r"\w=\S", text):
        raise InputError("no option")
    return text


def use_anchors(_: Path, text: str) -> None:
    for name in ("voc_det_AP", "coco_det_AP", "SegStats", "psnr", "top1", "cosine", "own_metric"):
        try:
            UNION.validate_python({"metric_cls": name, "metric_input": text}, context={"base": Path.cwd()})
        except ValidationError as error:
            error.errors(include_url=False)


def make_xml(rng: random.Random) -> bytes:
    words = [
        b"<",
        b">",
        b"<object>",
        b"</object>",
        b"&amp;",
        b"&x;",
        b"<!DOCTYPE a [<!ENTITY x 'y'>]>",
        b"nan",
        b"1e999",
        b"-5",
        b"9" * 5000,
        b"",
        b"\xff",
        b"<a>" * 2000,
    ]
    return edited(rng, XML, words, 1)


def parse_xml(path: Path) -> Any:
    from xml.etree.ElementTree import ParseError, fromstring

    try:
        return fromstring(path.read_bytes())  # noqa: S314 - a few hundred bytes that were made here
    except (ParseError, ValueError, LookupError):
        read_voc(path)
        raise InputError("refused") from None


def use_xml(path: Path, _: Any) -> None:
    read_voc(path)


def make_json(rng: random.Random) -> bytes:
    if rng.random() < 0.75:
        value = tree_edit(rng, COCO)
        return json.dumps(tree_edit(rng, value) if rng.random() < 0.5 else value).encode("utf-8", "surrogatepass")
    words = [b"[" * 5000, b"{", b"}", b",", b"1e999", b"NaN", b"9" * 5000, b"null", b'"', b"\\ud800", b"-"]
    return edited(rng, json.dumps(COCO).encode(), words)


def parse_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        read_instances(path, 2, [SAMPLE])
        raise InputError("refused") from None


def use_json(path: Path, _: Any) -> None:
    read_instances(path, 2, [SAMPLE])
