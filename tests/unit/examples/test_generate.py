"""The example data sets: reproducible from their generator, consistent, and disjoint in their digits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="the generator takes its digits from scikit-learn")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
DATA = EXAMPLES / "data"


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scripts():
    """Return (canvas, generate); the path and the modules are put back afterwards."""
    path, modules = list(sys.path), dict(sys.modules)
    canvas, generate = load_script("canvas"), load_script("generate")
    yield canvas, generate
    sys.path[:] = path
    for name in ("canvas", "generate"):
        sys.modules.pop(name, None)
        if name in modules:
            sys.modules[name] = modules[name]


@pytest.fixture(scope="module")
def generate(scripts):
    return scripts[1]


@pytest.fixture(scope="module")
def rebuilt(generate, tmp_path_factory):
    """Return a folder with freshly generated data sets, cut to the first eight of each split."""
    folder = tmp_path_factory.mktemp("rebuilt")
    counts = {name: dict.fromkeys(splits, 8) for name, splits in generate.COUNTS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "COUNTS", counts)
        generate.generate(folder)
    return folder


def listed(name: str, split: str) -> list[list[str]]:
    lines = (DATA / name / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    assert int(lines[0]) == len(lines) - 1
    return [line.split() for line in lines[1:]]


@pytest.mark.parametrize("name", ["digits_det", "digits_cls", "digits_seg"])
def test_regenerated_files_equal_the_committed_ones(rebuilt, name):
    made = sorted(p for p in (rebuilt / name).rglob("*") if p.suffix in {".png", ".xml"})
    assert len(made) == 16 + (0 if name == "digits_cls" else 8)  # images of two splits, labels of one
    for path in made:
        committed = DATA / path.relative_to(rebuilt)
        if path.suffix == ".xml":
            assert path.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")
        else:  # the bytes of a PNG may depend on the zlib version, its pixels must not
            np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(committed)), str(path))
    for split in ("calib", "val"):
        lines = (rebuilt / name / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        assert [line.split() for line in lines[1:]] == listed(name, split)[:8]


def test_another_seed_gives_other_pictures(generate):
    pool, kind = generate.load_pools()["train"], generate.SCENES["digits_cls"]
    first, second = (generate.scene(np.random.default_rng(seed), pool, kind)[0] for seed in (1, 2))
    assert (first != second).mean() > 0.5


def test_digit_samples_of_the_splits_are_disjoint_and_complete(generate):
    pools = generate.load_pools()
    indices = np.concatenate([pool.indices for pool in pools.values()])
    assert sorted(pools) == ["calib", "train", "val"]
    assert np.array_equal(np.sort(indices), np.arange(1797))
    assert [len(pools[name].indices) for name in ("val", "calib", "train")] == [450, 200, 1147]
    from sklearn.datasets import load_digits

    truth = load_digits().target
    for pool in pools.values():
        np.testing.assert_array_equal(pool.labels, truth[pool.indices])


@pytest.mark.parametrize(
    ("name", "size", "calib", "val"),
    [("digits_det", 128, 64, 128), ("digits_cls", 32, 64, 256), ("digits_seg", 96, 64, 64)],
)
def test_lists_name_existing_pictures_of_the_right_size(name, size, calib, val):
    for split, count in (("calib", calib), ("val", val)):
        lines = listed(name, split)
        assert len(lines) == len({words[0] for words in lines}) == count
        assert {len(words) for words in lines} == ({1} if split == "calib" else {2})
        for words in lines:
            with Image.open(DATA / name / words[0]) as picture:
                assert (picture.size, picture.mode) == ((size, size), "RGB")


def test_detection_labels_lie_inside_the_picture_and_carry_its_stem(generate):
    seen = set()
    for image, label in listed("digits_det", "val"):
        assert Path(image).stem == Path(label).stem
        root = ET.parse(DATA / "digits_det" / "annotations" / label).getroot()  # noqa: S314 - our own file
        assert (root.findtext("size/width"), root.findtext("size/height")) == ("128", "128")
        assert root.findall("object")
        for item in root.iter("object"):
            seen.add(item.findtext("name"))
            left, top, right, bottom = (int(item.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= left < right <= 128
            assert 1 <= top < bottom <= 128
    assert seen == set(generate.CLASSES)


def test_classification_labels_cover_all_classes():
    labels = [int(label) for _, label in listed("digits_cls", "val")]
    assert set(labels) == set(range(10))


def test_segmentation_masks_hold_class_indices_in_list_order():
    lines = listed("digits_seg", "val")
    masks = (DATA / "digits_seg" / "val_masks.txt").read_text(encoding="utf-8").splitlines()
    assert masks == [label for _, label in lines]
    seen = set()
    for image, label in lines:
        assert Path(image).stem == Path(label).stem
        mask = np.asarray(Image.open(DATA / "digits_seg" / label))
        assert (mask.shape, mask.dtype) == ((96, 96), np.uint8)
        assert mask.any()
        seen |= set(np.unique(mask).tolist())
    assert seen == set(range(6))


def test_box_is_the_tight_frame_of_the_ink(scripts):
    canvas, generate = scripts
    pool = generate.load_pools()["train"]
    rng = np.random.default_rng(3)
    picture = np.full((64, 64, 3), 20.0)
    coverage = canvas.draw_coverage(rng, pool.digits[0], 40)
    glyph = canvas.paste(rng, picture, coverage, 5, 11, int(pool.labels[0]))
    rows, columns = np.nonzero(glyph.ink)
    assert glyph.box == (columns.min(), rows.min(), columns.max(), rows.max())
    changed = np.nonzero((picture != 20.0).any(axis=-1))
    assert changed[0].min() >= 5
    assert changed[0].max() < 45
    assert changed[1].min() >= 11
    assert changed[1].max() < 51


def test_data_are_small():
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    assert max(path.stat().st_size for path in files if path.suffix != ".onnx") < 40_000
    assert (DATA / "LICENSE.md").is_file()
