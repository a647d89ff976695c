"""Results of another configuration are kept beside the output folder, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimai.app.delivery.keep_earlier import begin, note_written, present, set_aside

SMALL = (
    "+model=mobilenet_digits",
    "quantization.weight_rounding=nearest",
    "dataset.calibration_count=6",
    "dataset.validation_count=8",
)


def run(slimai, out, cache_dir, *more):
    done = slimai(*SMALL, f"path.output_dir={out}", f"path.tmp_dir={cache_dir}", *more)
    assert done.returncode == 0, done.stderr
    return done


def contents(folder):
    return {name: (folder / name).read_bytes() for name in present(folder) if name != "timings.json"}


def test_they_are_moved_in_turn_and_the_users_files_stay(slimai, tmp_path, cache_dir):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    run(slimai, out, cache_dir, "path.keep=2")
    first = contents(out)
    del first["mine.txt"]
    assert "run.json" in first
    run(slimai, out, cache_dir, "path.keep=2")  # the same once more: nothing to keep
    assert not (tmp_path / "out.old-1").exists()
    (out / "later.txt").write_text("later")
    done = run(slimai, out, cache_dir, "path.keep=2", "network.mean=1")
    assert f"preprocessing changed; they are kept in {out}.old-1" in done.stderr
    assert contents(tmp_path / "out.old-1") == first
    second = contents(out)
    assert {"mine.txt", "later.txt"} <= set(second)
    run(slimai, out, cache_dir, "path.keep=2", "network.mean=2")
    assert contents(tmp_path / "out.old-2") == first
    assert contents(tmp_path / "out.old-1") == {name: second[name] for name in set(second) - {"mine.txt", "later.txt"}}
    run(slimai, out, cache_dir, "path.keep=2", "network.mean=3")
    assert not (tmp_path / "out.old-3").exists()
    assert (out / "mine.txt").read_text() == "mine"


def test_none_are_kept_where_none_are_wanted(slimai, tmp_path, cache_dir):
    out = tmp_path / "out"
    run(slimai, out, cache_dir, "path.keep=0")
    run(slimai, out, cache_dir, "path.keep=0", "network.mean=1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


NAMES = st.sampled_from(["run.json", "report.html", "acc1/p.yaml", "layers/a/b.txt", "Adjust_yaml/n.yaml", "x"])


@given(st.sets(NAMES), st.sets(NAMES), st.booleans())
def test_what_a_run_added_is_moved_whole_and_what_was_there_stays(tmp_path_factory, users, runs, killed):
    folder = tmp_path_factory.mktemp("keep") / "out"

    def write(names, text):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    folder.mkdir()
    write(users, "user")
    before = begin(folder)
    write(runs - users, "run")
    if not killed:
        note_written(folder, before)
    else:
        assert begin(folder) == before
    place = set_aside(folder, 1)
    moved = runs - users
    assert (place is not None) == bool(moved)
    if place is not None:
        assert present(place) == moved
        assert all((place / name).read_text() == "run" for name in moved)
    edited = {name for name in moved if name.startswith("Adjust_yaml")}
    assert present(folder) == users | edited


@pytest.mark.parametrize("stop", range(1, 4))
def test_a_move_that_was_interrupted_is_finished_by_the_next(tmp_path, monkeypatch, stop):
    import os

    folder = tmp_path / "out"
    folder.mkdir()
    before = begin(folder)
    names = {"a", "b/c", "run.json"}
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    note_written(folder, before)
    real, count = os.replace, [0]

    def replace(source, target):
        if "old-0" in str(target):
            count[0] += 1
            if count[0] == stop:
                raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        set_aside(folder, 3)
    monkeypatch.setattr(os, "replace", real)
    place = set_aside(folder, 3)
    assert {name: (place / name).read_text() for name in present(place)} == {name: name for name in names}
    assert present(folder) == set()
