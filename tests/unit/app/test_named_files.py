"""What `validate` says of the small files that a configuration names."""

from __future__ import annotations

import pytest

from slimai import load_config
from slimai.app.check.named_files import file_problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("42\n", "a list of rules is expected"),
        ("- nodes: [Conv_1]\n  intypes: [s7]\n  outtypes: [s16]\n", "s7"),
        ("- {nodes: Conv_1\n", "rules.yaml"),
    ],
)
def test_a_rules_file_is_read(tmp_path, text, message):
    (tmp_path / "rules.yaml").write_text(text)
    config = load_config(
        "+model=mobilenet_digits", f"path.output_dir={tmp_path}/out", "quantization.mix=true",
        f"quantization.nodename_datatypes={tmp_path}/rules.yaml",
    )  # fmt: skip
    found = [str(item) for item in file_problems(config) if item.severity == "error"]
    assert found
    assert message in found[0], found


def test_a_good_rules_file_is_nothing_to_be_said_about(tmp_path):
    (tmp_path / "rules.yaml").write_text("- nodes: [Conv_1]\n  intypes: [s8]\n  outtypes: [s16]\n")
    config = load_config(
        "+model=mobilenet_digits", f"path.output_dir={tmp_path}/out", "quantization.mix=true",
        f"quantization.nodename_datatypes={tmp_path}/rules.yaml",
    )  # fmt: skip
    assert file_problems(config) == []
