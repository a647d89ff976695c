from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.schema.metric import BUILT_IN
from slimai.suggest import VERY_NEAR, did_you_mean, nearest, suggest


@pytest.mark.parametrize(
    ("name", "meant"),
    [("cosin", "cosine"), ("PSNRR", "psnr"), ("segstat", "SegStats"), ("voc_det", "voc_det_AP"), ("mIU", "MIU")],
)
def test_a_near_miss_is_found_whatever_its_case(name, meant):
    assert nearest(name, BUILT_IN, VERY_NEAR) == meant


@pytest.mark.parametrize("name", ["my_metric", "mymetric", "my_topk", "faces", "custom_metric", "dice"])
def test_a_name_of_the_users_own_is_not_taken_for_a_metric(name):
    assert did_you_mean(name, BUILT_IN, VERY_NEAR) == ""


def test_the_end_of_a_message():
    assert suggest("yela", ["yolo", "ssd"]) == "; one of ssd, yolo"
    assert suggest("yollo", ["yolo", "ssd"]) == "; did you mean 'yolo'?"
    assert suggest("x", []) == "; one of "


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5), st.sampled_from([0.6, 0.8]))
def test_what_is_found_is_known_and_as_alike_as_asked_for(name, known, cutoff):
    found = nearest(name, known, cutoff)
    ratios = {item: SequenceMatcher(None, item.lower(), name.lower()).ratio() for item in known}
    if found is None:
        assert all(ratio < cutoff for ratio in ratios.values())
    else:
        assert found in known
        assert ratios[found] == max(ratios.values()) >= cutoff
