"""Where integers of a device part from a program's: tensor by tensor, each layer on the device's own inputs.

Up to the first difference both have computed the same. Behind it a layer is given what the device has computed, where
that is known, so that each later layer is judged by itself and no error is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ops import channel_axis
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.simulator.context import Tally
from slimai.simulator.program import IntegerStep, Program, Step

Array = NDArray[Any]
MOST_CHANNELS = 8


class Dump(Protocol):
    """Tensors of a device, read one at a time."""

    def __contains__(self, name: object) -> bool:
        """Whether the tensor is there."""

    def __getitem__(self, name: str) -> Array:
        """Return its integers as the plan has them: type and shape of the plan, any number of samples."""


@dataclass(frozen=True)
class Difference:
    """How integers of one tensor differ: how many of how many, the largest distance, the channels it lies in.

    channels: at most the first eight, along `axis` of the tensor; several: how many there are. first: index of the
    first differing integer, with its two values.
    """

    count: int
    total: int
    largest: int
    channels: tuple[int, ...]
    several: int
    first: tuple[int, ...]
    expected: int
    found: int


@dataclass(frozen=True, eq=False)
class Case:
    """A tensor that differs. layer: what writes it, None for a network input.

    between: names of the layers in front whose own outputs are not known, oldest first: the cause may be in them too.
    reads: what the layer was given here; expected: what it makes of that in the program; found: the device's.
    """

    tensor: str
    layer: Layer | None
    step: Step | None
    difference: Difference
    between: tuple[str, ...]
    reads: Mapping[str, Array]
    expected: Array
    found: Array


def channels_of(plan: QuantPlan, tensor: str, rank: int) -> int:
    """Return the axis of the channels of a tensor, as its layer has them, or the first reader of a network input."""
    layer = plan.producer.get(tensor)
    nodes = (*(() if layer is None else (layer.node,)), *plan.graph.consumers.get(tensor, ()))
    return channel_axis(nodes[0], rank) % rank if nodes and rank else 0


def difference(expected: Array, found: Array, axis: int) -> Difference | None:
    """Return how two integer tensors of one shape differ, or None when they are equal."""
    wrong = expected != found
    count = int(np.count_nonzero(wrong))
    if not count:
        return None
    distance = np.abs(expected.astype(np.int64) - found.astype(np.int64))
    others = tuple(place for place in range(wrong.ndim) if place != axis)
    channels = np.flatnonzero(wrong.any(axis=others)) if wrong.ndim else np.zeros(1, np.int64)
    first = tuple(int(place) for place in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    return Difference(
        count,
        wrong.size,
        int(distance.max()),
        tuple(int(item) for item in channels[:MOST_CHANNELS]),
        len(channels),
        first,
        int(expected[first]),
        int(found[first]),
    )


def cases(
    program: Program, inputs: Mapping[str, Array], dump: Dump, seen: Callable[[str], None] = lambda _: None
) -> Iterator[Case]:
    """Yield every tensor that differs, in graph order.

    Args:
        program: what the device should compute.
        inputs: network input -> integers or floats, [N, ...], as `Program.run` takes them.
        dump: the device's tensors, by the plan's names; those that it lacks are taken as the program computes them.
        seen: is told the name of each tensor that is compared.

    Memory: the tensors that later layers still read, and one tensor of the device.
    """
    plan = program.plan
    values = dict(program.entering(inputs))
    unknown: dict[str, tuple[str, ...]] = {}
    for name in plan.graph.inputs:
        if name in dump and name in plan.tensors:
            seen(name)
            yield from _judged(plan, name, None, {}, values, dump, unknown)
    tally = Tally()
    for index, step in enumerate(program.steps):
        reads = step.inputs if not isinstance(step, IntegerStep) else step.layer.inputs
        given = {name: values[name] for name in reads}
        before = tuple(dict.fromkeys(item for name in reads for item in unknown.get(name, ())))
        made = program.run_step(step, values, tally)
        values.update(made)
        for name in made:
            unknown[name] = (*before, step.layers[0].name)
            if name in dump and name in plan.tensors:
                seen(name)
                yield from _judged(plan, name, step, given, values, dump, unknown)
        for name in program.last_use[index]:
            values.pop(name, None)


def _judged(
    plan: QuantPlan,
    name: str,
    step: Step | None,
    given: Mapping[str, Array],
    values: dict[str, Array],
    dump: Dump,
    unknown: dict[str, tuple[str, ...]],
) -> Iterator[Case]:
    expected, found = values[name], dump[name]
    parts = difference(expected, found, channels_of(plan, name, expected.ndim))
    before = unknown.pop(name, ())[:-1]
    if parts is not None:
        values[name] = found  # what the device's later layers have read
        yield Case(name, plan.producer.get(name), step, parts, before, given, expected, found)


def spelled(channels: Sequence[int], several: int) -> str:
    """Return ``channel 3``, ``channels 3, 5`` or ``60 channels, from 3, 5, 8 on``."""
    if several == 1:
        return f"channel {channels[0]}"
    listed = ", ".join(map(str, channels))
    return f"channels {listed}" if several <= len(channels) else f"{several} channels: {listed} ..."
