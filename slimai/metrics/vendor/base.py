"""The base class of plug-ins, and the state that their modules share while one is loaded or run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from slimai.blobs.names import blob_name
from slimai.blobs.octrl import OCTRL_NAME, read_octrl
from slimai.data.sample import Sample
from slimai.errors import InputError

Class = TypeVar("Class", bound=type)

# name -> class, filled by `metric_register` while a plug-in file is loaded
REGISTERED: dict[str, type] = {}
# blob file -> shape of the network's output that it holds, for `blob_file_reader`
SHAPES: dict[str, tuple[int, ...]] = {}

__all__ = [
    "REGISTERED",
    "SHAPES",
    "custom_metric_base",
    "image_list_text",
    "image_names",
    "metric_register",
    "own_shape",
]


def metric_register(name: Any = None, cls: type | None = None) -> Any:
    """Register a metric class: ``@metric_register``, ``@metric_register("name")``, ``metric_register("name", cls)``."""
    if isinstance(name, type):
        REGISTERED[name.__name__] = name
        return name
    if cls is not None:
        REGISTERED[str(name)] = cls
        return cls
    return _registering(name)


def _registering(name: str | None) -> Callable[[Class], Class]:
    def register(cls: Class) -> Class:
        REGISTERED[name or cls.__name__] = cls
        return cls

    return register


class custom_metric_base:  # noqa: N801 - the vendor's name, which plug-ins spell
    """Base of a metric of one's own.

    A subclass defines `__init__` (its variables), `init_params` (gets `metric_input` as it was written),
    `load_and_analysis` (returns the metric, or several numbers of which the first decides) and
    `accumulate_results` (for its own use; slimai does not call it).
    """

    slimai_initialized = False

    def __init_subclass__(cls, **more: Any) -> None:
        """Note when `init_params` is called: a self-test gives the run's settings where nobody did."""
        super().__init_subclass__(**more)
        own = cls.__dict__.get("init_params")
        if callable(own):
            cls.init_params = _noted(own)  # type: ignore[method-assign]

    def __init__(self) -> None:
        self.octrl_file: str | None = None

    def init_params(self, params: Any) -> None:
        """Take the settings of the cfg's `metric_input`."""
        raise NotImplementedError

    def load_and_analysis(self, blobsfile: str, imglist: str) -> Any:
        """Return the metric of the dumped outputs in `blobsfile` for the images of `imglist`."""
        raise NotImplementedError

    def accumulate_results(self, *results: Any) -> Any:
        """Join partial results; for the plug-in's own use."""
        raise NotImplementedError

    def _prep_filelist(self, blobsfile: str | os.PathLike[str], imglist: Any) -> list[list[str]]:
        """Return for each image the paths of its blobs, in the order of the octrl file.

        blobsfile: the folder of the blobs. imglist: an image list file, or a sequence of image names.
        Raises: InputError naming every blob that is missing.
        """
        folder = Path(blobsfile)
        octrl = getattr(self, "octrl_file", None)
        outputs = read_octrl(Path(octrl) if octrl else _beside(folder))
        files = [[folder / blob_name(Path(name).stem, output) for output in outputs] for name in image_names(imglist)]
        missing = [str(file) for blobs in files for file in blobs if not file.is_file()]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InputError(f"no such blob: {', '.join(missing[:5])}{more}")
        return [[str(file) for file in blobs] for blobs in files]


def _noted(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        self.slimai_initialized = True
        return method(self, *arguments, **named)

    return call


def _beside(folder: Path) -> Path:
    inside = folder / OCTRL_NAME
    return inside if inside.is_file() else folder.parent / OCTRL_NAME


def image_list_text(samples: Iterable[Sample]) -> str:
    """Return the image list that a plug-in gets: the count, then whole paths and labels."""
    lines = []
    for sample in samples:
        labels = [",".join(sample.labels)] if sample.labels else []
        lines.append(" ".join([",".join(map(str, sample.files)), *labels]))
    return "\n".join([str(len(lines)), *lines]) + "\n"


def image_names(imglist: Any) -> list[str]:
    """Return the first file of every line of an image list; a sequence of names is returned as it is."""
    if isinstance(imglist, Sequence) and not isinstance(imglist, str | bytes):
        return [str(name) for name in imglist]
    try:
        lines = [line.split() for line in Path(imglist).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.at(str(imglist), f"the image list cannot be read: {error}") from None
    if lines and len(lines[0]) == 1 and lines[0][0].isdigit():
        lines = lines[1 : 1 + int(lines[0][0])]
    return [words[0].split(",")[0] for words in lines]


def own_shape(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Return the shape of the output in a blob file, or None where only the file is known."""
    return SHAPES.get(str(Path(path)))
