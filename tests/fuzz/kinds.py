"""The kinds of input of the harness: how each is made, its first parser, and the whole reader."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from google.protobuf.message import DecodeError
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from onnx import TensorProto, helper, numpy_helper
from pydantic import TypeAdapter, ValidationError

from slimai import yaml_reader
from slimai.app.commands.validate import check
from slimai.blobs.octrl import read_octrl
from slimai.blobs.reader import read_blob
from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.lexer import lex
from slimai.data.array_file import open_npy, read_npz
from slimai.data.image_list import parse_image_list
from slimai.data.picture_file import PICTURE_ERRORS, open_picture
from slimai.data.preprocess import InputSpec, Preprocess
from slimai.data.resize import Resize
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.graph.load import load_onnx
from slimai.graph.tflite.file import read_file
from slimai.graph.tflite.load import load_tflite
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.masks import read_index_mask
from slimai.metrics.labels.voc import read_voc
from slimai.quantizer.adjust import AdjustHeader, read_adjust
from slimai.quantizer.mix_rules import expand_rules, parse_rules
from slimai.quantizer.prequantized import stored_plan
from slimai.quantizer.profile import read_profile
from slimai.quantizer.quantized_file import load_quantized
from slimai.schema.metric import MetricUnion
from tests.fuzz.harness import Kind
from tests.fuzz.mutate import edited, tree_edit, yaml_text
from tests.property.legacy import test_fuzz as legacy
from tests.property.test_onnx_bytes_property import WHOLE

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [path.read_bytes() for path in sorted((ROOT / "conf" / "model").glob("*.yaml"))]
CFGS = [path.read_bytes() for path in sorted((ROOT / "legacy_cfg").glob("*.cfg"))]
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


def _document(limits: Any = yaml_reader.DATA) -> Any:
    return lambda path: yaml_reader.read_yaml(path, limits)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


# cfg and configurations


def make_cfg(rng: random.Random) -> bytes:
    return legacy.mutated(rng) if rng.random() < 0.5 else edited(rng, rng.choice(CFGS), legacy.SPLICES, 2)


def parse_cfg(path: Path) -> Any:
    lines = lex(_text(path), str(path))
    if any(item.severity == "error" for item in lines.items if hasattr(item, "severity")) or not lines.entries:
        raise InputError("refused")
    return lines


def use_cfg(path: Path, _: Any) -> None:
    convert_cfg(path, path.with_name("x.yaml"))


def use_config(path: Path, _: Any) -> None:
    check([str(path)])


def make_config(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return yaml.safe_dump(tree_edit(rng, yaml.safe_load(rng.choice(PRESETS)))).encode()
    return yaml_text(rng, rng.choice(PRESETS))


KEYS = [
    "target",
    "model",
    "path.output_dir",
    "network.resize",
    "quantization.range",
    "quantization.accuracy_level",
    "metric",
    "network.input_node_name",
    "stages",
    "smart_search.seed",
    "smart_search",
    "metric.metric_input",
    "hydra.job",
    "x",
    "",
]
VALUES = [
    "[0,1]",
    "{a:1}",
    "null",
    "nan",
    "1e999",
    "9" * 50,
    "9" * 5000,
    "${x}",
    "${oc.decode:'nan'}",
    "${oc.env:HOME}",
    "[[1]]",
    "'a b'",
    "a,b",
    "range(0,9)",
    "choice(1,2)",
    "glob(*)",
    "\\",
    "'",
    "x" * 300,
    "???",
    "96:99:1",
    "true",
    "-1",
    "{a:{b:[1]}}",
    "[" * 200,
    "数据",
    "int(3)",
    "str([1])",
    "sort(3,1)",
    "1:2:3",
    '"x"',
    "[s16",
    "@",
    "~",
]


def make_overrides(rng: random.Random) -> bytes:
    words = []
    for _ in range(rng.randint(1, 3)):
        value = rng.choice(VALUES) if rng.random() < 0.8 else rng.choice(VALUES) + rng.choice(VALUES)
        words.append(f"{rng.choice(['', '', '', '+', '++', '~'])}{rng.choice(KEYS)}={value}")
    return "\n".join(words).encode()


def parse_overrides(path: Path) -> list[str]:
    words = _text(path).split("\n")
    try:
        OverridesParser.create().parse_overrides(words)
    except (OverrideParseException, ValueError, RecursionError):
        check(["+model=yolo", *words])  # what is refused here still has to be said
        raise InputError("refused by the grammar") from None
    return words


def use_overrides(_: Path, words: list[str]) -> None:
    check(["+model=yolo", *words])


# text files


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


# arrays and pictures


def make_npy(rng: random.Random) -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.arange(12, dtype=rng.choice([np.uint8, np.float32])).reshape(3, 4))
    words = [
        b"(",
        b")",
        b"'",
        b"|O",
        b"<f4",
        b"1" * 60,
        b",",
        b"4294967296, ",
        b"-1",
        b"\x93NUMPY",
        b"\xff",
        b"True",
        b"{",
    ]
    return edited(rng, memory.getvalue(), words, 1)


def parse_npy(path: Path) -> Any:
    try:
        return open_npy(path)
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from None


def use_npy(path: Path, _: Any) -> None:
    sample = Sample(0, (path,), (), None, "list.txt", 1)
    Preprocess([InputSpec("x", (1, 12), layout="NonImage")]).check([sample], 1)
    read_index_mask(path)


def make_npz(rng: random.Random) -> bytes:
    memory = io.BytesIO()
    (np.savez if rng.random() < 0.7 else np.savez_compressed)(
        memory, a=np.arange(12).reshape(3, 4), b=np.ones(3, np.float32)
    )
    data = memory.getvalue()
    at = rng.randrange(len(data))
    return (
        edited(rng, data, [b"\0", b"\xff\xff", b"PK", b"(1099511627776,)", b"|O"], 1)
        if rng.random() < 0.7
        else data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    )


def parse_npz(path: Path) -> Any:
    return read_npz(path)


def use_nothing(*_: Any) -> None:
    """All was done by the first parser."""


def make_picture(rng: random.Random) -> bytes:
    from PIL import Image

    memory = io.BytesIO()
    image = Image.fromarray(np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3))
    image.convert(rng.choice(["RGB", "L", "1"])).save(memory, rng.choice(["PNG", "PPM", "JPEG", "BMP"]))
    return edited(
        rng, memory.getvalue(), [b"\xff\xff", b"\0\0\0\0", b"9999999", b"\x7f", b"%!PS-Adobe-3.0 EPSF-3.0\n"], 2
    )


def parse_picture(path: Path) -> Any:
    try:
        with open_picture(path) as picture:
            return picture.size
    except PICTURE_ERRORS as error:
        raise InputError(str(error)) from None


def use_picture(path: Path, _: Any) -> None:
    spec = InputSpec("x", (1, 3, 8, 8), resize=Resize("letterbox"))
    sample = Sample(0, (path,), (), None, "list.txt", 1)
    Preprocess([spec]).check([sample], 1)
    try:
        Preprocess([spec])(sample)
    finally:
        read_index_mask(path)


# networks


@cache
def qdq_model() -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"], "weights", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["e"], "bias"),
        helper.make_node("Conv", ["d", "v", "e"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("QuantizeLinear", ["r", "xs", "xz"], ["s"], "last"),
        helper.make_node("DequantizeLinear", ["s", "xs", "xz"], ["y"], "out"),
    ]
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    constants = {
        "xs": np.array(0.1, np.float32),
        "xz": np.array(0, np.int8),
        "ws": scale,
        "wz": np.zeros(3, np.int8),
        "w": np.ones((3, 2, 3, 3), np.int8),
        "b": np.ones(3, np.int32),
        "bs": np.array(0.01, np.float32),
    }
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 2, 6, 6]), ("y", [1, 3, 6, 6]))
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "qdq", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


ATTRIBUTES = [
    "axis",
    "group",
    "strides",
    "pads",
    "kernel_shape",
    "mode",
    "dilations",
    "axes",
    "to",
    "perm",
    "transB",
    "block_size",
]
OPS = [
    "Conv",
    "Relu",
    "Clip",
    "Add",
    "Mul",
    "Gemm",
    "MatMul",
    "Reshape",
    "Transpose",
    "Softmax",
    "Concat",
    "Identity",
    "Cast",
    "ConvTranspose",
    "MaxPool",
    "Resize",
    "Slice",
    "Pad",
    "Split",
    "LSTM",
    "If",
    "Nope",
    "DequantizeLinear",
]


def changed_model(rng: random.Random, data: bytes) -> bytes:  # noqa: C901 - one case a kind of change
    """Return the model with one to three changes of nodes, attributes, constants, shapes, types or operator sets."""
    model = onnx.load_model_from_string(data)
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(model.graph.node)
        tensor = rng.choice(model.graph.initializer)
        match rng.randrange(9):
            case 0:
                name, value = rng.choice(ATTRIBUTES), rng.choice([-9, -1, 0, 1, 2, 7, 2**31])
                kept = [item for item in node.attribute if item.name != name]
                del node.attribute[:]
                node.attribute.extend(
                    [*kept, helper.make_attribute(name, rng.choice([value, [value] * rng.randint(1, 4)]))]
                )
            case 1:
                node.op_type = rng.choice(OPS)
            case 2 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(
                    ["", "x", "w", "none", tensor.name, node.output[0]]
                )
            case 3:
                shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randint(0, 5))]
                kind = rng.choice([np.float32, np.int8, np.int64, np.float64, np.uint8])
                tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, kind), tensor.name))
            case 4:
                value = numpy_helper.to_array(tensor).copy()
                if value.size and value.dtype.kind == "f":
                    value.flat[0] = rng.choice([0.0, np.nan, np.inf, -1.0, 1e30])
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
            case 5:
                dims = model.graph.input[0].type.tensor_type.shape.dim
                if dims:
                    dims[rng.randrange(len(dims))].dim_value = rng.choice([0, 1, 3, 2**31, -1])
            case 6:
                model.opset_import[0].version = rng.choice([1, 7, 9, 11, 13, 21, 25])
            case 7:
                model.graph.node.insert(rng.randrange(len(model.graph.node)), node)
            case 8:
                model.graph.input[0].type.tensor_type.elem_type = rng.choice([1, 3, 7, 10, 11])
    return model.SerializeToString()


def make_onnx_bytes(rng: random.Random) -> bytes:
    data = bytearray(rng.choice([WHOLE, qdq_model()]))
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data) if rng.random() < 0.8 else bytes(data[: rng.randrange(len(data))])


def parse_onnx(path: Path) -> Any:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError, RuntimeError, TypeError):
        load_onnx(path)  # which has to refuse it
        raise InputError("refused") from None
    if not model.graph.node:
        load_onnx(path)
    return model


def use_onnx(path: Path, _: Any) -> None:
    load_onnx(path)


def use_quantized(path: Path, _: Any) -> None:
    load_quantized(path)


@cache
def tflite_parts() -> tuple[Any, bytes]:
    sys.path.append(str(ROOT / "tests" / "oracle"))
    import tflite_builder
    from small_network import small_network

    return tflite_builder, small_network()


def make_tflite_bytes(rng: random.Random) -> bytes:
    _, whole = tflite_parts()
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(8, len(data))
        if rng.random() < 0.7:
            data[place] ^= 1 << rng.randrange(8)
        else:
            place -= place % 4
            data[place : place + 4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**16, rng.randrange(2**32)]).to_bytes(
                4, "little"
            )
    return bytes(data)


def make_tflite_structure(rng: random.Random) -> bytes:
    builder, _ = tflite_parts()
    scale = rng.choice([0.01, 0.0, np.nan, np.inf, -1.0, 1e30, np.array([0.01, 0.02, 0.03, 0.04], np.float32)])
    outs = rng.choice([4, 4, 4, 3])
    tensors = [
        builder.Tensor(
            "x",
            (1, 4, 4, 4),
            rng.choice(["int8", "int8", "uint8", "float32", "int32"]),
            0.1,
            rng.choice([0, 0, 5, 300]),
        ),
        builder.Tensor(
            "w",
            (4, 1, 1, 4),
            "int8",
            scale,
            rng.choice([0, 0, 0, 3]),
            rng.choice([0, 0, 3, 7, -1]),
            np.ones((4, 1, 1, 4), np.int8),
        ),
        builder.Tensor(
            "b",
            (outs,),
            "int32",
            rng.choice([0.001, 0.0, np.nan, 1.0]),
            rng.choice([0, 0, 5]),
            0,
            np.ones(outs, np.int32),
        ),
        builder.Tensor("c", (1, 4, 4, 4), rng.choice(["int8", "int8", "uint8"]), rng.choice([0.2, 0.0, np.nan]), 0),
        builder.Tensor("s", (2,), "int32", data=np.array([rng.choice([1, -1, 0, 64]), 64], np.int32)),
        builder.Tensor("y", rng.choice([(1, 64), (64,), (1, 0), (2, 2)]), "int8", 0.2, 0),
    ]
    fields = {
        "Padding": rng.choice([0, 1, 2]),
        "StrideH": rng.choice([1, 1, 0, 2, -1]),
        "StrideW": 1,
        "DilationHFactor": rng.choice([1, 1, 0, 9]),
        "DilationWFactor": 1,
        "FusedActivationFunction": rng.choice([0, 1, 3, 5, 9]),
    }
    steps = [
        builder.Step(
            rng.choice(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"]),
            [0, 1, 2],
            [3],
            "Conv2D",
            fields,
            3,
        ),
        builder.Step(
            rng.choice(["RESHAPE", "RESHAPE", "SOFTMAX", "DEQUANTIZE", "LOGISTIC", "MEAN", "CONCATENATION"]),
            rng.choice([[3, 4], [3], [3, 4, 4], [0, 4], [4, 3]]),
            [5],
            "Reshape",
            {"NewShape": [1, 64]},
        ),
    ]
    return builder.build_network(
        tensors, steps, rng.choice([[0], [0], [0, 4], [3]]), rng.choice([[5], [5], [3, 5], [4]])
    )


def parse_tflite(path: Path) -> Any:
    return read_file(path)


def use_tflite(path: Path, _: Any) -> None:
    stored_plan(load_tflite(path), 3)
    load_quantized(path)


DATA, CONFIG = yaml_reader.DATA, yaml_reader.CONFIG
LISTED = [b"a.png", *TEXTS]
KINDS = (
    Kind("cfg", ".cfg", make_cfg, parse_cfg, use_cfg),
    Kind("yaml", ".yaml", make_config, _document(CONFIG), use_config),
    Kind("overrides", ".txt", make_overrides, parse_overrides, use_overrides),
    Kind("image list", ".txt", lambda rng: edited(rng, LIST, LISTED), parse_list, use_list),
    Kind("profile", ".yaml", lambda rng: yaml_text(rng, PROFILE), _document(), use_profile),
    Kind("adjust", ".yaml", lambda rng: yaml_text(rng, ADJUST), _document(), use_adjust),
    Kind("rules", ".yaml", lambda rng: yaml_text(rng, RULES), _document(), use_rules),
    Kind(
        "blob",
        ".blob",
        lambda rng: edited(
            rng, BLOB, most=1, words=[b"1", b"-1", b" ", b"nan", b"inf", b"1e400", b"U8", b"9" * 30, b"\n", b"\xff"]
        ),
        parse_blob_head,
        use_blob,
    ),
    Kind("octrl", ".octrl", lambda rng: edited(rng, OCTRL, TEXTS, 1), read_octrl, use_nothing),
    Kind("anchors", ".txt", make_anchors, parse_anchors, use_anchors),
    Kind("xml", ".xml", make_xml, parse_xml, use_xml),
    Kind("json", ".json", make_json, parse_json, use_json),
    Kind("npy", ".npy", make_npy, parse_npy, use_npy),
    Kind("npz", ".npz", make_npz, parse_npz, use_nothing),
    Kind("picture", ".png", make_picture, parse_picture, use_picture),
    Kind("onnx bytes", ".onnx", make_onnx_bytes, parse_onnx, use_onnx),
    Kind("onnx graph", ".onnx", lambda rng: changed_model(rng, WHOLE), parse_onnx, use_onnx),
    Kind("qdq graph", ".onnx", lambda rng: changed_model(rng, qdq_model()), parse_onnx, use_quantized),
    Kind("tflite bytes", ".tflite", make_tflite_bytes, parse_tflite, use_tflite),
    Kind("tflite graph", ".tflite", make_tflite_structure, parse_tflite, use_tflite),
)
NAMES = tuple(kind.name for kind in KINDS)


def _without_alias_bounds() -> None:
    """Take the cure of R2 out: aliases may repeat what they like, and keys become text whatever they are."""
    yaml_reader._Gauge._beyond = lambda _: ""

    def keyed(node: Any, *_: Any) -> Any:
        return {str(key.value): (key, value) for key, value in node.value}

    for module in ("slimai.quantizer.mix_rules", "slimai.quantizer.adjust"):
        sys.modules[module].keyed = keyed


def _without_scalar_guard() -> None:
    """Take the cure of R12 out: what a constructor raises for a scalar goes on as it is."""
    yaml_reader._MISFITS = ()


SABOTAGE = {"aliases": _without_alias_bounds, "scalars": _without_scalar_guard}
