"""Arrays and pictures."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np

from slimai.data.array_file import open_npy, read_npz
from slimai.data.picture_file import PICTURE_ERRORS, open_picture
from slimai.data.preprocess import InputSpec, Preprocess
from slimai.data.resize import Resize
from slimai.data.sample import Sample
from slimai.errors import InputError
from slimai.metrics.labels.masks import read_index_mask
from tests.fuzz.mutate import edited


def make_npy(rng: random.Random) -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.arange(12, dtype=rng.choice([np.uint8, np.float32])).reshape(3, 4))
    words = [
        b"(",
        b")",
        b"'",
        b"|O",
        b"<f4",
        b"1" * 60,
        b",",
        b"4294967296, ",
        b"-1",
        b"\x93NUMPY",
        b"\xff",
        b"True",
        b"{",
    ]
    return edited(rng, memory.getvalue(), words, 1)


def parse_npy(path: Path) -> Any:
    try:
        return open_npy(path)
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from None


def use_npy(path: Path, _: Any) -> None:
    sample = Sample(0, (path,), (), None, "list.txt", 1)
    Preprocess([InputSpec("x", (1, 12), layout="NonImage")]).check([sample], 1)
    read_index_mask(path)


def make_npz(rng: random.Random) -> bytes:
    memory = io.BytesIO()
    (np.savez if rng.random() < 0.7 else np.savez_compressed)(
        memory, a=np.arange(12).reshape(3, 4), b=np.ones(3, np.float32)
    )
    data = memory.getvalue()
    at = rng.randrange(len(data))
    return (
        edited(rng, data, [b"\0", b"\xff\xff", b"PK", b"(1099511627776,)", b"|O"], 1)
        if rng.random() < 0.7
        else data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    )


def parse_npz(path: Path) -> Any:
    return read_npz(path)


def use_nothing(*_: Any) -> None:
    """All was done by the first parser."""


def make_picture(rng: random.Random) -> bytes:
    from PIL import Image

    memory = io.BytesIO()
    image = Image.fromarray(np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3))
    image.convert(rng.choice(["RGB", "L", "1"])).save(memory, rng.choice(["PNG", "PPM", "JPEG", "BMP"]))
    return edited(
        rng, memory.getvalue(), [b"\xff\xff", b"\0\0\0\0", b"9999999", b"\x7f", b"%!PS-Adobe-3.0 EPSF-3.0\n"], 2
    )


def parse_picture(path: Path) -> Any:
    try:
        with open_picture(path) as picture:
            return picture.size
    except PICTURE_ERRORS as error:
        raise InputError(str(error)) from None


def use_picture(path: Path, _: Any) -> None:
    spec = InputSpec("x", (1, 3, 8, 8), resize=Resize("letterbox"))
    sample = Sample(0, (path,), (), None, "list.txt", 1)
    Preprocess([spec]).check([sample], 1)
    try:
        Preprocess([spec])(sample)
    finally:
        read_index_mask(path)
