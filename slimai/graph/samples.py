"""One axis for samples around a network, whether the model has a batch axis or not.

A model says that a tensor has a batch when its first axis has the size 1 at batch 1. Outside of the engines every
array is `[n, ...]`: n samples, each in the model's own shape behind the model's own batch axis, or behind an axis put
in front where the model has none (boxes of the shape (15, 4) are [n, 15, 4], a scalar is [n]).

A sample of a network may be a sequence: its `sequences` are then [n, steps, ...] outside of the engines, and
so are all outputs. What a state holds at the first step is [n, ...]; from then on it is what the step before gave.
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


Run = Callable[[Arrays], Arrays]
Carry = Callable[[str, Array], Array]


def _as_it_is(state: str, value: Array) -> Array:
    del state
    return value


def run_samples(graph: Graph, run: Run, feeds: Arrays, carry: Carry = _as_it_is) -> dict[str, Array]:
    """Return the outputs [n, ...] of inputs [n, ...]; one sample after another where the network takes one at a time.

    Of sequences the outputs are [n, steps, ...]. run: takes and gives arrays in the model's own shapes. carry: what a
    state (an input's name) takes of its output; without it the output as it is.
    """
    parts = [_run_part(graph, run, part, carry) for part in single_samples(graph, feeds)]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def each_step(
    graph: Graph, run: Run, feeds: Arrays, carry: Carry = _as_it_is
) -> Iterator[tuple[dict[str, Array], Arrays]]:
    """Yield what goes into the network, in its own shapes, and what `run` made of it, step after step.

    feeds: inputs [n, ...], of sequences [n, steps, ...]; n is 1 where the network takes one sample at a time. States
    begin as `feeds` has them, with every call. Without sequences there is one step.
    """
    held: dict[str, Array] = {}
    count = steps_of(graph, feeds)
    for step in range(count):
        now = {name: value[:, step] if name in graph.sequences else value for name, value in feeds.items()}
        ready = own_shapes(graph, {**now, **held})
        found = run(ready)
        yield ready, found
        if step + 1 == count:
            return
        # copied: engines may write their next outputs over these
        held = {state: np.array(carry(state, found[output])) for state, output in graph.states.items()}


def steps_of(graph: Graph, feeds: Arrays) -> int:
    """Return the number of steps of these inputs, 1 without sequences.

    Raises:
        InputError: sequences of one sample differ in length.
    """
    found = {name: feeds[name].shape[1] for name in graph.sequences}
    if len(set(found.values())) > 1:
        raise InputError(f"sequences of one sample differ in length: {found}")
    return next(iter(found.values()), 1)


def _run_part(graph: Graph, run: Run, feeds: Arrays, carry: Carry) -> dict[str, Array]:
    if not graph.sequences:
        return sample_axis(graph, run(own_shapes(graph, feeds)))
    steps = [_own_arrays(sample_axis(graph, found)) for _, found in each_step(graph, run, feeds, carry)]
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}


def _own_arrays(tensors: Arrays) -> dict[str, Array]:
    return {name: np.array(value) for name, value in tensors.items()}


def single_samples(graph: Graph, feeds: Arrays) -> Iterator[Arrays]:
    """Yield what runs at once: all samples, or each alone where the network takes one at a time."""
    if graph.batchable:
        yield feeds
        return
    count = min((len(value) for value in feeds.values()), default=1)
    for at in range(count):
        yield {name: value[at : at + 1] for name, value in feeds.items()}
