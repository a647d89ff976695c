"""The module ``file_utils`` of plug-ins."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slimai.blobs.reader import read_blob
from slimai.metrics.vendor.base import own_shape

__all__ = ["blob_file_reader"]


def blob_file_reader(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Return the real values of a blob in the network output's own shape.

    In a run, and beside a run.json, that shape is known; of a lone file it is [N, H, W, C].
    """
    return read_blob(Path(path)).real(own_shape(path))
