"""Pictures and arrays that promise more than they hold, or more than anybody wants: one message, little memory."""

from __future__ import annotations

import io
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from slimai.data import picture_file
from slimai.data.array_file import open_npy, read_npz
from slimai.data.picture_file import LARGEST, PICTURE_ERRORS, open_picture, room_for
from slimai.data.preprocess import InputSpec, Preprocess
from slimai.data.resize import Resize
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.geometry import PictureGeometry
from slimai.metrics.labels.masks import read_index_mask

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def png(width, height):
    """Return a small PNG that unpacks to width x height."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(width + 1)) for _ in range(height)) + packed.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sample(path):
    return Sample(0, (path,), (), None, "list.txt", 2)


def preprocess(mode="letterbox", short_side=None):
    return Preprocess([InputSpec("x", (1, 3, 32, 32), resize=Resize(mode, short_side))])


@pytest.mark.parametrize("read", [read_index_mask, lambda path: PictureGeometry((4, 4))(sample(path)), open_picture])
def test_an_eps_starts_no_interpreter(tmp_path, monkeypatch, read):
    path = tmp_path / "label.png"
    path.write_bytes(EPS)
    started = []
    monkeypatch.setattr("subprocess.Popen", lambda *words, **_: started.append(words) or pytest.fail("started"))
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *words, **_: started.append(words))
    with pytest.raises((InputError, ValueError), match="no PNG, PPM, PGM, JPEG or BMP"):
        read(path)
    assert not started


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(13300, 13300))
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    started = time.process_time()
    for call in (lambda: preprocess()(sample(path)), lambda: read_index_mask(path)):
        with pytest.raises(InputError, match="13300x13300 are more than the 67108864 pixels that are read"):
            call()
    assert preprocess().check([sample(path)])[0].line == 2
    assert time.process_time() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_a_thin_picture_does_not_grow_into_a_bomb(tmp_path):
    path = tmp_path / "thin.png"
    path.write_bytes(png(1, 60_000))
    with pytest.raises(InputError, match=r"scaled by network.resize, 4000x240000000 are more"):
        preprocess("center_crop", 4000)(sample(path))


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch):
    inside, most = [0], [0]

    def work():
        with room_for((10_000, 1000)):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert picture_file.SMALL < 10_000_000 < LARGEST


def header(text, version=(1, 0)):
    data = text.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(data)) + data


HEADERS = {
    "unbalanced": header("{'descr': '|u1" + "1" * 60),
    "brackets": header("{'descr': (((((((((((((((((((((((((" + "\n"),
    "claims": header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**40},), }}\n"),
    "negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"),
    "product": header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"x" * 8,
    "digits": header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }\n"),
    "cut": b"\x93NUM",
    "nothing": b"",
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_headers_of_arrays(tmp_path, data):
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"list.txt:2: .*x\.npy: this is no .npy array"):
        Preprocess([InputSpec("x", (1, 4), layout="NonImage")])(sample(path))
    with pytest.raises(InputError, match="the array cannot be read"):
        read_index_mask(path)
    archive = tmp_path / "x.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.npy", data)
    with pytest.raises(InputError, match=r"is no .npz file of plain arrays"):
        read_npz(archive)


def test_an_archive_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros(2**20, np.float32))
    with pytest.raises(InputError, match="more than 4000000 bytes of arrays are not read"):
        read_npz(path, largest=4_000_000)
    assert read_npz(path)["x"].shape == (2**20,)


def test_an_array_of_another_shape_is_refused_unread(tmp_path):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:  # a hole of 4 GB
        file.write(header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**30},), }}\n"))
        file.truncate(file.tell() + 2**32)
    with pytest.raises(InputError, match=r"the array's shape is \[1073741824\], the network's input \[1, 4\]"):
        Preprocess([InputSpec("x", (1, 4), layout="NonImage")])(sample(path))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "PPM", "JPEG", "BMP", "npy", "npz"]), edits=st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 8)), min_size=1, max_size=4))  # fmt: skip
def test_any_damaged_file(tmp_path, kind, edits):
    memory = io.BytesIO()
    values = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
    if kind == "npy":
        np.save(memory, values)
    elif kind == "npz":
        np.savez_compressed(memory, a=values, b=values[0].astype(np.float32))
    else:
        Image.fromarray(values).save(memory, kind)
    data = bytearray(memory.getvalue())
    for place, new, gone in edits:
        at = int(place * len(data))
        data[at : at + gone] = new
    path = tmp_path / f"x.{kind}"
    path.write_bytes(bytes(data))
    try:
        if kind == "npz":
            read_npz(path)
        elif kind == "npy":
            open_npy(path)
        else:
            with open_picture(path) as picture:
                picture.convert("RGB")
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 - there may be none
    except PICTURE_ERRORS:
        assert kind != "npz"
