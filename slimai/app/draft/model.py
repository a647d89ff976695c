"""What a model file says of itself: its graph, and which of its inputs are pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph
from slimai.graph.tflite.stored import StoredParams

Size = tuple[int, int]
Shape = tuple[int, ...]
CHANNELS = (3, 1)
USUAL_SIZE = 224
LARGEST_SIDE = 2048

__all__ = ["InputFacts", "ModelFacts", "open_model"]


@dataclass(frozen=True)
class InputFacts:
    """One input. shape: at batch 1. layout: NCHW, NHWC or NonImage. sure: whether the shape alone decides the layout.

    stored: how the file quantizes it, None in a float network. limits: of whole numbers that it takes as they are,
    smallest and largest; None for one that takes real numbers.
    """

    name: str
    shape: Shape
    layout: str
    sure: bool = True
    stored: StoredParams | None = None
    limits: tuple[int, int] | None = None

    @property
    def channels(self) -> int:
        """Return 3 or 1 for a picture, 0 for other data."""
        return {"NCHW": self.shape[1], "NHWC": self.shape[-1]}[self.layout] if self.layout != "NonImage" else 0

    @property
    def size(self) -> Size | None:
        """Return (width, height) of a picture, None for other data."""
        if self.layout == "NonImage":
            return None
        height, width = self.shape[2:4] if self.layout == "NCHW" else self.shape[1:3]
        return width, height


@dataclass(frozen=True)
class ModelFacts:
    """A model. chosen: shapes of the inputs whose sizes the file leaves open, as they were taken here."""

    file: Path
    graph: Graph
    inputs: tuple[InputFacts, ...]
    chosen: Mapping[str, Shape] = field(default_factory=dict)
    quantized: bool = False

    @property
    def outputs(self) -> dict[str, Shape]:
        """Return the shape at batch 1 of each output."""
        return {name: self.graph.shape(name) for name in self.graph.outputs}


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


def open_model(file: Path, *, arrays: bool = False, picture_size: Size | None = None) -> ModelFacts:
    """Return the facts of an ONNX or TFLite file.

    arrays: the samples are arrays, so that nothing is a picture. picture_size: (width, height) of all pictures, where
    they have one size: it is taken for sizes that the file leaves open.

    Raises: InputError for a file of another kind, and what the loaders raise.
    """
    kind = file.suffix.lower()
    if kind not in (".onnx", ".tflite"):
        raise InputError(
            Diagnostic("a model is an .onnx or .tflite file", value=str(file), suggestion="export it as ONNX")
        )
    return _tflite(file, arrays=arrays) if kind == ".tflite" else _onnx(file, arrays=arrays, picture_size=picture_size)


def _tflite(file: Path, *, arrays: bool) -> ModelFacts:
    from slimai.graph.tflite.load import load_tflite  # noqa: PLC0415 - spares numpy

    network = load_tflite(file)
    graph = network.graph
    inputs = tuple(
        InputFacts(name, shape, *_layout(shape, ("NHWC", "NCHW"), arrays=arrays), network.params.get(name))
        for name, shape in ((name, graph.shape(name)) for name in graph.inputs)
    )
    return ModelFacts(file, graph, inputs, quantized=True)


def _onnx(file: Path, *, arrays: bool, picture_size: Size | None) -> ModelFacts:
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares numpy, onnx

    chosen: dict[str, Shape] = {}
    try:
        graph = load_onnx(file, pictures=() if arrays else _Everything())
    except InputError:
        chosen = {} if arrays else _chosen_shapes(file, picture_size)
        if not chosen:
            raise
        graph = load_onnx(file, input_shapes=chosen)
    inputs = _onnx_inputs(graph, arrays=arrays)
    if not arrays and any(item.layout == "NonImage" for item in inputs) and not chosen:
        pictures = {item.name for item in inputs if item.layout != "NonImage"}
        graph = load_onnx(file, pictures=pictures)  # a fixed batch of other data stays as it is
        inputs = tuple(replace(item, shape=graph.shape(item.name)) for item in inputs)
    return ModelFacts(file, graph, inputs, chosen)


def _onnx_inputs(graph: Graph, *, arrays: bool) -> tuple[InputFacts, ...]:
    """Return the inputs that samples feed: all but states."""
    from slimai.graph.tokens import token_limits  # noqa: PLC0415 - spares numpy

    tokens = token_limits(graph)
    found = []
    for name in (item for item in graph.inputs if item not in graph.states):
        shape, whole = graph.shape(name), graph.tensors[name].dtype != "float32"
        low, high, _ = tokens.get(name, (0, 1, ""))
        layout, sure = _layout(shape, ("NCHW", "NHWC"), arrays=arrays or whole)
        found.append(InputFacts(name, shape, layout, sure, limits=(max(low, 0), high) if whole else None))
    return tuple(found)


def _chosen_shapes(file: Path, picture_size: Size | None) -> dict[str, Shape]:
    """Return a shape for every picture input of open sizes; nothing where another input leaves sizes open."""
    from slimai.graph.fixed_batch import declared_inputs  # noqa: PLC0415 - spares onnx

    try:
        declared = declared_inputs(file)
    except InputError:
        return {}
    width, height = picture_size or (USUAL_SIZE, USUAL_SIZE)
    if max(width, height) > LARGEST_SIDE:
        width, height = USUAL_SIZE, USUAL_SIZE
    found: dict[str, Shape] = {}
    for name, dims in declared.items():
        known = [isinstance(size, int) and size > 0 for size in dims or ()]
        if dims is not None and all(known[1:]):
            continue
        if dims is None or len(dims) != 4:
            return {}
        if dims[1] in CHANNELS:
            sides = (dims[1], *(_side(dims[at], one) for at, one in ((2, height), (3, width))))
        elif dims[3] in CHANNELS:
            sides = (*(_side(dims[at], one) for at, one in ((1, height), (2, width))), dims[3])
        else:
            return {}
        found[name] = (1, *(int(side) for side in sides))
    return found


def _side(size: int | str, chosen: int) -> int:
    return size if isinstance(size, int) and size > 0 else chosen


def _layout(shape: Sequence[int], order: tuple[str, str], *, arrays: bool) -> tuple[str, bool]:
    """Return the layout, the first of `order` where both fit, and whether only one fits."""
    if arrays or len(shape) != 4 or shape[0] != 1:
        return "NonImage", True
    channels = {"NCHW": shape[1], "NHWC": shape[3]}
    fits = [layout for layout in order if channels[layout] in CHANNELS]
    coloured = [layout for layout in fits if channels[layout] == 3]
    if not fits:
        return "NonImage", True
    return (coloured or fits)[0], len(fits) == 1 and bool(coloured)
