"""Text that a Chinese keyboard and editor leave: full-width signs, GBK, Big5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.config.full_width import PLAIN, signs
from slimai.config.legacy.load import load_cfg
from slimai.config.target import load_target
from slimai.data.image_list import parse_image_list
from slimai.encodings import decoded
from slimai.errors import InputError

CFG = """[path]
output_dir = out
image_dir = .
[network]
input_model = a.onnx
class = Detection
mean = 1,2,3
[dataset]
calibration_set = calib.txt
calibration_count = 16
[quantization]
accuracy_level = 1
calibration = ImprovedKL
histogram_bins = 10240
[metric]
metric_cls = voc_det_AP
metric_input = annotations center=True,threshold=0.3
"""


@pytest.mark.parametrize(
    ("old", "new", "sign", "plain"),
    [
        ("mean = 1,2,3", "mean = 1，2，3", "，", ","),
        ("= 16", "= １６", "１", "1"),
        ("level = 1", "level = 1，2", "，", ","),
        ("center=True,", "center=True，", "，", ","),
        ("annotations center", "annotations “center", "“", '"'),
        ("= ImprovedKL", "= ImprovedKL；", "；", ";"),
        ("histogram_bins = 10240", "range = 95：99：1", "：", ":"),
        ("accuracy_level = 1", "accuracy_level = 【1】", "【", "["),
        ("output_dir = out", "output_dir = “out”", "“", '"'),
    ],
)
def test_full_width_signs_in_values_are_named(tmp_path, old, new, sign, plain):
    assert old in CFG
    path = tmp_path / "net.cfg"
    path.write_text(CFG.replace(old, new), encoding="utf-8")
    errors = [str(item) for item in load_cfg(path)[1] if item.severity == "error"]
    line = next(number for number, text in enumerate(CFG.replace(old, new).splitlines(), 1) if sign in text)
    (error,) = [text for text in errors if text.startswith(f"{path}:{line}:")]
    assert "the value has full-width signs (" in error
    assert f"'{sign}' for '{plain}'" in error


def test_yaml_values_too(tmp_path):
    from slimai.config.diagnose import judge

    path = tmp_path / "net.yaml"
    path.write_text(
        "path: {output_dir: out, image_dir: .}\nnetwork: {input_model: a.onnx}\nquantization: {range: '95：99'}\n",
        encoding="utf-8",
    )
    found = [str(item) for item in judge(load_target([str(path)])).errors]
    assert any("full-width signs ('：' for ':')" in text for text in found)


@given(st.text())
def test_half_width_text_has_no_full_width_signs(text):
    assert signs(text.encode("ascii", "ignore").decode()) == []
    assert set(signs(text)) <= set(PLAIN)


CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=30)


@given(CHINESE)
def test_gbk_is_read(text):
    line = f"{text}.png 3\n"
    stored = line.encode("gbk")
    if stored.decode("utf-8", "ignore").encode() != stored:  # a few words are UTF-8 too, by chance
        assert decoded(stored) == line
    assert decoded(line.encode("utf-8")) == line
    assert decoded(line.encode("utf-8-sig")) == line
    assert decoded(line.encode("utf-16")) == line


@pytest.mark.parametrize("text", ["標定圖片", "中文路徑/一", "測試資料的名稱", "這是一個模型"])
def test_big5_is_refused_by_name(text):
    with pytest.raises(
        ValueError, match=r"is not UTF-8 text \(byte 0\), (and would hold '.' as GBK \(Big5\?\)|nor GBK)"
    ):
        decoded(text.encode("big5"))


@pytest.mark.parametrize("data", [b"\xff\xfea", b"\x81\x20\xff", b"a\0b", b"\xff\xff"])
def test_what_is_no_text(data):
    with pytest.raises(ValueError, match=r"^is not "):
        decoded(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_one_message(data):
    try:
        text = decoded(data)
    except ValueError as error:
        text = str(error)
        if isinstance(error, UnicodeDecodeError) or not text.startswith("is not "):
            pytest.fail(f"the message is Python's own: {text}")
    assert "\0" not in text


def test_an_image_list_in_gbk(tmp_path):
    (tmp_path / "图片二.png").write_bytes(b"x")
    path = tmp_path / "list.txt"
    path.write_bytes("1\n图片二.png 0\n".encode("gbk"))
    samples, problems = parse_image_list(path, tmp_path)
    assert problems == []
    assert samples[0].files == (tmp_path / "图片二.png",)
    path.write_bytes("1\n中文圖片.png 0\n".encode("big5"))
    (problem,) = parse_image_list(path, tmp_path)[1]
    assert str(problem).startswith(f"{path}: the list is not UTF-8 text (byte 2)")
    assert str(problem).endswith("save it as UTF-8 (GBK is read too)")


def test_a_yaml_in_gbk_says_what_to_do(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_bytes("# 标定\nnetwork: {name: a}\n".encode("gbk"))
    with pytest.raises(InputError) as caught:
        load_target([str(path)])
    assert str(caught.value) == f"{path}: is not UTF-8 text (byte 2); save it as UTF-8"
