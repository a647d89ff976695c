"""Write the keyword-spotting arrays as one file a sample, with image lists, as +model=kws_dscnn wants them.

Usage: python benchmarks/unpack_kws.py SHARED_DATA/datasets/kws kws_arrays
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CALIBRATION = 100


def unpack(source: Path, folder: Path) -> None:
    """Write `[49, 10] int8` arrays, calib.txt (every fifth, without labels) and val.txt (all, labelled)."""
    samples = np.load(source / "mfcc_int8_49x10.npy", allow_pickle=False)
    labels = np.load(source / "labels.npy", allow_pickle=False)
    folder.mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(samples):
        np.save(folder / f"{index:04d}.npy", sample)
    val = [f"{index:04d}.npy {int(label)}" for index, label in enumerate(labels)]
    calib = [f"{index:04d}.npy" for index in range(0, len(samples), len(samples) // CALIBRATION)][:CALIBRATION]
    for name, lines in (("val.txt", val), ("calib.txt", calib)):
        (folder / name).write_text("\n".join([str(len(lines)), *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
