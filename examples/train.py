"""Training of the example networks: ``python examples/train.py NAME [--threads N]`` (needs torch; seeded).

NAME is yolo_digits, mobilenet_digits or unet_digits. Trains on pictures drawn from the training pool of digits,
writes ``examples/data/models/NAME.onnx`` and prints its float score on the validation set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))
from detection_loss import detection_loss
from evaluate import EXAMPLES, score
from generate import DATA, SCENES, index_mask, load_pools, scene
from networks import MobileNetDigits, UNetDigits, YoloDigits

SEED = 2024
MOST_DIGITS = 5


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Attributes:
        network: its class.
        loss: function of the outputs and of the labels of a batch.
        pictures: number of different pictures drawn before the training starts.
        epochs: passes over them, each time with other colours.
        rate: highest learning rate.
        batch: pictures a step.
        fold: whether batch normalization is folded into the convolutions in the ONNX file.
        outputs: names of the outputs in the ONNX file.
    """

    network: type[nn.Module]
    loss: Callable[..., Tensor]
    pictures: int
    epochs: int
    rate: float
    batch: int
    fold: bool
    outputs: tuple[str, ...]


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return cross entropy plus the soft Dice loss of the classes present in the batch."""
    masks = masks.long()
    probability = logits.softmax(dim=1)
    truth = functional.one_hot(masks, logits.shape[1]).permute(0, 3, 1, 2).float()
    common, total = (probability * truth).sum(dim=(0, 2, 3)), (probability + truth).sum(dim=(0, 2, 3))
    dice = 1.0 - (2.0 * common + 1.0) / (total + 1.0)
    return functional.cross_entropy(logits, masks) + dice.mean()


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross entropy with a little label smoothing."""
    return functional.cross_entropy(logits, labels.long(), label_smoothing=0.05)


RECIPES = {
    "yolo_digits": Recipe(YoloDigits, detection_loss, 12000, 8, 4e-3, 32, False, ("coarse", "fine")),
    "mobilenet_digits": Recipe(MobileNetDigits, classification_loss, 40000, 8, 4e-3, 64, False, ("logits",)),
    "unet_digits": Recipe(UNetDigits, segmentation_loss, 9000, 4, 4e-3, 16, True, ("logits",)),
}


def draw_training_set(name: str, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | NDArray[np.uint8]]:
    """Return pictures ``[count, H, W, 3] uint8`` and labels.

    Labels of the detector are boxes ``[count, 5, 5]``: centre x, centre y, width, height in pixels and class, with
    class -1 in unused rows; of the classifier classes ``[count]``; of the segmentation masks ``[count, H, W]``.
    """
    kind = SCENES[EXAMPLES[name].data]
    pool = load_pools()["train"].of_classes(kind.classes)
    rng = np.random.default_rng(SEED)
    scenes = [scene(rng, pool, kind) for _ in range(count)]
    pictures = np.stack([pixels for pixels, _ in scenes])
    if name == "mobilenet_digits":
        return pictures, np.array([glyphs[0].label for _, glyphs in scenes], dtype=np.uint8)
    if name == "unet_digits":
        return pictures, np.stack([index_mask(glyphs, kind.size) for _, glyphs in scenes])
    boxes = np.full((count, MOST_DIGITS, 5), -1.0, dtype=np.float32)
    for row, (_, glyphs) in zip(boxes, scenes, strict=True):
        for slot, glyph in zip(row, glyphs, strict=False):
            left, top, right, bottom = (value + 1 for value in glyph.box)  # as in the VOC files
            slot[:] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, glyph.label
    return pictures, boxes


def recolour(rng: np.random.Generator, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures ``[N, H, W, 3]`` with their channels permuted and half of them inverted."""
    changed = np.stack([picture[..., rng.permutation(3)] for picture in pictures])
    inverted = rng.random(len(changed)) < 0.5
    changed[inverted] = 252 - changed[inverted]
    return changed


def train(name: str) -> nn.Module:
    """Return the trained network, in evaluation mode."""
    recipe, example = RECIPES[name], EXAMPLES[name]
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED + 1)
    started = time.monotonic()
    pictures, labels = draw_training_set(name, recipe.pictures)
    print(f"{len(pictures)} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
    network = recipe.network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=0.02)
    steps = recipe.epochs * (len(pictures) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.2)
    mean, stddev = (torch.tensor(v).view(1, 3, 1, 1) for v in (example.mean, example.stddev))
    for epoch in range(recipe.epochs):
        order, total = rng.permutation(len(pictures)), 0.0
        batches = np.split(order[: steps // recipe.epochs * recipe.batch], steps // recipe.epochs)
        for batch in batches:
            pixels = torch.from_numpy(recolour(rng, pictures[batch])).permute(0, 3, 1, 2)
            outputs = network((pixels.float() - mean) / stddev)
            loss = recipe.loss(outputs, torch.from_numpy(labels[batch]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch}: loss {total / len(batches):.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return network.eval()


def export(name: str, network: nn.Module, path: Path) -> None:
    """Write the network as ONNX opset 13 with a dynamic batch dimension."""
    recipe, size = RECIPES[name], SCENES[EXAMPLES[name].data].size
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        (torch.zeros(1, 3, size, size),),
        str(path),
        input_names=["images"],
        output_names=list(recipe.outputs),
        dynamic_axes={tensor: {0: "N"} for tensor in ("images", *recipe.outputs)},
        opset_version=13,
        training=torch.onnx.TrainingMode.EVAL if recipe.fold else torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of the command."""
    parser = argparse.ArgumentParser(description="Train one example network and export it to ONNX.")
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=DATA / "models", help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    path = options.output / f"{options.name}.onnx"
    export(options.name, train(options.name), path)
    metric, value = score(options.name, path)
    print(f"{path.name}: {path.stat().st_size} bytes, {metric} = {value:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
