"""``slimai rerun``: a run from its lock gives the same bytes; what has changed since is named before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from slimai.config.dirs import examples_dir

SMALL = (
    "quantization.range=97",
    "quantization.weight_rounding=nearest",
    "dataset.calibration_count=8",
    "dataset.validation_count=12",
)

MIXED = ("quantization.mix=auto", "quantization.mix_goal.max_drop=0.01")


def same(first, second, apart=("slimai.log", "timings.json", "run.lock.yaml")):
    """Return the names of the results of two folders, which are compared here byte by byte."""
    names = {
        str(path.relative_to(first))
        for path in Path(first).rglob("*")
        if path.is_file() and not path.relative_to(first).parts[0].startswith(".") and path.name not in apart
    }
    for name in names:
        assert (second / name).read_bytes() == (first / name).read_bytes(), name
    return names


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("yolo", ("metric.output_debug=2",)),
        pytest.param("mobilenet_digits", ("quantization.accuracy_level=[0,3]",), marks=pytest.mark.slow),
        pytest.param(
            "unet_digits", ("quantization.mix=auto", "quantization.mix_goal.max_drop=0.01"), marks=pytest.mark.slow
        ),
    ],
)
def test_the_same_bytes_come_out(slimai, tmp_path, preset, more):
    out = tmp_path / "out"
    done = slimai(f"+model={preset}", *SMALL, *more, f"path.output_dir={out}")
    assert done.returncode == 0, done.stderr
    again = slimai("rerun", str(out))
    assert again.returncode == 0, again.stderr
    names = same(out, tmp_path / "out.rerun")
    assert {"run.json", "report.html", "BestProfile.txt"} <= names
    assert again.stdout.splitlines()[-1] == f"rerun: the same bytes in all {len(names)} files"


@pytest.fixture(scope="module")
def run(slimai, tmp_path_factory):
    """A run on pictures of its own, which a test may change."""
    base = tmp_path_factory.mktemp("rerun")
    shutil.copytree(examples_dir() / "digits_cls", base / "pictures")
    where = (f"path.image_dir={base / 'pictures'}", f"path.output_dir={base / 'out'}")
    done = slimai("+model=mobilenet_digits", *SMALL, *where)
    assert done.returncode == 0, done.stderr
    return base


def test_the_lock_holds_settings_versions_and_hashes(run):
    lock = yaml.safe_load((run / "out/run.lock.yaml").read_text())
    assert lock["config"]["quantization"]["range"] == "97"
    assert lock["config"]["path"]["output_dir"] == str(run / "out")
    assert {"slimai", "numpy", "onnxruntime"} <= set(lock["versions"])
    assert {"model", "labels", "validation images"} <= set(lock["content"])


def test_a_changed_picture_is_named_before_anything_runs(slimai, run, tmp_path):
    pictures = sorted((run / "pictures").rglob("*.png"))
    listed = (run / "pictures/val.txt").read_text().splitlines()[1].split()[0]
    changed = run / "pictures" / listed
    before = changed.read_bytes()
    other = next(path for path in pictures if path.read_bytes() != before)
    try:
        changed.write_bytes(other.read_bytes())
        again = slimai("rerun", str(run / "out"), "-o", str(tmp_path / "new"))
    finally:
        changed.write_bytes(before)
    assert again.returncode == 2
    file = run / "out/run.lock.yaml"
    assert again.stderr == f"{file}: validation images changed since the run; restore it, or start a new run\n"
    assert not (tmp_path / "new").exists()


def test_a_result_that_is_not_the_same_is_named(slimai, run, tmp_path):
    altered = tmp_path / "altered"
    shutil.copytree(run / "out", altered)
    (altered / "BestProfile.txt").write_text("other\n")
    (altered / "extra.txt").write_text("of the user\n")
    again = slimai("rerun", str(altered))
    assert again.returncode == 3
    assert "BestProfile.txt: differs\n" in again.stdout
    assert f"extra.txt: only in {altered}\n" in again.stdout
    assert "rerun: 2 of " in again.stdout


@pytest.mark.slow
def test_another_language_changes_no_result(slimai, run, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMAI_LANG", "zh")
    again = slimai("rerun", str(run / "out"), "-o", str(tmp_path / "new"))
    assert again.returncode == 0, again.stdout
    same(run / "out", tmp_path / "new")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _: "", "is not the lock of a run"),
        (lambda text: text.replace("slimai: 0", "slimai: 9", 1), "is of another version of slimai"),
        (lambda text: text.replace("acc_bits: 32", "acc_bits: [x", 1), "not valid YAML"),
        (lambda text: text.replace("acc_bits: 32", "acc_bits: many", 1), "its configuration is damaged"),
    ],
)
def test_a_lock_that_cannot_be_used(slimai, run, tmp_path, damage, said):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "run.lock.yaml").write_text(damage((run / "out/run.lock.yaml").read_text()))
    again = slimai("rerun", str(folder))
    assert again.returncode == 2
    assert said in again.stderr
    assert "Traceback" not in again.stderr


def test_folders_that_cannot_be_taken(slimai, run, tmp_path):
    assert "has no run.lock.yaml" in slimai("rerun", str(tmp_path)).stderr
    nowhere = tmp_path / "nowhere"
    assert slimai("rerun", str(nowhere)).stderr == (
        f"{nowhere}: there is no such folder; give the output folder of a run\n"
    )
    (tmp_path / "mine.txt").write_text("mine\n")
    there = slimai("rerun", str(run / "out"), "-o", str(tmp_path))
    assert there.returncode == 2
    assert there.stderr == f"{tmp_path}: is there already; give another folder with -o\n"
    itself = slimai("rerun", str(run / "out"), "-o", str(run / "out"))
    assert "is the folder of the run itself" in itself.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
