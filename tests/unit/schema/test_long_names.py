"""Names that no file system takes are refused at their key, before anything looks for the file."""

from __future__ import annotations

import pytest

from slimai.app.cli import main
from slimai.app.commands.validate import check
from slimai.blobs.names import check_blob_names
from slimai.errors import InputError

KEYS = (
    *("network.input_model", "path.image_dir", "path.output_dir", "path.tmp_dir", "dataset.validation_set"),
    *("dataset.calibration_set", "quantization.nodename_datatypes", "metric.metric_input.annotations"),
)


@pytest.mark.parametrize("value", ["x" * 256, "数" * 86, "a/" + "y" * 300 + "/b"], ids=["ascii", "letters", "middle"])
@pytest.mark.parametrize("key", KEYS)
def test_a_long_name(key, value):
    mix = ["quantization.mix=true"] if "datatypes" in key else []
    (found,) = check(["+model=yolo", *mix, f"{key}={value}"])
    assert (found.key, found.message) == (key, "A file name has at most 255 bytes")


def test_a_long_path_of_short_names():
    (found,) = check(["+model=yolo", f"path.output_dir={'/abc' * 900}"])
    assert found.message == "A path has at most 3500 bytes"


def test_the_longest_name_is_looked_for():
    found = check(["+model=yolo", f"network.input_model={'x' * 250}.onnx"])
    assert any("no such file" in item.message for item in found)


@pytest.mark.parametrize("words", [["validate"], ["inspect"], ["report"], ["convert"]], ids=" ".join)
def test_files_of_the_command_line(words, capsys):
    assert main([*words, "x" * 300 + ".yaml"]) == 2
    assert "internal" not in capsys.readouterr().err


def test_a_blob_whose_name_would_be_too_long():
    with pytest.raises(InputError, match="would have a name of more than 230 bytes"):
        check_blob_names(["s" * 120], ["o" * 120])
    check_blob_names(["s" * 100], ["o" * 120])
