"""Records of images on disk, so that a search continues where it was killed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from slimai.artifacts.atomic import write_bytes
from slimai.metrics.base import Record


def records_path(folder: Path, key: str, score_key: str, strategy: str, seed: int) -> Path:
    """Return the file of an integer network's records: their order depends on the strategy, a race's on its seed."""
    order = strategy if strategy == "exhaustive" else f"{strategy}{seed}"
    return folder / f"{key[:16]}-{score_key[:16]}-{order}.npz"


def forget_records(folder: Path, keys: Iterable[str]) -> None:
    """Remove the exhaustive search's records of these integer networks; those of a race are replayed and stay."""
    for key in keys:
        for path in folder.glob(f"{key[:16]}-*-exhaustive.npz"):
            path.unlink(missing_ok=True)


def save_records(path: Path, records: Sequence[Record], images: Sequence[int] | None = None) -> None:
    """Write the records as one .npz: key ``<place>/<name>`` for every array, and of which images they are, if told."""
    arrays: dict[str, Any] = {
        f"{index}/{name}": np.asarray(value) for index, record in enumerate(records) for name, value in record.items()
    }
    if images is not None:
        arrays["images"] = np.asarray(images, np.int64)
    file = io.BytesIO()
    np.savez(file, **{"count": np.int64(len(records)), **arrays})
    write_bytes(path, file.getvalue())


def load_records(path: Path) -> list[Record]:
    """Return what `save_records` wrote, or an empty list when there is no whole file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            rows: list[dict[str, NDArray[Any]]] = [{} for _ in range(int(data["count"]))]
            for key in data.files:
                index, _, name = key.partition("/")
                if name:
                    rows[int(index)][name] = data[key]
    except (OSError, ValueError, KeyError, IndexError, BadZipFile):
        return []
    frozen: list[Mapping[str, NDArray[Any]]] = list(rows)
    return frozen


def load_images(path: Path) -> list[int] | None:
    """Return of which images the records of a file are, in its order, or None where it does not tell."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return [int(index) for index in data["images"]]
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
