"""Spilled arrays come back as they went in; the files are plain .npy files; a full disk is known at once."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimai.artifacts.spill import Spill

TYPES = (np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_)
cases = st.tuples(
    st.integers(1, 7),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(TYPES),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases, st.data())
def test_any_choice_of_images_comes_back_exactly(tmp_path_factory, case, data):
    images, shape, dtype, batch, seed = case
    rng = np.random.default_rng(seed)
    arrays = {name: rng.integers(-9, 9, (images, *shape)).astype(dtype) for name in ("x", "a/b:0")}
    folder = tmp_path_factory.mktemp("spill")
    spill = Spill(folder, images)
    for start in range(0, images, batch):
        spill.put(start, {name: array[start : start + batch] for name, array in arrays.items()})
    chosen = data.draw(st.lists(st.integers(0, images - 1), max_size=9))
    for each in (spill, Spill.opened(folder, images, spill.names)):
        for name, array in each.pick(chosen).items():
            assert array.dtype == dtype
            assert np.array_equal(array, arrays[name][chosen])
        part = each.get(0, images + 3, ["x"])
        assert list(part) == ["x"]
        assert np.array_equal(part["x"], arrays["x"])
    assert spill.bytes() == sum(array.nbytes for array in arrays.values())
    stored = [np.load(folder / f"{index}.npy", allow_pickle=False) for index in range(2)]
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(stored, arrays.values(), strict=True))
    spill.close()
    assert list(folder.iterdir()) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.sampled_from(TYPES), st.integers(0, 2**32 - 1))
def test_images_of_differing_shape_come_back_exactly(tmp_path_factory, lengths, dtype, seed):
    rng = np.random.default_rng(seed)
    arrays = [{name: rng.integers(-9, 9, (1, size, 3)).astype(dtype) for name in ("x", "a/b:0")} for size in lengths]
    folder = tmp_path_factory.mktemp("spill")
    spill = Spill(folder, len(lengths), even=False)
    for place, each in enumerate(arrays):
        spill.put(place, each)
    for each in (spill, Spill.opened(folder, len(lengths), spill.names)):
        assert each.names == ("x", "a/b:0")
        for place, wanted in enumerate(arrays):
            for name, array in each.pick([place]).items():
                assert array.dtype == dtype
                assert np.array_equal(array, wanted[name])
    assert spill.bytes() == sum(array.nbytes for each in arrays for array in each.values())
    spill.close()
    assert list(folder.iterdir()) == []


def test_what_is_read_may_be_written_to(tmp_path):
    spill = Spill(tmp_path, 2)
    spill.put(0, {"x": np.zeros((2, 3), np.float32)})
    spill.pick([0])["x"][:] = 1
    assert not spill.pick([0])["x"].any()


def test_a_full_disk_is_told_before_anything_is_written_and_leaves_nothing(tmp_path, monkeypatch):
    def full(handle, offset, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    spill = Spill(tmp_path, 8)
    with pytest.raises(OSError, match="No space left on device") as found:
        spill.put(0, {"x": np.zeros((2, 3), np.float32)})
    assert found.value.filename == str(tmp_path / "0.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_its_end_is_refused(tmp_path):
    spill = Spill(tmp_path, 4)
    spill.put(0, {"x": np.ones((4, 3), np.float32)})
    os.truncate(tmp_path / "0.npy", 140)
    with pytest.raises(ValueError, match=r"0\.npy: the file is too short"):
        spill.pick([3])
