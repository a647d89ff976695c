"""Calibration goes on from images that were looked at before: the same bytes as in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from slimai.app.float_pass.local import collected_tensors
from slimai.app.float_pass.shared import calibrate
from slimai.artifacts.cache import Cache
from slimai.calibration.collect import collect
from slimai.data.loader import iter_batches
from slimai.errors import InputError
from slimai.search.candidate import Candidate
from slimai.search.events import Silent
from tests.unit.app.measured_rewrites import quantizer
from tests.unit.app.test_equalization_check import sub_pixel_network
from tests.unit.app.test_seam_check import detector

SIZE, IMAGES = 16, 7


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for index in range(IMAGES):
        Image.fromarray(rng.integers(0, 30 + 30 * index, (SIZE, SIZE), np.uint8)).save(folder / f"{index}.png")
    (folder / "calib.txt").write_text("\n".join(f"{index}.png" for index in range(IMAGES)))
    detector(folder / "net.onnx", (1.0, 0.1), np.ones(2))
    return quantizer(folder, folder / "net.onnx", "detector", mean=128, stddev=64).job


def first(job, count, *, bins):
    feeds = (arrays for _, arrays in iter_batches(job.calibration[:count], job.preprocess, 2))
    return collect(job.graph, feeds, **collected_tensors(job.graph), bins=bins)


def file_of(job, folder, seen):
    stats = calibrate(job, job.graph, Cache(folder), Silent(), seen=seen)
    (path,) = folder.glob("*.stats.npz")
    return stats, path.read_bytes()


@pytest.mark.parametrize("count", range(1, IMAGES + 1))
def test_the_file_has_the_same_bytes_whatever_was_seen(job, tmp_path, count):
    whole, expected = file_of(job, tmp_path / "whole", None)
    stats, found = file_of(job, tmp_path / "rest", first(job, count, bins=job.config.quantization.bins))
    assert found == expected
    assert stats.images == whole.images == IMAGES


def test_other_bins_are_not_gone_on_from(job, tmp_path):
    _, expected = file_of(job, tmp_path / "whole", None)
    _, found = file_of(job, tmp_path / "rest", first(job, 3, bins=2 * job.config.quantization.bins))
    assert found == expected


def test_an_image_behind_those_seen_is_named_with_its_place(job, tmp_path):
    bad = job.calibration[5].files[0]
    kept = bad.read_bytes()
    seen = first(job, 3, bins=job.config.quantization.bins)
    try:
        bad.write_bytes(b"no picture")
        with pytest.raises(InputError, match=r"5\.png"):
            calibrate(job, job.graph, Cache(tmp_path), Silent(), seen=seen)
    finally:
        bad.write_bytes(kept)


def test_a_quantizer_hands_on_what_it_has_looked_at(tmp_path):
    pictures = []
    for index in range(IMAGES):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        pictures.append(pixels[None, None].astype(np.float32) / 255)
    (tmp_path / "calib.txt").write_text("\n".join(f"{index}.png" for index in range(IMAGES)))
    sub_pixel_network(tmp_path / "net.onnx", 0, 0.8, pictures)
    made = quantizer(tmp_path, tmp_path / "net.onnx", "subpixel", mean=0, stddev=255)
    asked = []

    def statistics(graph, rewrites):
        asked.append(made.networks.seen(rewrites))
        feeds = (arrays for _, arrays in iter_batches(made.job.calibration, made.job.preprocess, 1))
        return collect(graph, feeds, **collected_tensors(graph))

    made.networks._statistics = statistics
    for level in (0, 1, 2):
        made(Candidate(level))
    assert asked
    assert all(item is not None and item.images == IMAGES for item in asked), "every network was judged first"
