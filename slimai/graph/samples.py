"""One axis for samples around a network, whether the model has a batch axis or not.

A model says that a tensor has a batch when its first axis has the size 1 at batch 1. Outside of the engines every
array is `[n, ...]`: n samples, each in the model's own shape behind the model's own batch axis, or behind an axis put
in front where the model has none (boxes of the shape (15, 4) are [n, 15, 4], a scalar is [n]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.errors import InputError
from slimai.graph.ir import Graph

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def has_batch(shape: tuple[int, ...]) -> bool:
    """Return whether a tensor of this shape (at batch 1) has a batch axis."""
    return shape[:1] == (1,)


def sample_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one sample of a tensor with this shape at batch 1: axis 0 is 1."""
    return shape if has_batch(shape) else (1, *shape)


def own_shapes(graph: Graph, feeds: Arrays) -> dict[str, Array]:
    """Return network inputs [n, ...] as the network takes them; one that runs alone takes a single sample.

    Arrays that have the model's own shape already are taken too.

    Raises:
        InputError: a network that runs one sample at a time gets several, or arrays of another size.
    """
    if graph.batchable:
        return dict(feeds)
    for name, value in feeds.items():
        shape = graph.shape(name) if name in graph.tensors else value.shape
        if value.shape not in (shape, sample_shape(shape)):
            message = f"network '{graph.name}' runs one sample at a time ({graph.batch_note}); its shape is {shape}"
            raise InputError.at(f"input {name}", message, value.shape)
    return {name: value.reshape(graph.shape(name)) if name in graph.tensors else value for name, value in feeds.items()}


def sample_axis(graph: Graph, tensors: Arrays) -> dict[str, Array]:
    """Return what one run gave, [n, ...] each: an axis in front where a tensor of the model has no batch."""
    if graph.batchable:
        return dict(tensors)
    return {name: value.reshape(sample_shape(value.shape)) for name, value in tensors.items()}


def images(graph: Graph, values: Array) -> Array:
    """Return a tensor of one run with its images along axis 0, each an array (a scalar has one axis of 1)."""
    return values if graph.batchable else values.reshape(1, *(values.shape or (1,)))


def run_samples(graph: Graph, run: Callable[[Arrays], Arrays], feeds: Arrays) -> dict[str, Array]:
    """Return the outputs [n, ...] of inputs [n, ...]; one sample after another where the network takes one at a time.

    run: takes and gives arrays in the model's own shapes.
    """
    if graph.batchable:
        return dict(run(feeds))
    parts = [sample_axis(graph, run(own_shapes(graph, one))) for one in _singles(feeds)]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _singles(feeds: Arrays) -> Iterator[dict[str, Array]]:
    count = min((len(value) for value in feeds.values()), default=1)
    for at in range(count):
        yield {name: value[at : at + 1] for name, value in feeds.items()}
