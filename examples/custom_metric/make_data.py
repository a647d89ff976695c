"""Makes the small example's files beside it (seeded): priors, annotations, and blobs as a run would dump them.

There is no network: the offsets and probabilities are those of a detector that finds most faces, rounded to
8 bits for the two fixed-point profiles. Run ``python examples/custom_metric/make_data.py``.
"""

from pathlib import Path

import numpy as np

from slimai.blobs.octrl import format_octrl
from slimai.blobs.writer import format_fixed_blob, format_float_blob

HERE = Path(__file__).parent / "data"
SIDE = 512
CELLS = 6


def priors() -> np.ndarray:
    """Return the corners [36, 4] of a grid of square priors."""
    step = SIDE / CELLS
    row, column = np.indices((CELLS, CELLS)).reshape(2, -1)
    centre = (np.stack([column, row], axis=1) + 0.5) * step
    return np.concatenate([centre - step / 2, centre + step / 2], axis=1)


def picture(rng: np.random.Generator, anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face boxes [n, 4] of one picture, offsets [36, 4] and probabilities [36, 2]."""
    side = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, 2:] + anchors[:, :2]) / 2
    faces = rng.choice(len(anchors), 3, replace=False)
    truth_centre = centre[faces] + rng.uniform(-15, 15, (3, 2))
    truth_side = side[faces] * rng.uniform(0.7, 1.3, (3, 2))
    offsets = rng.normal(0, 0.5, (len(anchors), 4))
    offsets[faces, :2] = (truth_centre - centre[faces]) / side[faces] / 0.1 + rng.normal(0, 0.3, (3, 2))
    offsets[faces, 2:] = np.log(truth_side / side[faces]) / 0.2 + rng.normal(0, 0.3, (3, 2))
    chance = rng.uniform(0, 0.12, len(anchors))
    chance[faces] = rng.uniform(0.05, 0.95, 3)
    boxes = np.concatenate([truth_centre - truth_side / 2, truth_centre + truth_side / 2], axis=1)
    return np.clip(boxes, 1, SIDE), offsets, np.stack([1 - chance, chance], axis=1)


def annotation(boxes: np.ndarray) -> str:
    """Return Pascal VOC xml."""
    objects = "".join(
        "<object><name>face</name><difficult>0</difficult><bndbox>"
        + "".join(
            f"<{tag}>{value:.0f}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        + "</bndbox></object>\n"
        for box in boxes
    )
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
    return f"<annotation>\n{size}\n{objects}</annotation>\n"


def main() -> None:
    """Write all files."""
    rng = np.random.default_rng(7)
    anchors = priors()
    for folder in ("imagelist", "faceboxes_ref", "faceboxes_92", "faceboxes_93"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
    lines = [" ".join(f"{side:.5f}" for side in anchor) for anchor in anchors] + ["0.1 0.2"] * len(anchors)
    (HERE / "imagelist" / "anchor.txt").write_text("\n".join(lines) + "\n")
    names = [f"face_{at}" for at in range(4)]
    (HERE / "tmp_val.txt").write_text(
        "\n".join([str(len(names)), *(f"{name}.png {name}.xml" for name in names)]) + "\n"
    )
    (HERE / "output_control.octrl").write_text(format_octrl(["loc", "conf"]))
    for name in names:
        boxes, offsets, shares = picture(rng, anchors)
        (HERE / "imagelist" / f"{name}.xml").write_text(annotation(boxes))
        for output, values in (("loc", offsets[None]), ("conf", shares[None])):
            (HERE / "faceboxes_ref" / f"{name}_{output}.blob").write_bytes(format_float_blob(values))
            for percent in (92, 93):
                scale = np.abs(offsets).max() * percent / 100 / 127 if output == "loc" else 1 / 256
                dtype = np.int8 if output == "loc" else np.uint8
                limits = np.iinfo(dtype)
                integers = np.clip(np.rint(values / scale), limits.min, limits.max).astype(dtype)
                path = HERE / f"faceboxes_{percent}" / f"{name}_{output}.blob"
                path.write_bytes(format_fixed_blob(integers, scale))


if __name__ == "__main__":
    main()
