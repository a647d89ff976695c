"""The pages of docs/metrics name every metric and every option, and their examples are valid."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic import TypeAdapter

from slimai.metrics.table import METRICS
from slimai.schema import metric_specs as specs
from slimai.schema.metric import MetricUnion

PAGES = {
    "voc_det_AP.md": specs.VocInput,
    "coco_det_AP.md": specs.CocoInput,
    "segmentation.md": specs.SegInput,
    "image.md": specs.ImageInput,
    "topk.md": specs.TopKInput,
    "cosine.md": specs.NoInput,
}


@pytest.fixture
def folder(repo_root):
    return repo_root / "docs" / "metrics"


def test_every_metric_is_on_the_first_page(folder):
    text = (folder / "README.md").read_text()
    assert [name for name in METRICS if f"`{name}`" not in text] == []
    assert all(f"]({page})" in text for page in [*PAGES, "custom.md"])


@pytest.mark.parametrize("page", PAGES)
def test_every_option_is_named(folder, page):
    text = (folder / page).read_text()
    if page == "coco_det_AP.md":
        text += (folder / "voc_det_AP.md").read_text()
    elsewhere = {"resize": "resizeNN", "layout": "layout"}
    missing = [name for name in PAGES[page].model_fields if elsewhere.get(name, name) not in text]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_are_valid(folder, page):
    text = (folder / page).read_text()
    adapter = TypeAdapter(MetricUnion)
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    inis = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    assert blocks
    assert inis
    for block in blocks:
        adapter.validate_python(yaml.safe_load(block)["metric"])
    for block in inis:
        lines = (line.partition("=") for line in block.splitlines() if line.startswith("metric"))
        adapter.validate_python({key.strip(): value.strip() for key, _, value in lines})
