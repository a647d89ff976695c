"""Segmentation statistics against scikit-learn's confusion matrix, exactly; orientation and resizing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score

from slimai.data.sample import ImageGeometry, Sample
from slimai.errors import InputError
from slimai.metrics.create import create_metric
from slimai.metrics.scores import resampled_scores
from slimai.metrics.segmentation import MapOptions, blob_view, class_map
from slimai.schema.metric_specs import SegInput


@pytest.fixture
def build(tmp_path, make_context):
    def make(masks, which="SegStats", geometry=None, layout="NCHW", shape=None, mode="L", **options):
        names = []
        for at, mask in enumerate(masks):
            picture = Image.fromarray(np.asarray(mask, np.uint8))
            if mode == "P":
                picture.putpalette([value for level in range(256) for value in (255 - level, level, 7)])
            picture.save(tmp_path / f"mask{at}.png")
            names.append(f"img{at}.png mask{at}.png")
        (tmp_path / "labels.txt").write_text("\n".join(names))
        samples = tuple(Sample(at, (tmp_path / f"img{at}.png",), (), geometry) for at in range(len(masks)))
        context = make_context(("out",), samples, input_layout=layout, shapes=(shape,) if shape else ())
        return create_metric(which, SegInput(labels=tmp_path / "labels.txt", **options), context), samples

    return make


def score(metric, samples, outputs):
    return metric.combine([metric.measure(s, [o], None) for s, o in zip(samples, outputs, strict=True)])


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(build, seed):
    rng = np.random.default_rng(seed)
    truths = [rng.choice([0, 1, 2, 5, 255], (12, 17)) for _ in range(4)]
    founds = [
        np.where(rng.random((12, 17)) < 0.6, np.where(t == 255, 3, t), rng.integers(0, 6, (12, 17))) for t in truths
    ]
    metric, samples = build(truths, axis=0, transpose=False)
    result = score(metric, samples, [np.eye(6)[found][None].astype(np.float32) for found in founds])
    truth, found = np.concatenate([t.ravel() for t in truths]), np.concatenate([f.ravel() for f in founds])
    truth, found = truth[truth != 255], found[truth != 255]
    present = np.unique(truth)
    iou = jaccard_score(truth, found, labels=present, average=None)
    share = np.array([(truth == label).mean() for label in present])
    assert result.values["PxAcc"] == pytest.approx(accuracy_score(truth, found), abs=1e-12)
    recalls = [(found[truth == label] == label).mean() for label in present]
    assert result.values["MAcc"] == pytest.approx(np.mean(recalls), abs=1e-12)
    assert result.values["MIU"] == pytest.approx(iou.mean(), abs=1e-12)
    assert result.values["FrWIU"] == pytest.approx((share * iou).sum(), abs=1e-12)
    assert result.score == result.value == result.values["MIU"]
    if np.isin(found, present).all():
        assert result.values["MAcc"] == pytest.approx(balanced_accuracy_score(truth, found), abs=1e-12)


@pytest.mark.parametrize("which", ["MIU", "PxAcc", "MAcc", "FrWIU"])
def test_the_name_decides_the_value(build, which):
    metric, samples = build([[[0, 1, 1], [1, 1, 0]]], which=which, transpose=False)
    result = score(metric, samples, [np.eye(2)[[[0, 1, 0], [1, 1, 1]]][None].astype(np.float32)])
    expected = {"PxAcc": 4 / 6, "MAcc": (1 / 2 + 3 / 4) / 2, "MIU": (1 / 3 + 3 / 5) / 2, "FrWIU": (2 / 3 + 12 / 5) / 6}
    assert result.value == pytest.approx(expected[which], abs=1e-12)


@pytest.mark.parametrize("which", ["MIU", "PxAcc", "MAcc", "FrWIU"])
def test_resampled_scores_are_those_of_repeated_pictures(build, which):
    rng = np.random.default_rng(7)
    truths = [rng.choice([0, 1, 5, 255] if at % 2 else [2, 255], (6, 7)) for at in range(5)]
    metric, samples = build([*truths, np.full((6, 7), 255)], which, axis=0, transpose=False)
    founds = [np.eye(7)[rng.integers(0, 7, (6, 7))][None].astype(np.float32) for _ in samples]
    records = [metric.measure(sample, [found], None) for sample, found in zip(samples, founds, strict=True)]
    draws = np.array([[0, 1, 2, 3, 4, 5], [0, 0, 0, 2, 2, 2], *rng.integers(0, 6, (6, 6)), [5, 5, 5, 5, 5, 5]])
    truth = [metric.combine([records[at] for at in draw]).value for draw in draws]
    np.testing.assert_allclose(resampled_scores(metric, records, draws), truth, rtol=0, atol=1e-15)
    assert np.isnan(truth[-1])


def test_the_guides_example_of_the_axes():
    output = np.zeros((1, 1, 5618, 15), np.float32)
    assert blob_view(output).shape == (15, 1, 5618)
    shapes = [class_map(output, MapOptions(axis=axis)).shape for axis in range(3)]
    assert shapes == [(1, 5618), (15, 5618), (15, 1)]


def nchw(found, classes):
    return np.eye(classes)[found].transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.parametrize("transpose", ["auto", True])
def test_nchw_logits_keep_the_pictures_orientation(build, transpose):
    truth = np.array([[0, 1, 2, 2], [2, 0, 1, 1], [1, 1, 0, 2]])[:, :4]
    metric, samples = build([truth], axis=1, transpose=transpose)
    assert score(metric, samples, [nchw(truth, 3)]).value == 1.0


def test_nchw_logits_of_a_square_picture(build):
    truth = np.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]])
    metric, samples = build([truth], axis=1)
    assert score(metric, samples, [nchw(truth, 3)]).value == 1.0
    fixed, _ = build([truth], axis=1, transpose=False)
    assert score(fixed, samples, [nchw(truth.T, 3)]).value == 1.0


def test_transpose_false_keeps_the_blobs_order(build):
    truth = np.array([[0, 1, 2, 2], [2, 0, 1, 1]])
    metric, samples = build([truth], axis=1, transpose=False)
    with pytest.raises(InputError, match=r"the map of output 'out' is 2x4, the label image .*mask0.png 4x2 \(w x h\)"):
        metric.measure(samples[0], [nchw(truth, 3)], None)


def test_index_output_of_three_dimensions(build):
    truth = np.array([[0, 1], [2, 2]])
    metric, samples = build([truth], axis=1, layout="NHWC", shape=(1, 2, 2))
    assert score(metric, samples, [truth[None].astype(np.int64)]).value == 1.0


def test_values_are_truncated_and_thresholded(build):
    metric, samples = build([[[0, 1, 2]]], axis=1)
    assert score(metric, samples, [np.array([[[[0.99, 1.5, 2.2]]]], np.float32)]).value == 1.0
    binary, samples = build([[[0, 100, 200]]], axis=1, threshold=0.5)
    assert score(binary, samples, [np.array([[[[0.5, 0.3, 0.51]]]], np.float32)]).value == 1.0


def test_palette_pictures_are_read_as_indices(build):
    truth = np.array([[0, 1, 2], [2, 0, 1]])
    metric, samples = build([truth], axis=1, mode="P")
    assert score(metric, samples, [nchw(truth, 3)]).value == 1.0


@pytest.mark.parametrize("method", ["NN", "Bi", "Cu"])
def test_resize_of_the_map(build, method):
    truth = np.kron([[0, 1], [1, 0]], np.ones((4, 6), int))
    metric, samples = build([truth], axis=1, resize={"method": method, "size": [12, 8]})
    small = np.array([[[[0.0, 1.0], [1.0, 0.0]]]], np.float32)
    if method == "NN":
        assert score(metric, samples, [small]).value == 1.0
    else:
        kind = {"Bi": Image.Resampling.BILINEAR, "Cu": Image.Resampling.BICUBIC}[method]
        expected = np.array(Image.fromarray(small[0, 0].astype(np.uint8)).resize((12, 8), kind))
        np.testing.assert_array_equal(metric.predicted_map(samples[0], [small]), expected)


def test_ignored_labels_cannot_win_and_are_not_counted(build):
    truth = np.array([[0, 1, 2, 2]])
    logits = nchw(np.array([[0, 1, 2, 1]]), 3)
    logits[0, 2] += 5  # the ignored channel is the largest everywhere
    metric, samples = build([truth], axis=1, ignore=[2])
    assert score(metric, samples, [logits]).value == 1.0


def test_truth_follows_the_resize_of_the_picture(build):
    geometry = ImageGeometry((8, 4), (4, 4), (0.5, 0.5), (0.0, 1.0))  # letterbox: 8x4 becomes 4x2 in 4x4
    truth = np.kron([[0, 1, 2, 0], [1, 1, 0, 2]], np.ones((2, 2), int))
    metric, samples = build([truth], axis=1, geometry=geometry)
    found = np.full((4, 4), 1)
    found[1:3] = [[0, 1, 2, 0], [1, 1, 0, 2]]
    assert score(metric, samples, [nchw(found, 3)]).value == 1.0


def test_label_pgm_of_a_small_maximum(build, tmp_path):
    metric, samples = build([[[0, 1, 2]]], axis=1)
    (tmp_path / "mask0.png").write_bytes(b"P5\n# labels\n3 1\n2\n\x00\x01\x02")
    assert score(metric, samples, [nchw(np.array([[0, 1, 2]]), 3)]).value == 1.0


def test_missing_label_images_at_once(tmp_path, make_samples, make_context):
    (tmp_path / "labels.txt").write_text("3\na.png\nb.png\nc.png\n")
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    with pytest.raises(InputError) as caught:
        create_metric("MIU", SegInput(labels=tmp_path / "labels.txt"), make_context(("o",), make_samples(3)))
    assert str(caught.value).replace(str(tmp_path), "").splitlines() == [
        "/a.png: no label image for image 'img0.png'",
        "/c.png: no label image for image 'img2.png'",
    ]
    (tmp_path / "labels.txt").write_text("a.png\nb.png\n")
    with pytest.raises(InputError, match=r"labels.txt: 3 images need as many labels \(got 2\)"):
        create_metric("MIU", SegInput(labels=tmp_path / "labels.txt"), make_context(("o",), make_samples(3)))
