"""A row of the table of metrics is whole: what it names exists, reads its settings and can be built."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import TypeAdapter

from slimai.config.legacy.metric_input import read_metric_input
from slimai.metrics import table
from slimai.schema.metric import (
    BUILT_IN,
    METRICS,
    SECTIONS,
    SPECS,
    MetricSection,
    MetricUnion,
    default_metric,
    metric_kind,
)
from slimai.schema.values import NETWORK_CLASSES

REQUIRED = {"voc": "truth", "coco": "truth.json 80", "segmentation": "list.txt"}


@pytest.mark.parametrize("name", METRICS)
def test_the_union_reads_a_metric_with_the_section_of_its_row(name):
    row = METRICS[name]
    values = {"metric_cls": name} | ({"metric_input": REQUIRED[row.kind]} if row.kind in REQUIRED else {})
    section = TypeAdapter(MetricUnion).validate_python(values)
    assert type(section) is row.section
    assert type(section.metric_input) is row.spec
    assert section.metric_cls == name


@pytest.mark.parametrize("name", METRICS)
def test_a_row_names_a_builder_classes_of_networks_and_a_spelling_that_exist(name):
    row = METRICS[name]
    assert callable(table.METRICS.get(name))
    assert set(row.classes) <= set(NETWORK_CLASSES)
    assert row.legacy in (None, "", name)  # the reader of a cfg looks a name up as it stands
    assert read_metric_input(name, "", str) is not None


def test_rows_of_a_kind_share_their_models_and_every_model_has_a_kind():
    for row in METRICS.values():
        assert (row.section, row.spec) == (SECTIONS[row.kind], SPECS[row.kind])
    assert set(SECTIONS.values()) == set(get_args(MetricSection))
    assert len(SECTIONS) == len(get_args(MetricSection))


def test_the_default_metrics_have_rows_and_a_cfg_says_one_of_them_by_silence():
    names = {default_metric(kind, labelled=labelled) for kind in NETWORK_CLASSES for labelled in (True, False)}
    assert names <= set(METRICS)
    assert {row.name for row in METRICS.values() if row.legacy == ""} <= names


@pytest.mark.parametrize("value", [None, "mine", "COSINE", ["psnr"], {"psnr": 1}, 7])
def test_what_is_no_row_has_the_kind_of_a_plugin_or_of_the_default(value):
    assert metric_kind({"metric_cls": value}) == ("default" if value is None else "custom")
    assert value not in BUILT_IN
