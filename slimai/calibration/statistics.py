"""What one float pass leaves behind: extremes, histogram and channel means of every activation tensor."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

import slimai
from slimai.artifacts.atomic import write_bytes
from slimai.artifacts.cache import content_key
from slimai.calibration.histogram import Histogram, HistogramBuilder, Kernel
from slimai.graph.sentinels import Sentinel

FORMAT = 6
_LIMBS, _LIMB_BITS, _LOWEST = 9, 32, -160  # fixed point from 2^-160 to 2^128 in nine limbs of 32 bits


@dataclass(frozen=True, eq=False)
class ChannelSums:
    """Exact sum over images of the mean of each channel: [limbs, C] int64 fixed point, and the image count.

    axis: which axis of the tensor holds the channels: that of the operator that reads it.

    The mean of one image is cut once, at 2^-160; adding is integer arithmetic and so independent of order.
    """

    limbs: NDArray[np.int64]
    images: int
    axis: int = 1

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of each channel, [C]."""
        weights = np.ldexp(1.0, _LOWEST + _LIMB_BITS * np.arange(_LIMBS))
        total: NDArray[np.float64] = (self.limbs.astype(np.float64) * weights[:, None]).sum(axis=0)
        return total / self.images

    def merged(self, other: ChannelSums) -> ChannelSums:
        """Return the sums over the images of both."""
        if self.axis != other.axis:
            raise ValueError("only sums along one axis can be merged")
        return ChannelSums(self.limbs + other.limbs, self.images + other.images, self.axis)


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Histogram (with its exact minimum and maximum) of one activation, and its channel means when asked for.

    peak: of a masked tensor in front of Softmax, the smallest maximum of a row. extremes: [images, 2] float32, each
    image's own minimum and maximum, in the order of their values (so that who saw which image leaves no trace).
    slices: axis, counted from the last (-1), -> [2, n] smallest and largest value of each slice, where joins at the end
    of a network ask for them.
    """

    histogram: Histogram
    channels: ChannelSums | None = None
    peak: float | None = None
    extremes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    slices: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def minimum(self) -> float:
        """Smallest value seen."""
        return self.histogram.minimum

    @property
    def maximum(self) -> float:
        """Largest value seen."""
        return self.histogram.maximum

    @property
    def mean_extremes(self) -> tuple[float, float]:
        """Mean over the images of their minimum and of their maximum, summed exactly; ValueError without images."""
        images = len(self.extremes)
        if images == 0:
            raise ValueError("the extremes of single images were not kept")
        low, high = (math.fsum(map(float, side)) / images for side in self.extremes.T)
        return low, high

    def merged(self, other: TensorStatistics) -> TensorStatistics:
        """Return the statistics of the values of both, exactly."""
        both = self.channels is not None and other.channels is not None
        channels = self.channels.merged(other.channels) if both else None  # type: ignore[union-attr,arg-type]
        peaks = [item.peak for item in (self, other) if item.peak is not None]
        extremes = _ordered(np.concatenate([self.extremes, other.extremes]))
        slices = {axis: _wider(own, other.slices[axis]) for axis, own in self.slices.items() if axis in other.slices}
        histogram = self.histogram.merged(other.histogram)
        return TensorStatistics(histogram, channels, min(peaks, default=None), extremes, slices)


def _wider(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the extremes [2, n] of the values of both."""
    return np.stack([np.minimum(first[0], second[0]), np.maximum(first[1], second[1])])


def _ordered(pairs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pairs [images, 2] sorted by the first, then by the second number."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics by activation name, over `images` images. bins: fewest bins across a range (twice is the most)."""

    tensors: Mapping[str, TensorStatistics]
    images: int
    bins: int

    def __getitem__(self, tensor: str) -> TensorStatistics:
        return self.tensors[tensor]

    def __contains__(self, tensor: object) -> bool:
        return tensor in self.tensors

    def merged(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of images; associative, commutative and exact."""
        if self.bins != other.bins or set(self.tensors) != set(other.tensors):
            raise ValueError("only statistics of the same tensors and bins can be merged")
        tensors = {name: item.merged(other.tensors[name]) for name, item in self.tensors.items()}
        return Statistics(tensors, self.images + other.images, self.bins)

    def save(self, path: Path) -> None:
        """Write a .npz (no pickled objects): a JSON header; counts, channel limbs and extremes laid end to end."""
        header = {"format": FORMAT, "images": self.images, "bins": self.bins, "tensors": []}
        counts, limbs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for name, item in self.tensors.items():
            header["tensors"].append(_header(name, item))  # type: ignore[attr-defined]
            counts.append(item.histogram.counts)
            limbs.append(item.channels.limbs.reshape(-1) if item.channels else limbs[0])
        pairs = np.concatenate([np.zeros((0, 2), np.float32), *(item.extremes for item in self.tensors.values())])
        file = io.BytesIO()
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        arrays = {"counts": np.concatenate(counts), "limbs": np.concatenate(limbs)}
        np.savez_compressed(file, header=text, extremes=pairs, allow_pickle=False, **arrays)
        write_bytes(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Return what `save` wrote; ValueError for a file that is something else."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
                header = json.loads(bytes(data["header"]))
                parts = _Parts(data["counts"], data["limbs"], data["extremes"])
            return cls._from_parts(header, parts)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path}: is not a statistics file ({error})") from None

    @classmethod
    def _from_parts(cls, header: dict[str, Any], parts: _Parts) -> Statistics:
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']}")
        return cls(_read_tensors(header["tensors"], parts, header["bins"]), header["images"], header["bins"])


@dataclass
class _Parts:
    """The arrays of a statistics file, each taken from its front, tensor by tensor."""

    counts: NDArray[np.int64]
    limbs: NDArray[np.int64]
    extremes: NDArray[np.float32]

    def taken(self, name: str, count: int) -> NDArray[Any]:
        """Return the next `count` rows of an array; ValueError where it has no such number left."""
        array = getattr(self, name)
        if count < 0 or len(array) < count:
            raise ValueError(f"{name} end too early")
        setattr(self, name, array[count:])
        part: NDArray[Any] = array[:count]
        return part


def _header(name: str, item: TensorStatistics) -> dict[str, Any]:
    histogram, channels = item.histogram, item.channels
    return {
        "name": name,
        "minimum": histogram.minimum,
        "maximum": histogram.maximum,
        "exponent": histogram.exponent,
        "first": histogram.first,
        "bins": int(histogram.counts.size),
        "channels": channels.limbs.shape[1] if channels else 0,
        "images": channels.images if channels else 0,
        "peak": item.peak,
        "axis": channels.axis if channels else 0,
        "slices": {axis: extremes.tolist() for axis, extremes in item.slices.items()},
        "pairs": len(item.extremes),
    }


def _read_tensors(rows: list[dict[str, Any]], parts: _Parts, bins: int) -> dict[str, TensorStatistics]:
    tensors: dict[str, TensorStatistics] = {}
    for row in rows:
        counts = parts.taken("counts", row["bins"])
        if counts.size == 0:
            raise ValueError(f"no counts for tensor {row['name']}")
        channels = None
        if row["channels"]:
            limbs = parts.taken("limbs", _LIMBS * row["channels"])
            channels = ChannelSums(limbs.reshape(_LIMBS, -1), row["images"], row["axis"])
        histogram = Histogram(row["minimum"], row["maximum"], row["exponent"], row["first"], counts, 2 * bins)
        extremes = parts.taken("extremes", row["pairs"])
        slices = {int(axis): np.array(values, np.float64) for axis, values in row["slices"].items()}
        tensors[row["name"]] = TensorStatistics(histogram, channels, row["peak"], extremes, slices)
    return tensors


class TensorCollector:
    """Gathers the statistics of one tensor, image after image.

    axis: that of its channels. sentinel: which of its values are no data. slices: axes, counted from the last, along
    which the extremes of each slice are kept; not those of sentinels.
    """

    def __init__(
        self,
        bins: int,
        *,
        per_channel: bool = False,
        axis: int = 1,
        kernel: Kernel | None = None,
        sentinel: Sentinel | None = None,
        slices: Sequence[int] = (),
    ) -> None:
        self._sliced, self._slices = tuple(slices), dict[int, NDArray[np.float64]]()
        self._histogram = HistogramBuilder(2 * bins, kernel)
        self._per_channel, self._axis = per_channel, axis
        self._channels: ChannelSums | None = None
        self._sentinel = sentinel
        self._peak: float | None = None
        self._extremes = [np.zeros((0, 2), np.float32)]

    def add(self, values: NDArray[np.float32], images: int | None = None) -> None:
        """Take in `values` [N, ...] float32 of `images` images (default N); NonFiniteError for NaN or infinity."""
        count = len(values) if images is None else images
        if values.size == 0:
            return
        if self._sentinel is not None:
            self._add_data(values, self._sentinel, count)
            return
        self._histogram.add(values)
        for axis in self._sliced:
            found = slice_extremes(values, axis)
            self._slices[axis] = _wider(self._slices[axis], found) if axis in self._slices else found
        rows = _image_rows(values, count)
        self._keep(rows.min(axis=1), rows.max(axis=1))
        if self._per_channel and values.ndim > self._axis:
            part = channel_sums(values, self._axis)
            self._channels = part if self._channels is None else self._channels.merged(part)

    def result(self) -> TensorStatistics:
        """Return what was gathered so far."""
        extremes = _ordered(np.concatenate(self._extremes))
        return TensorStatistics(self._histogram.result(), self._channels, self._peak, extremes, dict(self._slices))

    def _keep(self, lows: Any, highs: Any) -> None:
        """Keep the extremes of some images; a negative zero is zero."""
        self._extremes.append(np.stack([lows, highs], axis=1).astype(np.float32) + np.float32(0))

    def _add_data(self, values: NDArray[np.float32], sentinel: Sentinel, images: int) -> None:
        """Count what is data, image by image; an image of sentinels alone counts as one zero."""
        masked = sentinel.among(values)
        for image, hidden in zip(_image_rows(values, images), _image_rows(masked, images), strict=True):
            data = image[~hidden]
            data = data if data.size else np.zeros(1, np.float32)
            self._histogram.add(data)
            self._keep([data.min()], [data.max()])
        if sentinel.axis is not None:
            highest = np.where(masked, -np.inf, values).max(axis=sentinel.axis)
            seen = highest[np.isfinite(highest)]
            if seen.size:
                self._peak = min(float(seen.min()), np.inf if self._peak is None else self._peak)


def slice_extremes(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Return [2, n]: the smallest and the largest value of each slice of `values` along `axis`."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    return np.stack([rows.min(axis=1), rows.max(axis=1)]).astype(np.float64)


def _image_rows(values: NDArray[Any], images: int) -> NDArray[Any]:
    """Return the values of each image, [images, K]; a tensor without a batch axis is the same for all of them."""
    if values.ndim and len(values) % images == 0:
        return values.reshape(images, -1)
    return np.broadcast_to(values.reshape(1, -1), (images, values.size))


def channel_sums(values: NDArray[np.float32], axis: int = 1) -> ChannelSums:
    """Return the sums of the channel means of the images `values` [N, ...], whose channels lie along `axis` >= 1."""
    from slimai.calibration._kernels import add_channel_means  # noqa: PLC0415 - spares numba

    rows = np.moveaxis(values, axis, 1)
    images, channels = rows.shape[:2]
    limbs = np.zeros((_LIMBS, channels), np.int64)
    add_channel_means(np.ascontiguousarray(rows, np.float32).reshape(images, channels, -1), limbs)
    return ChannelSums(limbs, images, axis)


def statistics_key(graph: str, preprocessing: str, images: str, bins: int) -> str:
    """Return the content key of a calibration pass, sha256 in hex.

    graph: hash of the ONNX model that runs. preprocessing: canonical text of all that turns a file into a network
    input. images: hash of the files' contents, in order. The version of slimai belongs to it: another one may look
    at other tensors.
    """
    return content_key("statistics", FORMAT, slimai.__version__, graph, preprocessing, images, bins)
