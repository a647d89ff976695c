"""The kinds of input of the harness: how each is made, its first parser, and the whole reader."""

from __future__ import annotations

import sys
from typing import Any

from slimai import yaml_reader
from slimai.blobs.octrl import read_octrl
from tests.fuzz import configurations, data_files, networks, text_files
from tests.fuzz.harness import Kind
from tests.fuzz.mutate import edited, yaml_text
from tests.property.test_onnx_bytes_property import WHOLE


def _document(limits: Any = yaml_reader.DATA) -> Any:
    return lambda path: yaml_reader.read_yaml(path, limits)


DATA, CONFIG = yaml_reader.DATA, yaml_reader.CONFIG
LISTED = [b"a.png", *text_files.TEXTS]
KINDS = (
    Kind("cfg", ".cfg", configurations.make_cfg, configurations.parse_cfg, configurations.use_cfg),
    Kind("yaml", ".yaml", configurations.make_config, _document(CONFIG), configurations.use_config),
    Kind(
        "overrides", ".txt", configurations.make_overrides, configurations.parse_overrides, configurations.use_overrides
    ),
    Kind(
        "image list",
        ".txt",
        lambda rng: edited(rng, text_files.LIST, LISTED),
        text_files.parse_list,
        text_files.use_list,
    ),
    Kind("profile", ".yaml", lambda rng: yaml_text(rng, text_files.PROFILE), _document(), text_files.use_profile),
    Kind("adjust", ".yaml", lambda rng: yaml_text(rng, text_files.ADJUST), _document(), text_files.use_adjust),
    Kind("rules", ".yaml", lambda rng: yaml_text(rng, text_files.RULES), _document(), text_files.use_rules),
    Kind(
        "blob",
        ".blob",
        lambda rng: edited(
            rng,
            text_files.BLOB,
            most=1,
            words=[b"1", b"-1", b" ", b"nan", b"inf", b"1e400", b"U8", b"9" * 30, b"\n", b"\xff"],
        ),
        text_files.parse_blob_head,
        text_files.use_blob,
    ),
    Kind(
        "octrl",
        ".octrl",
        lambda rng: edited(rng, text_files.OCTRL, text_files.TEXTS, 1),
        read_octrl,
        data_files.use_nothing,
    ),
    Kind("anchors", ".txt", text_files.make_anchors, text_files.parse_anchors, text_files.use_anchors),
    Kind("xml", ".xml", text_files.make_xml, text_files.parse_xml, text_files.use_xml),
    Kind("json", ".json", text_files.make_json, text_files.parse_json, text_files.use_json),
    Kind("npy", ".npy", data_files.make_npy, data_files.parse_npy, data_files.use_npy),
    Kind("npz", ".npz", data_files.make_npz, data_files.parse_npz, data_files.use_nothing),
    Kind("picture", ".png", data_files.make_picture, data_files.parse_picture, data_files.use_picture),
    Kind("onnx bytes", ".onnx", networks.make_onnx_bytes, networks.parse_onnx, networks.use_onnx),
    Kind("onnx graph", ".onnx", lambda rng: networks.changed_model(rng, WHOLE), networks.parse_onnx, networks.use_onnx),
    Kind(
        "qdq graph",
        ".onnx",
        lambda rng: networks.changed_model(rng, networks.qdq_model()),
        networks.parse_onnx,
        networks.use_quantized,
    ),
    Kind("tflite bytes", ".tflite", networks.make_tflite_bytes, networks.parse_tflite, networks.use_tflite),
    Kind("tflite graph", ".tflite", networks.make_tflite_structure, networks.parse_tflite, networks.use_tflite),
)
NAMES = tuple(kind.name for kind in KINDS)


def _without_alias_bounds() -> None:
    """Take the bounds on aliases out: aliases may repeat what they like, and keys become text whatever they are."""
    yaml_reader._Gauge._beyond = lambda _: ""

    def keyed(node: Any, *_: Any) -> Any:
        return {str(key.value): (key, value) for key, value in node.value}

    for module in ("slimai.quantizer.mix_rules", "slimai.quantizer.adjust"):
        sys.modules[module].keyed = keyed


def _without_scalar_guard() -> None:
    """Take the guard of scalars out: what a constructor raises for a scalar goes on as it is."""
    yaml_reader._MISFITS = ()


SABOTAGE = {"aliases": _without_alias_bounds, "scalars": _without_scalar_guard}
