"""top1 / top5 / top1_5 against scikit-learn, cosine against numpy, NoMetric, defaults, score_range."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from slimai.errors import InputError, SlimaiError
from slimai.metrics.classification import rank_of
from slimai.metrics.create import create_metric, default_metric
from slimai.metrics.similarity import cosine_similarity
from slimai.schema.metric_specs import TopKInput


@pytest.mark.parametrize(("which", "depths"), [("top1", [1]), ("top5", [5]), ("top1_5", [1, 5])])
def test_equals_scikit_learn(make_samples, make_context, which, depths):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(80, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 80)
    samples = make_samples(80, [str(label) for label in labels])
    metric = create_metric(which, None, make_context(("prob",), samples, shapes=((1, 10),)))
    records = [metric.measure(s, [row[None]], None) for s, row in zip(samples, scores, strict=True)]
    result = metric.combine(records[::-1])
    for depth in depths:
        expected = top_k_accuracy_score(labels, scores, k=depth, labels=range(10))
        assert result.values[f"top{depth}"] == pytest.approx(expected, abs=1e-12)
    assert result.value == result.score == result.values[f"top{depths[0]}"]
    assert result.per_image.mean() == pytest.approx(result.score)
    hits = [
        np.argsort(-row, kind="stable").tolist().index(label) < depths[0]
        for row, label in zip(scores, labels, strict=True)
    ]
    np.testing.assert_array_equal(result.per_image, hits)


def test_of_equal_scores_the_first_class_wins():
    assert [rank_of(np.array([3.0, 5.0, 5.0]), label) for label in range(3)] == [2, 0, 1]


def test_a_background_class_is_offset(make_samples, make_context):
    samples = make_samples(1, ["2"])
    context = make_context(("p",), samples, shapes=((1, 4),))
    metric = create_metric("top1", TopKInput(data_offset=-1), context)
    assert metric.combine([metric.measure(samples[0], [np.array([[0.0, 0, 0, 1]])], None)]).value == 1.0


def test_a_label_file(tmp_path, make_samples, make_context):
    samples = make_samples(3)
    (tmp_path / "labels.txt").write_text("img2.png 0\nimg0.png 1\nimg1.png 1\n")
    metric = create_metric("top1", TopKInput(labels=tmp_path / "labels.txt"), make_context(("p",), samples))
    outputs = [np.array([[0.0, 1]]), np.array([[0.0, 1]]), np.array([[1.0, 0]])]
    assert metric.combine([metric.measure(s, [o], None) for s, o in zip(samples, outputs, strict=True)]).value == 1.0


def test_every_wrong_label_at_once(make_samples, make_context):
    samples = make_samples(4, ["1", "-1", "cat", "12"])
    with pytest.raises(InputError) as caught:
        create_metric("top1", None, make_context(("p",), samples, shapes=((1, 10),)))
    assert str(caught.value).splitlines() == [
        "image 'img1.png': not a class number (got '-1'); a label is a class number from 0",
        "image 'img2.png': not a class number (got 'cat'); a label is a class number from 0",
        "image 'img3.png': label beyond the 10 classes of the network (got 12)",
    ]


def test_missing_labels_are_counted(make_samples, make_context):
    with pytest.raises(InputError) as caught:
        create_metric("top1_5", None, make_context(("p",), make_samples(30)))
    assert len(caught.value.diagnostics) == 21
    assert str(caught.value.diagnostics[-1]) == "and 10 more of these mistakes"


def test_cosine(make_samples, make_context):
    rng = np.random.default_rng(0)
    samples = make_samples(5)
    metric = create_metric("cosine", None, make_context(("a", "b"), samples))
    records, expected = [], []
    for sample in samples:
        one = [rng.normal(size=(1, 7)).astype(np.float32), rng.normal(size=(1, 2, 3, 4)).astype(np.float32)]
        two = [x + rng.normal(size=x.shape).astype(np.float32) for x in one]
        records.append(metric.measure(sample, one, two))
        pairs = [(a.ravel().astype(float), b.ravel().astype(float)) for a, b in zip(one, two, strict=True)]
        expected.append([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs])
    result = metric.combine(records)
    assert result.value == pytest.approx(np.mean(expected), rel=1e-12)
    assert result.values["cosine/b"] == pytest.approx(np.mean(expected, axis=0)[1], rel=1e-12)
    np.testing.assert_allclose(result.per_image, np.mean(expected, axis=1), rtol=1e-12)


def test_cosine_at_the_edges():
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert (cosine_similarity(zero, zero), cosine_similarity(zero, one), cosine_similarity(one, -one)) == (1, 0, -1)
    assert cosine_similarity(one * np.float32(1e38), one * np.float32(1e-38)) == pytest.approx(1.0, abs=1e-12)


def test_opposite_outputs_score_zero_not_below(make_samples, make_context):
    samples = make_samples(1)
    metric = create_metric("cosine", None, make_context(("a",), samples))
    result = metric.combine([metric.measure(samples[0], [np.ones((1, 3))], [-np.ones((1, 3))])])
    assert (result.value, result.score, result.per_image.tolist()) == (-1.0, 0.0, [0.0])


def test_no_metric_has_no_score_but_sees_infinity(make_samples, make_context):
    samples = make_samples(1)
    metric = create_metric("NoMetric", None, make_context(("a",), samples))
    assert metric.combine([metric.measure(samples[0], [np.ones((1, 3))], None)]).score is None
    with pytest.raises(SlimaiError, match=r"img0.png': output 'a': 1 of 3 values are not finite \(got inf\)"):
        metric.measure(samples[0], [np.array([[1.0, np.inf, 0]])], None)


def test_the_number_of_outputs_is_checked(make_samples, make_context):
    metric = create_metric("NoMetric", None, make_context(("a", "b"), make_samples(1)))
    with pytest.raises(SlimaiError, match=r"expected 2 outputs \(a, b\) \(got 1\)"):
        metric.measure(make_samples(1)[0], [np.ones(3)], None)


def test_default_metric(make_samples, make_context):
    labelled = make_context(("p",), make_samples(2, ["0", "1"]), network_class="Classification")
    bare = make_context(("p",), make_samples(2), network_class="Classification")
    other = make_context(("p",), make_samples(2, ["0", "1"]))
    assert [default_metric(context) for context in (labelled, bare, other)] == ["top1_5", "cosine", "cosine"]
    assert create_metric(None, None, labelled).name == "top1_5"


def test_score_range_replaces_the_score(make_samples, make_context):
    samples = make_samples(1)
    context = make_context(("a",), samples)
    record = [np.array([[1.0, 0]])], [np.array([[1.0, 1.0]])]
    metric = create_metric("cosine", None, context, score_range=(0.5, 0.9))
    result = metric.combine([metric.measure(samples[0], *record)])
    assert result.score == pytest.approx((np.sqrt(0.5) - 0.5) / 0.4)
    falling = create_metric("cosine", None, context, score_range=(0.9, 0.5))
    assert not falling.higher_is_better
    assert falling.combine([falling.measure(samples[0], *record)]).score == pytest.approx(1 - result.score)
