"""What is written from a metric_input is read back as the same."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from slimai.schema.metric import BUILT_IN, MetricUnion
from slimai.schema.metric_specs import CocoInput, ImageInput, SegInput, VocInput
from slimai.schema.metric_text import format_metric_input

ADAPTER = TypeAdapter(MetricUnion)
fractions = st.integers(0, 1000).map(lambda number: number / 1000)
positive = st.integers(1, 10**6).map(lambda number: number / 100)
sizes = st.tuples(st.integers(1, 4096), st.integers(1, 4096))
paths = st.text("abcXYZ019_-./", min_size=1, max_size=20).map(lambda text: Path("/") / text.strip("/") / "x")
labels = st.lists(st.text("abcdefgh_0123456789", min_size=1, max_size=8), max_size=4, unique=True).map(tuple)
anchors = st.lists(st.lists(st.tuples(positive, positive), min_size=1, max_size=4).map(tuple), max_size=3).map(tuple)
shared = {
    "center": st.booleans(),
    "yfirst": st.booleans(),
    "threshold": fractions,
    "data_offset": st.integers(-100, 100),
    "scale_width": positive,
    "div_height": positive,
    "custom_pp": st.sampled_from([None, "yolo", "ssd", "yolox", "yolov8"]),
    "input_size": st.none() | sizes,
    "voc_labels": labels,
    "iou_threshold": st.none() | fractions,
    "layout": st.sampled_from(["HWC", "CHW"]),
    "anchors": anchors,
    "yolo": st.sampled_from([None, "v2", "v3"]),
    "ap": st.sampled_from(["area", "11point"]),
    "priors": st.none() | paths,
}
voc = st.builds(VocInput, annotations=paths, **shared)
coco = st.builds(CocoInput, instances=paths, classes=st.integers(1, 1000), **shared)
resizes = st.none() | st.fixed_dictionaries({"method": st.sampled_from(["NN", "Bi", "Cu"]), "size": sizes})
seg = st.builds(
    SegInput,
    labels=paths,
    axis=st.integers(0, 2),
    threshold=st.none() | fractions,
    resize=resizes,
    transpose=st.sampled_from(["auto", "true", "false"]),
)
image = st.builds(
    ImageInput, use_float=st.booleans(), layout=st.sampled_from([None, "chw", "whc", "cwh", "hwc"]), range=positive
)
metrics = st.one_of(
    st.tuples(st.just("voc_det_AP"), voc),
    st.tuples(st.just("coco_det_AP"), coco),
    st.tuples(st.just("MIU"), seg),
    st.tuples(st.just("psnr"), image),
)


@given(metrics)
def test_written_and_read_again_is_the_same(pair):
    metric_cls, spec = pair
    text = format_metric_input(spec)
    assert ADAPTER.validate_python({"metric_cls": metric_cls, "metric_input": text}).metric_input == spec


@given(st.sampled_from(BUILT_IN), st.text("ab=,[]:;01. /yoloanchors", max_size=60))
def test_any_string_is_read_or_refused_with_a_sentence(metric_cls, text):
    try:
        spec = ADAPTER.validate_python({"metric_cls": metric_cls, "metric_input": text}).metric_input
    except ValidationError:
        return
    again = ADAPTER.validate_python({"metric_cls": metric_cls, "metric_input": format_metric_input(spec)})
    assert again.metric_input == spec
