"""Which annotation belongs to which picture: the only answer, or a refusal that names picture and entry."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.base import MetricContext
from slimai.metrics.create import create_metric
from slimai.metrics.labels.coco import read_instances
from slimai.metrics.labels.imagelist import class_numbers
from slimai.metrics.labels.matching import match_names
from slimai.metrics.labels.voc import read_voc, read_voc_labels
from slimai.schema.metric_specs import CocoInput

SIZE = (120, 90)
BOXES = {1: [10.0, 10.0, 40.0, 30.0], 2: [70.0, 60.0, 20.0, 20.0]}
OUTPUTS = ("boxes", "scores", "classes")


def coco_file(folder, names, ids=(1, 2)):
    images = [
        {"id": identity, "width": 120, "height": 90, **({} if name is None else {"file_name": name})}
        for identity, name in zip(ids, names, strict=True)
    ]
    annotations = [
        {"id": at, "image_id": identity, "category_id": 1, "bbox": BOXES[at], "area": 100.0, "iscrowd": 0}
        for at, identity in enumerate(ids, 1)
    ]
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    path = folder / "truth.json"
    path.write_text(json.dumps(data))
    return path


def samples_of(*names, labels=((), ())):
    geometry = ImageGeometry(SIZE, SIZE)
    return tuple(
        Sample(at, (Path("/pictures") / name,), label, geometry)
        for at, (name, label) in enumerate(zip(names, labels, strict=False))
    )


def coco_score(path, samples):
    """Return the score of a detector that finds the box of its picture and no other."""
    spec = CocoInput.model_validate({"instances": path, "classes": 1})
    context = MetricContext(OUTPUTS, ((1, 1, 4), (1, 1), (1, 1)), path.parent, path.parent, samples=samples)
    metric = create_metric("coco_det_AP", spec, context)
    records = []
    for sample in samples:
        x, y, w, h = BOXES[sample.index + 1]
        outputs = [np.array([[[x, y, x + w, y + h]]]), np.array([[0.9]]), np.array([[1.0]])]
        records.append(metric.measure(sample, outputs, None))
    return metric.combine(records).score


@pytest.mark.parametrize(
    ("entries", "pictures"),
    [
        (["v1/0001.png", "v2/0001.png"], ["v1/0001.png", "v2/0001.png"]),
        (["v1/0001.jpg", "v2/0001.jpg"], ["v1/0001.png", "v2/0001.png"]),
        (["val\\000077.png", "val\\000012.png"], ["000077.png", "000012.png"]),
        (["000077.JPG", "000012.JPG"], ["000077.jpg", "000012.jpg"]),
        (["000077.jpg", "000012.jpg"], ["small/000077.png", "small/000012.png"]),
        (["https://a.b/c/000077.jpg", "https://a.b/c/000012.jpg"], ["000077.jpg", "000012.jpg"]),
        ([unicodedata.normalize("NFD", "é1.png"), "b.png"], [unicodedata.normalize("NFC", "é1.png"), "b.png"]),
        (["0001.png", "0001.jpg"], ["0001.png", "0001.jpg"]),
    ],
)
def test_a_unique_match_scores_one(tmp_path, entries, pictures):
    # the ids are crossed with the numbers in the names: taking a stem for an id exchanges the boxes
    assert coco_score(coco_file(tmp_path, entries, (12, 77)), samples_of(*pictures)) == 1.0


def test_a_file_without_names_goes_by_the_numbers_in_the_stems(tmp_path):
    assert coco_score(coco_file(tmp_path, [None, None], (77, 12)), samples_of("000077.png", "000012.png")) == 1.0


def test_labels_are_image_ids_where_no_name_fits(tmp_path):
    path = coco_file(tmp_path, ["a.png", "b.png"], (77, 12))
    assert coco_score(path, samples_of("0.png", "1.png", labels=(("77",), ("12",)))) == 1.0
    with pytest.raises(
        InputError, match=r"images '/pictures/0.png' and '/pictures/1.png' would share the entry 'id 77'"
    ):
        coco_score(path, samples_of("0.png", "1.png", labels=(("77",), ("77",))))


@pytest.mark.parametrize(
    ("entries", "pictures", "text"),
    [
        (["0001.png", "b.png"], ["v1/0001.png", "v2/0001.png"],
         "images '/pictures/v1/0001.png' and '/pictures/v2/0001.png' would share the entry '0001.png'"),
        (["v1/0001.png", "v2/0001.png"], ["0001.png", "b.png"],
         "image '/pictures/0001.png' could be any of 2 entries ('v1/0001.png', 'v2/0001.png')"),
        # nearer in its folder, farther in its name: neither is taken
        (["v1/0001.png", "v2/0001.PNG"], ["v1/0001.PNG", "b.png"],
         "image '/pictures/v1/0001.PNG' could be any of 2 entries ('v1/0001.png', 'v2/0001.PNG')"),
        (["000012.png", "000077.png"], ["12.png", "77.png"], "no entry for image '12.png'"),
    ],
)  # fmt: skip
def test_a_doubtful_match_is_refused_with_picture_and_entry(tmp_path, entries, pictures, text):
    path = coco_file(tmp_path, entries, (12, 77))
    with pytest.raises(InputError) as caught:
        read_instances(path, 1, samples_of(*pictures))
    assert any(str(item).startswith(f"{path}: {text}") for item in caught.value.diagnostics)


def test_equal_ids_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"images: pictures have different whole numbers as id \(got \[5\]\)"):
        read_instances(coco_file(tmp_path, ["a.png", "b.png"], (5, 5)), 1, samples_of("a.png", "b.png"))


def test_xml_of_equal_names_is_found_by_the_folder(tmp_path, write_voc):
    for at, folder in enumerate(("v1", "v2")):
        write_voc(tmp_path / folder / "0001.xml", [(f"thing{at}", 1, 1, 20, 20)])
    for labels in ((), ()), (("v1/0001.xml",), ("v2/0001.xml",)), (("v1\\0001.xml",), ("v2\\0001.xml",)):
        found = read_voc_labels(tmp_path, samples_of("v1/0001.png", "v2/0001.png", labels=labels))
        assert [label.names for label in found] == [("thing0",), ("thing1",)]


@pytest.mark.parametrize("labels", [((), ()), (("v1/0001.xml",), ("v2/0001.xml",))])
def test_one_xml_for_two_pictures_is_refused(tmp_path, write_voc, labels):
    path = write_voc(tmp_path / "0001.xml", [("thing", 1, 1, 20, 20)])
    with pytest.raises(InputError) as caught:
        read_voc_labels(tmp_path, samples_of("v1/0001.png", "v2/0001.png", labels=labels))
    assert str(caught.value) == (
        f"{tmp_path}: images '/pictures/v1/0001.png' and '/pictures/v2/0001.png' would share the entry '{path}'; "
        "give entries names, or folders, that tell them apart"
    )


def test_one_xml_that_both_lines_name_in_full_is_theirs(tmp_path, write_voc):
    write_voc(tmp_path / "0001.xml", [("thing", 1, 1, 20, 20)])
    samples = samples_of("bright.png", "dark.png", labels=(("0001.xml",), ("0001.xml",)))
    assert len(read_voc_labels(tmp_path, samples)) == 2


def test_a_label_file_of_pairs(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("v2/0001.png 5\nv1/0001.png 3\n")
    assert class_numbers(samples_of("v1/0001.png", "v2/0001.png"), path, 10) == {0: 3, 1: 5}
    path.write_text("0001.png 5\n0002.png 3\n")
    with pytest.raises(InputError, match=r"would share the entry '0001.png'"):
        class_numbers(samples_of("v1/0001.png", "v2/0001.png"), path, 10)


NAMES = st.lists(
    st.builds("/".join, st.lists(st.sampled_from(["a", "b", "A", "1"]), min_size=1, max_size=3)).map(
        lambda stem: f"{stem}.png"
    ),
    min_size=1, max_size=8, unique=True,
)  # fmt: skip


@given(names=NAMES, data=st.data())
def test_what_is_matched_is_never_another_picture(names, data):
    """Pictures keep their whole path; case, suffix, separator and what stands in front may have changed."""
    spelled = []
    for name in names:
        path = PurePosixPath(name)
        suffix = data.draw(st.sampled_from([".png", ".PNG", ".jpg"]))
        text = str(path.with_suffix(suffix))
        text = data.draw(st.sampled_from([text, f"val/{text}"]))
        spelled.append(data.draw(st.sampled_from([text, text.replace("/", "\\")])))
    order = data.draw(st.permutations(range(len(names))))
    entries = [spelled[at] for at in order]
    samples = samples_of(*names, labels=[()] * len(names))
    for index in range(len(names)):
        alone = match_names(samples[index : index + 1], entries, "x")
        assert set(alone.places) | alone.doubtful == {index}
        if alone.places:  # names that differ in case alone cannot be told apart once the case has changed
            assert names[order[alone.places[index]]].lower() == names[index].lower()
    found = match_names(samples, entries, "x")
    stems = [PurePosixPath(name).stem.lower() for name in names]
    if len(set(stems)) == len(stems):
        assert not found.mistakes
        assert len(found.places) == len(names)


@pytest.mark.parametrize(
    ("text", "difficult"),
    [("0", False), ("1", True), ("", False), ("Unspecified", False), (" 1 ", True), ("False", False), ("true", True)],
)
def test_difficult_as_tools_write_it(tmp_path, write_voc, text, difficult):
    path = write_voc(tmp_path / "0001.xml", [("thing", 1, 1, 20, 20, text)])
    assert read_voc(path).difficult.tolist() == [difficult]


@pytest.mark.parametrize("text", ["2", "-1", "Maybe", "0.5"])
def test_difficult_that_means_nothing_is_refused(tmp_path, write_voc, text):
    path = write_voc(tmp_path / "0001.xml", [("thing", 1, 1, 20, 20, text)])
    with pytest.raises(InputError, match=rf"0001.xml: object 1: <difficult> must be 0 or 1 \(got '{text.lower()}'\)"):
        read_voc(path)
