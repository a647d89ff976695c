"""Mutated cfg files: a list of messages or a conversion, never a traceback, a hang, or a message without its file."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.config.legacy.convert import convert_cfg
from slimai.config.legacy.lexer import lex
from slimai.config.legacy.metric_input import read_metric_input

ROOT = Path(__file__).resolve().parents[3]
SEEDS = [path.read_bytes() for path in sorted((ROOT / "legacy_cfg").glob("*.cfg"))]
SPLICES = [
    b"=", b"[", b"]", b"[metric]\n", b'"', b"'", b"#", b";", b",", b":", b"${", b"\\${a}", b"???", b"\n", b"\r", b"\0",
    b"\xff", b"\xe3\x80\x80", b"\xef\xbb\xbf", b"~x/", b"1e999", b"0x", b"-1", b"nan", b"inf", b"9" * 400, b"[" * 200,
    b"metric_cls = psnr\n", b"metric_cls = ssim\n", b"tensor = a, DWH\n", b"include = x\n", b'description = "\n',
    b"input_node_name = a,a,b\n", b"replace_output = []\n", b"accuracy_level = 0,1,1\n", b"range = 40:50:1\n",
    b"resizeNN=1:2", b"anchors=[1:2;", b"voc_labels=[]", b"use_float", b"\x85", b"\xe2\x80\xa8", b"Mix=auto\n",
    b"[smart_search]\n", b"[path]\n", b"output_dir =\n", b"mean = ,\n", b"\xf0\x9f\x98\x80", b"\x1b[0m",
]  # fmt: skip
SLOWEST = 2.0  # seconds for one file; the usual is a few milliseconds


def mutated(random_: random.Random) -> bytes:
    """Return a seed file with one to four cuts, copies, splices or flipped bytes."""
    data = bytearray(random_.choice(SEEDS))
    for _ in range(random_.choice((1, 1, 1, 2, 3, 4))):
        at = random_.randrange(len(data) + 1)
        end = min(len(data), at + random_.randint(0, 60))
        match random_.randrange(5):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * random_.randint(1, 3)
            case 2:
                data[at:at] = random_.choice(SPLICES)
            case 3:
                data[at:end] = random_.choice(SPLICES)
            case 4 if at < len(data):
                data[at] = random_.randrange(256)
    return bytes(data)


def check(path: Path, data: bytes) -> bool:
    """Convert `data`; return whether it has become a preset."""
    path.write_bytes(data)
    start = time.process_time()
    result = convert_cfg(path, path.with_name("x.yaml"))
    assert time.process_time() - start < SLOWEST
    assert (result.text is None) == (result.count("error") > 0)
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for item in result.diagnostics:
        assert item.file == str(path)
        assert item.message
        assert "\n" not in str(item)
        assert item.line is None or 1 <= item.line <= lines
    if result.text is not None:
        assert isinstance(yaml.safe_load(result.text), dict | None)
    return result.text is not None


def test_mutated_files_a_few(tmp_path):
    generator = random.Random(1)
    for _ in range(150):
        check(tmp_path / "x.cfg", mutated(generator))


@pytest.mark.slow
def test_mutated_files_ten_thousand(tmp_path):
    generator = random.Random(2)
    converted = sum(check(tmp_path / "x.cfg", mutated(generator)) for _ in range(10_000))
    assert 200 < converted < 9_800  # both ways are walked


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(st.sampled_from("[]=#;\"' \t\n\ra_.,:\u3000中") | st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_becomes_items_or_problems_in_line_order(text):
    lines = lex(text, "x.cfg")
    numbers = [item.place.line for item in lines.items]
    assert numbers == sorted(numbers)
    for entry in lines.entries:
        assert entry.key
        assert entry.value == entry.value.strip(" \t\u3000")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["voc_det_AP", "coco_det_AP", "SegStats", "psnr", "top1", "cosine"]),
    st.lists(
        st.sampled_from(["a", " ", ",", "=", "[", "]", ";", ":", "1", "anchors=", "resizeNN=", "use_float", "axis="])
    ),
)
def test_any_metric_line_gives_values_or_faults_inside_it(metric_cls, parts):
    text = "".join(parts)
    found = read_metric_input(metric_cls, text, str)
    assert found is not None
    for fault in found.faults:
        assert text[fault.offset :].startswith(fault.value)
    assert set(found.offsets) == set(found.values)
