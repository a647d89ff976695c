"""psnr, l1, l2, ssim against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from slimai.errors import InputError
from slimai.metrics.create import create_metric
from slimai.metrics.image import as_hwc
from slimai.schema.metric_specs import ImageInput


def pair(rng, channels=3):
    truth = rng.random((24, 31, channels)) * 0.8 + 0.1
    return truth, truth + rng.normal(0, 0.03, truth.shape)


def build(which, make_context, samples, **options):
    return create_metric(which, ImageInput(**options), make_context(("out",), samples))


def to_output(picture, layout="chw"):
    return picture.transpose(["hwc".index(axis) for axis in layout])[None].astype(np.float32)


@pytest.mark.parametrize("layout", ["chw", "hwc", "cwh", "whc"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("which", ["psnr", "ssim", "l1", "l2"])
def test_equals_scikit_image_with_float_truth(make_context, make_samples, which, channels, layout):
    rng = np.random.default_rng(channels)
    samples = make_samples(3)
    metric = build(which, make_context, samples, use_float=True, layout=layout)
    assert metric.uses_float
    records, expected = [], []
    for sample in samples:
        a, b = (x.astype(np.float32) for x in pair(rng, channels))
        records.append(metric.measure(sample, [to_output(b, layout)], [to_output(a, layout)]))
        a, b = np.maximum(a, 0).astype(float), np.maximum(b, 0).astype(float)
        expected.append(
            {
                "psnr": lambda a=a, b=b: peak_signal_noise_ratio(a, b, data_range=1.0),
                "l2": lambda a=a, b=b: mean_squared_error(a, b),
                "l1": lambda a=a, b=b: np.abs(a - b).mean(),
                "ssim": lambda a=a, b=b: structural_similarity(
                    a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
                ),
            }[which]()
        )
    result = metric.combine(records)
    assert result.value == pytest.approx(np.mean(expected), rel=1e-9)
    scores = {"psnr": np.array(expected) / 100, "ssim": expected}.get(which, 1 - np.array(expected))
    np.testing.assert_allclose(result.per_image, scores, rtol=1e-9)
    assert result.score == pytest.approx(np.mean(scores), rel=1e-9)


@pytest.mark.parametrize("which", ["psnr", "ssim", "l1", "l2"])
def test_equal_pictures_score_one(make_context, make_samples, which):
    samples = make_samples(1)
    metric = build(which, make_context, samples, use_float=True)
    output = to_output(pair(np.random.default_rng(0))[0])
    assert metric.combine([metric.measure(samples[0], [output], [output])]).score == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_truth_from_the_image_list(tmp_path, make_context, make_samples, scale):
    truth = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(truth).save(tmp_path / "truth.png")
    samples = make_samples(1, ["truth.png"])
    metric = build("psnr", make_context, samples, range=scale)
    assert not metric.uses_float
    found = truth / 255 * scale + 0.02 * scale
    result = metric.combine([metric.measure(samples[0], [to_output(found)], None)])
    assert result.value == pytest.approx(-20 * np.log10(0.02), abs=1e-4)
    assert result.score == pytest.approx(result.value / 100)


def test_truth_of_an_array_of_floats(tmp_path, make_context, make_samples):
    truth = np.full((20, 30), 50.0, np.float32)
    np.save(tmp_path / "truth.npy", truth)
    samples = make_samples(1, ["truth.npy"])
    metric = build("l1", make_context, samples, range=100)
    result = metric.combine([metric.measure(samples[0], [truth[None, None] + 10], None)])
    assert result.value == pytest.approx(0.1, abs=1e-7)


def test_negative_values_are_clipped(make_context, make_samples):
    samples = make_samples(1)
    metric = build("l1", make_context, samples, use_float=True)
    a, b = np.full((1, 1, 2, 2), -0.5, np.float32), np.zeros((1, 1, 2, 2), np.float32)
    assert metric.combine([metric.measure(samples[0], [a], [b])]).value == 0.0


def test_messages(tmp_path, make_context, make_samples):
    samples = make_samples(1)
    with pytest.raises(InputError, match=r"psnr scores a network with one output \(a, b\) \(got 2\); take the other"):
        create_metric("psnr", ImageInput(use_float=True), make_context(("a", "b"), samples))
    with pytest.raises(InputError, match=r"image 'img0.png': no true picture in the image list"):
        build("psnr", make_context, samples)
    metric = build("ssim", make_context, samples, use_float=True)
    small = np.zeros((1, 1, 8, 20), np.float32)
    with pytest.raises(
        InputError, match=r"output 'out': ssim needs pictures of at least 11 x 11 pixels \(got 20 x 8\)"
    ):
        metric.measure(samples[0], [small], [small])
    with pytest.raises(InputError, match="whose outputs are not given"):
        metric.measure(samples[0], [small], None)
    Image.new("RGB", (20, 20)).save(tmp_path / "t.png")
    named = make_samples(1, ["t.png"])
    metric = build("psnr", make_context, named)
    with pytest.raises(InputError, match="the picture is 20x8 with 1 channels, the truth 20x20 with 3"):
        metric.measure(named[0], [small], None)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((1, 96, 112, 3), "hwc"), ((1, 3, 96, 112), "chw"), ((1, 1, 9, 8), "chw"), ((1, 9, 8, 1), "hwc")],
)
def test_a_layout_that_nobody_knows_is_told_by_the_channels(shape, layout):
    values = np.random.default_rng(0).random(shape)
    assert np.array_equal(as_hwc(values, None), as_hwc(values, layout))


@pytest.mark.parametrize("shape", [(1, 3, 8, 3), (1, 8, 8, 4)])
def test_sizes_that_do_not_tell_the_layout_ask_for_a_word(shape):
    with pytest.raises(InputError, match="add a layout word to metric_input: chw, whc, cwh or hwc"):
        as_hwc(np.zeros(shape), None)


def test_ssim_of_dumps_without_a_layout_word(make_context, make_samples):
    picture = np.random.default_rng(0).random((1, 24, 31, 3)).astype(np.float32)
    metric = create_metric("ssim", ImageInput(use_float=True), make_context(("out",), make_samples(1), input_layout=""))
    record = metric.measure(make_samples(1)[0], [picture], [picture])
    assert metric.combine([record]).value == pytest.approx(1.0)
