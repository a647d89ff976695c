"""Tensors that a device has dumped: a folder of blobs or an .npz, checked whole, read one tensor at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.app.comparison.subject import Network
from slimai.blobs.names import safe_name
from slimai.blobs.reader import read_blob, read_header
from slimai.blobs.writer import nhwc_shape
from slimai.data.array_file import NpzFile
from slimai.errors import Diagnostic, InputError
from slimai.quantizer.params import QParams
from slimai.suggest import did_you_mean

Array = NDArray[Any]
_SAME_SCALE = 1e-6


@dataclass(frozen=True, eq=False)
class Dump:
    """The device's tensors, by the plan's names.

    stem: of the image that the blobs are named after, or empty. feeds: network inputs among them, as stored; real ones
    of an .npz may be floats. scales: tensor -> scale that a blob states, where it is not the network's.
    """

    where: Path
    readers: Mapping[str, Callable[[], Array]]
    feeds: Mapping[str, Callable[[], Array]]
    scales: Mapping[str, float]
    stem: str = ""

    def __contains__(self, name: object) -> bool:
        """Return whether the tensor was dumped."""
        return name in self.readers

    def __getitem__(self, name: str) -> Array:
        """Return the integers of a tensor in the network's type and shape, [N, ...]."""
        return self.readers[name]()


def open_dump(path: Path, network: Network, image: str = "") -> Dump:
    """Return the dump in a folder of blobs or an .npz.

    image: the stem of the image whose blobs are meant, where a folder has those of several.

    Raises:
        InputError: damaged files, names that the network has not (with near ones), other shapes, tensors that are not
            integers; all of them at once.
    """
    return _npz(path, network) if path.suffix == ".npz" else _blobs(path, network, image)


def _aliases(network: Network) -> dict[str, str]:
    """Return every name that a tensor may have in a dump -> the plan's; profile names come first."""
    known: dict[str, str] = {}
    for tensor, profile in network.names.items():
        for name in (profile, tensor, tensor.removesuffix("__q")):
            known.setdefault(name, tensor)
            known.setdefault(safe_name(name), tensor)
    for name in network.program.plan.graph.inputs:
        known.setdefault(name, name)
    return known


def _unknown(where: str, name: str, network: Network) -> Diagnostic:
    names = [*network.names.values(), *network.names]
    cure = did_you_mean(name, names) or f"names are those of the profile, as {next(iter(network.names.values()))}"
    return Diagnostic("is no tensor of the network", file=where, key=name, suggestion=cure)


def _npz(path: Path, network: Network) -> Dump:
    file, known, plan = NpzFile(path), _aliases(network), network.program.plan
    readers: dict[str, Callable[[], Array]] = {}
    feeds: dict[str, Callable[[], Array]] = {}
    errors: list[Diagnostic] = []
    for key, (shape, dtype) in file.headers.items():
        tensor = known.get(key)
        if tensor is None:
            errors.append(_unknown(str(path), key, network))
            continue
        params, own = plan.tensors.get(tensor), plan.graph.shape(tensor)
        real = dtype.kind == "f" and tensor in plan.graph.inputs
        if dtype.kind not in "iu" and not real:
            cure = "dump the integers as the device holds them"
            errors.append(Diagnostic("is not of integers", file=str(path), key=key, value=dtype.name, suggestion=cure))
            continue
        axes = _axes(shape, own, batchable=plan.graph.batchable)
        if axes is None:
            wanted = f"give [N, {', '.join(map(str, own[1:]))}]" if plan.graph.batchable else f"give {list(own)}"
            errors.append(Diagnostic("does not fit", file=str(path), key=key, value=list(shape), suggestion=wanted))
            continue
        reader = _npz_reader(file, key, axes, own, None if real else params)
        if tensor in plan.graph.inputs:
            feeds[tensor] = reader
        if params is not None and not real:
            readers[tensor] = reader
    _refuse(errors)
    return Dump(path, readers, feeds, {})


def _axes(shape: tuple[int, ...], own: tuple[int, ...], *, batchable: bool) -> tuple[int, ...] | None:
    """Return the order of axes that brings a dumped shape to the network's, () as it is; None where it does not fit."""
    if shape == own[1:] or (shape[1:] == own[1:] and len(shape) == len(own) and (batchable or shape == own)):
        return ()
    last = (own[0], *own[2:], own[1]) if len(own) > 2 else own
    if shape == last[1:] or (shape[1:] == last[1:] and len(shape) == len(last) and batchable):
        return (0, len(own) - 1, *range(1, len(own) - 1))
    return None


def _npz_reader(
    file: NpzFile, key: str, axes: tuple[int, ...], own: tuple[int, ...], params: QParams | None
) -> Callable[[], Array]:
    def read() -> Array:
        values = file.read(key)
        values = values[None] if values.ndim < len(own) else values
        values = values.transpose(axes) if axes else values
        return values if params is None else _typed(values, params, f"{file.path}: {key}")

    return read


def _typed(values: Array, params: QParams, where: str) -> Array:
    kind = params.dtype
    if values.size and (int(values.min()) < kind.low or int(values.max()) > kind.high):
        worst = int(values.min()) if int(values.min()) < kind.low else int(values.max())
        raise InputError.at(where, f"an integer is outside {kind.name}, {kind.low}..{kind.high}", worst)
    return np.ascontiguousarray(values.astype(kind.numpy))


def _blobs(folder: Path, network: Network, image: str) -> Dump:
    known, plan = _aliases(network), network.program.plan
    files = sorted((*folder.glob("*.blob"), *folder.glob("layers/*.blob")))
    found: dict[str, dict[str, Path]] = {}
    errors: list[Diagnostic] = []
    for file in files:
        place = _stem_and_tensor(file.stem, known)
        if place is None:
            errors.append(_unknown(str(folder), file.stem, network))
        else:
            found.setdefault(place[0], {})[place[1]] = file
    _refuse(errors)
    stem = _one_stem(folder, found, safe_name(image) if image else "")
    readers: dict[str, Callable[[], Array]] = {}
    scales: dict[str, float] = {}
    for tensor, file in found[stem].items():
        params, own = plan.tensors.get(tensor), plan.graph.shape(tensor)
        if params is None:
            continue
        coefficient, (count, depth, height, width), dtype = read_header(file)
        if dtype == "F32":
            cure = "dump the integers as the device holds them"
            errors.append(Diagnostic("is not of integers", file=str(file), value=dtype, suggestion=cure))
        elif len(own) > 4 or (count, height, width, depth) != nhwc_shape(own):
            sizes = None if len(own) > 4 else list(nhwc_shape(own))
            cure = f"N H W C of {network.names[tensor]} are {sizes}"
            value = [count, height, width, depth]
            errors.append(Diagnostic("does not fit", file=str(file), value=value, suggestion=cure))
        elif abs(coefficient * params.scale - 1) > _SAME_SCALE:
            scales[tensor] = 1 / coefficient
        readers[tensor] = _blob_reader(file, own, params)
    _refuse(errors)
    feeds = {name: readers[name] for name in plan.graph.inputs if name in readers}
    return Dump(folder, readers, feeds, scales, stem)


def _stem_and_tensor(text: str, known: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (image, tensor) of a blob's name ``[<image>_]<tensor>``: the longest tensor's name that ends it."""
    if text in known:
        return "", known[text]
    ends = (at for at, letter in enumerate(text) if letter == "_")
    return next(((text[:at], known[text[at + 1 :]]) for at in ends if text[at + 1 :] in known), None)


def _one_stem(folder: Path, found: Mapping[str, object], image: str) -> str:
    if image in found:
        return image
    if set(found) == {""}:
        return ""
    if image or len(found) != 1:
        stems = ", ".join(sorted(found)[:8])
        what = f"has no blobs of the image '{image}'" if image else "has blobs of several images"
        raise InputError.at(str(folder), what, cure=f"give one with --image: {stems}")
    return next(iter(found))


def _blob_reader(file: Path, own: tuple[int, ...], params: QParams) -> Callable[[], Array]:
    def read() -> Array:
        numbers = read_blob(file).numbers.transpose(0, 2, 3, 1)
        if math.prod(own) != numbers.size:
            raise InputError.at(str(file), "does not fit", list(numbers.shape))
        return _typed(numbers.reshape(own) + params.zero_point, params, str(file))

    return read


def _refuse(errors: Iterable[Diagnostic]) -> None:
    found = list(errors)
    if found:
        raise InputError(_first(found, 20))


def _first(errors: list[Diagnostic], most: int) -> Iterator[Diagnostic]:
    yield from errors[:most]
    if len(errors) > most:
        yield Diagnostic(f"and {len(errors) - most} more mistakes like these")
