"""The settings of `network` that turn a picture into the input: those in use, the most usual of a network first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slimai.app.draft.model import InputFacts, ModelFacts

Settings = Mapping[str, Any]
Size = tuple[int, int]

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE = ((123.68, 116.78, 103.94), (1.0,))
SHARES, SIGNED, BYTES = ((0.0,), (255.0,)), ((127.5,), (127.5,)), ((0.0,), (1.0,))
USUAL = {
    "Classification": (IMAGENET, SIGNED, SHARES, BYTES, CAFFE),
    "Detection": (SHARES, BYTES, SIGNED, IMAGENET, CAFFE),
    "Segmentation": (SHARES, IMAGENET, SIGNED, BYTES, CAFFE),
    "Other": (SHARES, SIGNED, BYTES, IMAGENET, CAFFE),
}
NORMALIZING = frozenset(("Sub", "Add", "Mul", "Div", "BatchNormalization"))
OF_IMAGENET = 0.875  # 224 / 256: a picture is scaled so that the crop is this share of its short side

__all__ = ["begins_normalized", "normalizations", "resizes", "stored_normalization"]


def stored_normalization(item: InputFacts) -> Settings | None:
    """Return mean and stddev that make the pixels 0..255 (or the array) the integers of an input that is quantized."""
    if item.stored is None or item.stored.scale.size != 1:
        return None
    moved = 128 if item.stored.dtype == "int8" and item.layout != "NonImage" else 0
    scale = float(item.stored.scale[0])
    return {"mean": item.stored.zero_point + moved, "stddev": _short(1 / scale)}


def begins_normalized(facts: ModelFacts) -> bool:
    """Return whether the graph itself begins by scaling its input: then pixels are most often given as they are."""
    first = [node for node in facts.graph.nodes if set(facts.graph.inputs) & set(node.inputs)]
    return bool(first) and all(node.op in NORMALIZING for node in first)


def normalizations(facts: ModelFacts, kind: str, channels: int) -> list[dict[str, Any]]:
    """Return mean, stddev and channel order of pictures, the most usual first; `kind` is the class of the network."""
    usual: Sequence[Any] = USUAL[kind]
    if begins_normalized(facts):
        usual = (BYTES, *(pair for pair in usual if pair is not BYTES))
    if channels == 1:
        return [{"channel_order": "GRAY", **_written(pair, "GRAY")} for pair in usual if len(pair[0]) == 1]
    return [{"channel_order": order, **_written(pair, order)} for pair in usual for order in ("RGB", "BGR")]


def _written(pair: tuple[Sequence[float], Sequence[float]], order: str) -> dict[str, Any]:
    """Return both as the configuration writes them: one number, or one a channel in the network's order."""
    mean, stddev = (list(part) if order == "RGB" else list(part)[::-1] for part in pair)
    return {"mean": _one(mean), "stddev": _one(stddev)}


def _one(values: list[float]) -> Any:
    short = [_short(value) for value in values]
    return short[0] if len(short) == 1 else short


def _short(value: float) -> float | int:
    """Return the number with 8 digits, as a whole one where it is."""
    rounded = float(f"{value:.8g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1 << 31 else rounded


def resizes(kind: str, size: Size, sizes: Sequence[Size]) -> list[Any]:
    """Return what `network.resize` may be for pictures of these (width, height), the most usual first; None = none."""
    if all(one == size for one in sizes):
        return [None]
    if kind == "Classification":
        side = round(min(size) / OF_IMAGENET)
        smallest = min(min(one) for one in sizes)
        if size[0] != size[1]:
            return ["stretch", {"mode": "center_crop"}]
        scaled = _one_short_side(sizes) and smallest > size[0]
        stored = [{"mode": "center_crop", "short_side": smallest}] if scaled else []
        crop = {"mode": "center_crop", "short_side": side}
        return [*stored, *([] if crop in stored else [crop]), {"mode": "center_crop"}, "stretch"]
    if kind == "Detection":
        return [
            "stretch",
            {"mode": "letterbox", "anchor": "center", "pad_value": 114},
            {"mode": "letterbox", "anchor": "top_left", "pad_value": 114},
        ]
    return ["stretch", {"mode": "letterbox", "anchor": "center", "pad_value": 114}]


def _one_short_side(sizes: Sequence[Size]) -> bool:
    """Return whether the pictures have been scaled to one short side already."""
    return len({min(one) for one in sizes}) == 1
