"""Debug files: the guide's listing, and every dump read back against ONNX Runtime and the simulator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from PIL import Image

from slimai import load_config, run
from slimai.blobs.reader import read_blob
from slimai.errors import InputError, SlimaiError

GOLDEN = Path(__file__).parents[1] / "golden" / "tree" / "guide.txt"
# beyond the guide's listing: the deployable model, the machine-readable results, the report, hidden state
OURS = {"mobilenet_v2_quant.onnx", "mobilenet_v2_quant.npz", "run.json", "run.lock.yaml", "timings.json", "report.html"}
SUGGESTED = {"suggested_rules.yaml", "suggested_adjust.yaml"}  # written where something is worth it
LISTS = {f"{kind}_imagenet_224_png_{use}.txt" for kind in ("glow", "tmp") for use in ("calib", "val")}
IMAGES = 12


@pytest.fixture(scope="module")
def images(tmp_path_factory, repo_root):
    """Return the shipped digits under the guide's list names."""
    folder = tmp_path_factory.mktemp("images")
    source = repo_root / "examples" / "data" / "digits_cls"
    shutil.copytree(source / "images", folder / "images")
    for use in ("calib", "val"):
        shutil.copy(source / f"{use}.txt", folder / f"imagenet_224_png_{use}.txt")
    return folder


@pytest.fixture(scope="module")
def job(images, tmp_path_factory, cache_dir):
    """Return a function that runs the guide's job into a new folder."""

    def start(level, *words, output=None, count=IMAGES):
        folder = output or tmp_path_factory.mktemp(f"level{level}")
        config = load_config(
            "+model=mobilenet_digits",
            "quantization.weight_rounding=nearest",
            "network.name=mobilenet_v2",
            "quantization.equalization=false",  # so that the saved float network is the one that is quantized
            'quantization.range="96:99:1"',
            f"path.image_dir={images}",
            "dataset.calibration_set=imagenet_224_png_calib.txt",
            "dataset.calibration_count=16",
            "dataset.validation_set=imagenet_224_png_val.txt",
            f"dataset.validation_count={count}",
            f"path.output_dir={folder}",
            f"path.tmp_dir={cache_dir}",
            f"metric.output_debug={level}",
            *words,
        )
        run(config)
        return folder

    return start


@pytest.fixture(scope="module")
def level3(job):
    return job(3)


def listing(folder):
    shown = {f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()}
    return {name for name in shown if not name.startswith(".")} - SUGGESTED


def profiles(folder):
    return {path.name for path in folder.glob("mobilenet_v2_9?.yaml")}


def guide():
    return set(GOLDEN.read_text().split())


def test_level_3_is_the_guides_listing(level3):
    assert listing(level3) == guide() | OURS


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1, 2])
def test_lower_levels_have_less(job, level):
    folder = job(level)
    base = {"BestProfile.txt", "FixedPoint_Results.txt", "ProfileList.txt", "tvmgen_mobilenet_v2_slimai_main_0.onnx"}
    best = {(folder / "BestProfile.txt").read_text().strip()}
    first = LISTS | {"output_control.octrl", "mobilenet_v2_ref/"}
    second = guide() - {"similarity.txt"}
    expected = [base | best, base | best | first, second][level]
    assert listing(folder) == expected | OURS


@pytest.mark.slow
def test_several_levels_keep_their_files_apart(job):
    folder = job(2, "quantization.accuracy_level=[0,1]", "quantization.range=99", count=4)
    per_profile = {"mobilenet_v2_99.yaml", "mobilenet_v2_99/"}
    shared = {name for name in guide() if "_9" not in name} - {"similarity.txt"}
    assert listing(folder) == shared | OURS | {"acc0/", "acc1/"}
    assert listing(folder / "acc0") == listing(folder / "acc1") == per_profile
    assert len(list((folder / "acc0" / "mobilenet_v2_99").glob("*.blob"))) == 4


def stems(images, use, count):
    lines = (images / f"imagenet_224_png_{use}.txt").read_text().splitlines()[1 : count + 1]
    return [Path(line.split()[0]).stem for line in lines]


def test_folders_hold_a_blob_an_image_and_output(level3, images):
    folders = {"mobilenet_v2": ("calib", 16), "mobilenet_v2_ref": ("val", IMAGES)}
    folders |= {f"mobilenet_v2_{r}": ("val", IMAGES) for r in range(96, 100)}
    for name, (use, count) in folders.items():
        expected = {f"{stem}_logits.blob" for stem in stems(images, use, count)}
        assert {path.name for path in (level3 / name).glob("*.blob")} == expected


def test_lists(level3, images):
    assert (level3 / "output_control.octrl").read_text() == "[logits] save\n"
    source = (images / "imagenet_224_png_val.txt").read_text().splitlines()[1 : IMAGES + 1]
    assert (level3 / "tmp_imagenet_224_png_val.txt").read_text().splitlines() == [str(IMAGES), *source]
    plain = [str(images / line.split()[0]) for line in source]
    assert (level3 / "glow_imagenet_224_png_val.txt").read_text().splitlines() == plain


def network_inputs(images, use, count):
    names = (images / f"imagenet_224_png_{use}.txt").read_text().splitlines()[1 : count + 1]
    pixels = [np.asarray(Image.open(images / name.split()[0]).convert("RGB"), np.float32) for name in names]
    return [((picture - 127.5) / 127.5).transpose(2, 0, 1)[None] for picture in pixels]


@pytest.mark.parametrize(
    ("folder", "use", "count"), [("mobilenet_v2", "calib", 16), ("mobilenet_v2_ref", "val", IMAGES)]
)
def test_float_blobs_are_onnx_runtimes_outputs(level3, images, repo_root, folder, use, count):
    session = onnxruntime.InferenceSession(repo_root / "examples" / "data" / "models" / "mobilenet_digits.onnx")
    name = session.get_inputs()[0].name
    for stem, value in zip(stems(images, use, count), network_inputs(images, use, count), strict=True):
        blob = read_blob(level3 / folder / f"{stem}_logits.blob")
        truth = session.run(None, {name: value})[0]
        assert (level3 / folder / f"{stem}_logits.blob").read_text().startswith("1.00000000e+00 1 1 10 1 F32\n")
        # six decimals in the text, and the optimized network's float rounding (SPEC 6: 1e-4 relative)
        np.testing.assert_allclose(blob.real(truth.shape), truth, rtol=1e-4, atol=1e-4)


def test_fixed_blobs_are_integers_at_the_profiles_scale(level3):
    for r in range(96, 100):
        entries = yaml.safe_load((level3 / f"mobilenet_v2_{r}.yaml").read_text())
        scale = entries[-1]["Scale"]
        for path in (level3 / f"mobilenet_v2_{r}").glob("*.blob"):
            head, numbers = path.read_text().splitlines()
            coefficient, *shape, dtype = head.split()
            assert float(coefficient) == pytest.approx(1 / scale, rel=1e-8)
            assert shape == ["1", "1", "10", "1"]
            assert dtype == "S8"
            assert all(-128 <= int(number) <= 127 for number in numbers.split())


def best_range(folder):
    return (folder / "BestProfile.txt").read_text().strip().removesuffix(".yaml")


def exposed(folder, tensors):
    """Return ONNX Runtime on the saved float network with inner tensors as outputs."""
    model = onnx.load(folder / "tvmgen_mobilenet_v2_slimai_main_0.onnx")
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    return onnxruntime.InferenceSession(model.SerializeToString())


def test_similarity_is_what_the_dumped_layers_say(level3, images):
    lines = (level3 / "similarity.txt").read_text().splitlines()
    layers = level3 / best_range(level3) / "layers"
    model = onnx.load(level3 / "tvmgen_mobilenet_v2_slimai_main_0.onnx")
    tensors = {name.replace("/", "_"): name for node in model.graph.node for name in node.output}
    found = []
    for line in lines:
        head, value = line.rsplit(": ", 1)
        name = head.removeprefix("The similarity of ").removesuffix(" between fixed and float model is")
        found.append((name, float(value), value))
    # the one name of a tensor is that of the profiles; which tensor of the file it is stands in the report's data
    rows = json.loads((level3 / ".slimai" / "report.json").read_text())["layers"]
    safe = {row["profile"]: row["tensor"].replace("/", "_") for row in rows}
    profile = (level3 / f"{best_range(level3)}.yaml").read_text()
    assert all(f'NodeOutputName: "{name}"' in profile for name, _, _ in found)
    found = [(safe[name], value, text) for name, value, text in found]
    assert [name for name, _, _ in found] == [name for name in tensors if name in {item[0] for item in found}]
    assert found[-1][0] == "logits"
    session = exposed(level3, [tensors[name] for name, _, _ in found])
    inputs = network_inputs(images, "val", IMAGES)
    truth = [session.run([tensors[name] for name, _, _ in found], {session.get_inputs()[0].name: x}) for x in inputs]
    for place, (name, value, text) in enumerate(found):
        cosines = []
        for stem, values in zip(stems(images, "val", IMAGES), truth, strict=True):
            real = read_blob(layers / f"{stem}_{name}.blob").real(values[place].shape).astype(np.float64).ravel()
            flat = values[place].astype(np.float64).ravel()
            cosines.append(flat @ real / np.linalg.norm(flat) / np.linalg.norm(real))
        # the text has six decimals
        assert value == pytest.approx(np.mean(cosines), abs=2e-6), name
        assert len(text.split(".")[1]) == 6
    blobs = {path.name for path in layers.glob("*.blob")}
    assert blobs == {f"{stem}_{name}.blob" for stem in stems(images, "val", IMAGES) for name, _, _ in found}


def test_dumped_blobs_score_what_the_run_reports(level3, images, slimai):
    rows = json.loads((level3 / "run.json").read_text())
    cases = {row["profile"].removesuffix(".yaml"): row["score"] for row in rows["candidates"]}
    cases["mobilenet_v2_ref"] = rows["float"]["score"]
    for folder, score in cases.items():
        done = slimai(
            "metric", "--metric-cls", "top1", "--metric-input", "", "--octrl", level3 / "output_control.octrl",
            "--imagelist", level3 / "tmp_imagenet_224_png_val.txt", "--blobs", level3 / folder, "--format", "json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["score"] == score


@pytest.mark.slow
def test_an_equal_run_elsewhere_leaves_the_same_bytes(level3, job):
    other = job(3)
    mine = {path.relative_to(level3) for path in level3.rglob("*") if path.is_file() and path.name != "timings.json"}
    theirs = {path.relative_to(other) for path in other.rglob("*") if path.is_file() and path.name != "timings.json"}
    assert mine == theirs
    different = [str(name) for name in sorted(mine) if (level3 / name).read_bytes() != (other / name).read_bytes()]
    # the journal in the state folder tells the seconds that each candidate took; the lock tells where the run went
    assert [name for name in different if not name.startswith(".slimai/journal")] == ["run.lock.yaml"]
    assert lock_elsewhere(other, level3) == (level3 / "run.lock.yaml").read_text()


def lock_elsewhere(folder, there):
    """Return the text of the folder's lock as if the run had gone there."""
    return (folder / "run.lock.yaml").read_text().replace(str(folder), str(there))


def test_blobs_of_candidates_that_are_gone_go_with_their_profiles(job, tmp_path):
    job(2, 'quantization.range="96:98:2"', output=tmp_path, count=4)
    assert (tmp_path / "mobilenet_v2_96").is_dir()
    (tmp_path / "mobilenet_v2_96" / "mine.txt").write_text("kept")
    job(2, 'quantization.range="98:98"', output=tmp_path, count=4)
    assert profiles(tmp_path) == {"mobilenet_v2_98.yaml"}
    assert {path.name for path in (tmp_path / "mobilenet_v2_96").iterdir()} == {"mine.txt"}
    assert len(list((tmp_path / "mobilenet_v2_98").glob("*.blob"))) == 4


def test_an_analysis_is_made_again_only_when_something_has_changed(job, tmp_path, monkeypatch):
    from slimai.app.delivery.inspection import Inspection

    made = []
    monkeypatch.setattr(
        Inspection, "_analyse", lambda self, *a, plain=Inspection._analyse, **k: made.append(1) or plain(self, *a, **k)
    )
    for words, count in [((), 1), ((), 1), (("target.acc_bits=24",), 2), ((), 3)]:
        job(0, 'quantization.range="99:99"', *words, output=tmp_path, count=4)
        assert len(made) == count
        saved = json.loads((tmp_path / ".slimai" / "report.json").read_text())
        assert len(saved["pictures"]) == 4


def test_images_of_one_name_are_refused_before_anything_is_written(job, images, tmp_path):
    (images / "twin").mkdir()
    shutil.copy(images / "images" / "val_000.png", images / "twin" / "val_000.png")
    (images / "twins.txt").write_text("2\nimages/val_000.png 9\ntwin/val_000.png 9\n")
    output = tmp_path / "out"
    with pytest.raises(InputError, match="images of the same name would share their blobs: val_000"):
        job(1, "dataset.validation_set=twins.txt", output=output, count=2)
    assert not output.exists()
    job(0, "dataset.validation_set=twins.txt", "quantization.range=99", output=output, count=2)  # no blobs, no clash


def test_a_dump_that_the_disk_cannot_hold_is_refused_with_its_size(job, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(SlimaiError, match=r"per-layer outputs of 4 images need about .* MiB, but 10 bytes are free"):
        job(3, "quantization.range=99", output=tmp_path, count=4)
