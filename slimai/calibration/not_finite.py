"""The message about a float value that is NaN or infinite: where it arises, in which image, and what to do there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Graph
from slimai.graph.sentinels import Sentinel

Array = NDArray[Any]
IMAGE = "check this image and the preprocessing"
MASKED = "every place of one of its rows is masked: leave one, or mask with a finite value such as -1e4"
CURES = {
    **dict.fromkeys(("Softmax", "LogSoftmax"), MASKED),
    **dict.fromkeys(("Div", "Reciprocal"), "keep its divisor away from 0, by a Clip or an added epsilon"),
    **dict.fromkeys(("Log", "Sqrt", "Rsqrt", "Pow"), "keep what it reads above 0, by a Clip or an added epsilon"),
}
ELSE = "what it reads is finite: its result has no value or is too large for float32; change the network there"


def not_finite(
    graph: Graph,
    values: Mapping[str, Array],
    sentinels: Mapping[str, Sentinel],
    names: Sequence[str],
    start: int,
    *,
    several: bool,
) -> InputError:
    """Return the error that names the first such tensor in the order of the graph, its operator and the image.

    values: what is known of one batch, network inputs among it; one of them is not finite beside its sentinels. names:
    of the images of this batch. start: place of its first image. several: whether axis 0 counts images.
    """
    tensor, places = next(_wrong(graph, values, sentinels))
    place = tuple(int(index) for index in places[0])
    row = place[0] if several else 0
    image = f"image {start + row + 1}" + (f" ({names[row]})" if row < len(names) else "")
    value = float(values[tensor][place])
    node = graph.producers.get(tensor)
    message = f"the float network computes a value that is not finite for {image}"
    if node is None:
        return InputError.at(tensor, message, value, cure=IMAGE)
    return InputError.at(tensor, f"{message}, in a {node.op}", value, cure=CURES.get(node.op, ELSE))


def _wrong(
    graph: Graph, values: Mapping[str, Array], sentinels: Mapping[str, Sentinel]
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield the tensors with values that are not finite, and their places, inputs first."""
    for tensor in graph.activations():
        if tensor not in values or values[tensor].dtype.kind != "f":
            continue
        wrong = ~np.isfinite(values[tensor])
        if tensor in sentinels:
            wrong &= ~sentinels[tensor].among(values[tensor])
        if wrong.any():
            yield tensor, np.argwhere(wrong)
