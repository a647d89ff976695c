"""Generator of the example data sets: ``python examples/generate.py [--output DIR]``.

Writes digits_det (detection), digits_cls (classification) and digits_seg (segmentation). Needs NumPy, Pillow and
scikit-learn. Seeded: the same command gives the same pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from canvas import FloatArray, Glyph, draw_scene, supersample

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLIT_SEED = 7
POOL_SIZES = {"val": 450, "calib": 200}  # the other digits of the 1797 are for training
DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True)
class Pool:
    """Digit samples of one split.

    Attributes:
        indices: positions in scikit-learn's set, ``[n]``.
        digits: supersampled digits, ``[n, 34, 34]`` in 0..1.
        labels: classes 0..9, ``[n]``.
    """

    indices: NDArray[np.int64]
    digits: FloatArray
    labels: NDArray[np.int64]

    def of_classes(self, count: int) -> Pool:
        """Return the samples of the first ``count`` classes."""
        chosen = self.labels < count
        return Pool(self.indices[chosen], self.digits[chosen], self.labels[chosen])


@dataclass(frozen=True)
class SceneKind:
    """What the pictures of one data set show.

    Attributes:
        size: side of a picture in pixels.
        cells: smallest and largest side of a digit's cell in pixels, both inclusive.
        counts: fewest and most digits of a picture, both inclusive.
        classes: the digits are zero up to this number, exclusive.
    """

    size: int
    cells: tuple[int, int]
    counts: tuple[int, int]
    classes: int = 10


SCENES = {
    "digits_det": SceneKind(128, (20, 64), (1, 5)),
    "digits_cls": SceneKind(32, (22, 32), (1, 1)),
    "digits_seg": SceneKind(96, (36, 64), (1, 2), classes=5),
}
COUNTS = {
    "digits_det": {"calib": 64, "val": 128},
    "digits_cls": {"calib": 64, "val": 256},
    "digits_seg": {"calib": 64, "val": 64},
}


def load_pools() -> dict[str, Pool]:
    """Return the disjoint pools ``train``, ``calib`` and ``val`` of scikit-learn's 1797 handwritten digits."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images, labels = source.images / 16.0, source.target.astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    pools, start = {}, 0
    for name, size in (*POOL_SIZES.items(), ("train", len(labels) - sum(POOL_SIZES.values()))):
        part = np.sort(order[start : start + size])
        pools[name] = Pool(part, supersample(images[part]), labels[part])
        start += size
    return pools


def scene(
    rng: np.random.Generator, pool: Pool, kind: SceneKind, only: int | None = None
) -> tuple[NDArray[np.uint8], list[Glyph]]:
    """Return a picture ``[size, size, 3] uint8`` and its glyphs; ``only`` = position in the pool of its one digit."""
    digits, labels = pool.digits, pool.labels
    if only is not None:
        digits, labels = digits[only : only + 1], labels[only : only + 1]
    count = int(rng.integers(kind.counts[0], kind.counts[1] + 1))
    return draw_scene(rng, digits, labels, kind.size, kind.cells, count)


def index_mask(glyphs: Sequence[Glyph], size: int) -> NDArray[np.uint8]:
    """Return the class map ``[size, size] uint8``: 0 background, then 1 + digit."""
    mask = np.zeros((size, size), dtype=np.uint8)
    for glyph in glyphs:
        mask[glyph.ink] = glyph.label + 1
    return mask


def voc_xml(image_name: str, size: int, glyphs: Sequence[Glyph]) -> str:
    """Return the VOC annotation of a picture: first and last pixel of each digit, counted from 1."""
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = image_name
    extent = ET.SubElement(root, "size")
    for tag, value in (("width", size), ("height", size), ("depth", 3)):
        ET.SubElement(extent, tag).text = str(value)
    for glyph in glyphs:
        item = ET.SubElement(root, "object")
        ET.SubElement(item, "name").text = CLASSES[glyph.label]
        ET.SubElement(item, "difficult").text = "0"
        box = ET.SubElement(item, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), glyph.box, strict=True):
            ET.SubElement(box, tag).text = str(value + 1)
    ET.indent(root, "\t")
    return ET.tostring(root, encoding="unicode") + "\n"


def write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write ``[H, W, 3]`` or ``[H, W]`` pixels as PNG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, optimize=True)


def write_list(path: Path, lines: Sequence[str]) -> None:
    """Write an image list: the number of samples, then one sample a line."""
    path.write_text("\n".join([str(len(lines)), *lines]) + "\n", encoding="utf-8", newline="\n")


def write_truth(folder: Path, stem: str, glyphs: Sequence[Glyph], size: int) -> str:
    """Return the label word of the image list, after writing the label file of a detection or segmentation sample."""
    if folder.name == "digits_det":
        target = folder / "annotations" / f"{stem}.xml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(voc_xml(f"{stem}.png", size, glyphs), encoding="utf-8", newline="\n")
        return target.name
    if folder.name == "digits_seg":
        write_image(folder / "masks" / f"{stem}.png", index_mask(glyphs, size))
        return f"masks/{stem}.png"
    return str(glyphs[0].label)


def write_split(folder: Path, split: str, pool: Pool, seed: int) -> None:
    """Write pictures, labels and the image list of one split (``calib`` has no labels)."""
    rng, kind = np.random.default_rng(seed), SCENES[folder.name]
    count = COUNTS[folder.name][split]
    # Classification shows every digit once; the other scenes draw theirs with replacement.
    order = rng.permutation(len(pool.labels))[:count] if folder.name == "digits_cls" else [None] * count
    lines = []
    for number, only in enumerate(order):
        pixels, glyphs = scene(rng, pool, kind, only)
        stem = f"{split}_{number:03d}"
        write_image(folder / "images" / f"{stem}.png", pixels)
        line = f"images/{stem}.png"
        if split == "val":
            line += f" {write_truth(folder, stem, glyphs, kind.size)}"
        lines.append(line)
    write_list(folder / f"{split}.txt", lines)
    if split == "val" and folder.name == "digits_seg":
        masks = [line.split()[1] for line in lines]
        (folder / "val_masks.txt").write_text("\n".join(masks) + "\n", encoding="utf-8", newline="\n")


def generate(output: Path) -> None:
    """Write the three data sets below ``output``."""
    pools = load_pools()
    for number, (name, kind) in enumerate(SCENES.items()):
        (output / name).mkdir(parents=True, exist_ok=True)
        for split in ("calib", "val"):
            write_split(
                output / name, split, pools[split].of_classes(kind.classes), seed=100 + 10 * number + (split == "val")
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of the command."""
    parser = argparse.ArgumentParser(description="Write the example data sets of slimai.")
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write below (default: %(default)s)")
    output: Path = parser.parse_args(arguments).output
    generate(output)
    print(f"wrote {', '.join(SCENES)} below {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
