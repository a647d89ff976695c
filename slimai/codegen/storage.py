"""Which memory a tensor has: the caller's for inputs and outputs, else buffers of the arena, shared where one dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slimai.codegen.memory import Buffer, Placement, place
from slimai.codegen.writer import Step


@dataclass
class _Group:
    """Tensors that share one memory; `outside`: the graph input or output whose memory it is."""

    tensors: list[str]
    size: int
    align: int
    first: int
    last: int
    outside: str = ""


@dataclass(frozen=True)
class Storage:
    """The memory plan of a network.

    outside: tensor -> the network's input or output whose memory holds it. offsets: tensor, or ``step:pointer`` of
    scratch memory -> bytes from the arena's start. buffers: what was placed. arena: bytes of it, alignment.
    copies: network outputs that must be copied from a tensor at the end.
    """

    outside: Mapping[str, str]
    offsets: Mapping[str, int]
    buffers: tuple[Buffer, ...]
    arena: int
    alignment: int
    copies: Mapping[str, str] = field(default_factory=dict)


def plan_storage(
    steps: Sequence[Step], sizes: Mapping[str, tuple[int, int]], inputs: Sequence[str], outputs: Sequence[str]
) -> Storage:
    """Return the memory plan.

    Args:
        steps: the layers in order.
        sizes: tensor -> (bytes, bytes of an element).
        inputs: of the network.
        outputs: of the network.
    """
    last = _last_reads(steps, outputs)
    owner: dict[str, _Group] = {}
    copies = {name: name for name in outputs if name in inputs}
    for name in inputs:
        owner[name] = _Group([name], *sizes[name], -1, len(steps), outside=name)
    for number, step in enumerate(steps):
        taken = _shared(step, number, owner, sizes, last, outputs)
        for name in step.outputs:
            if taken is not None and name == step.outputs[0]:
                group = taken
                group.tensors.append(name)
            else:
                group = _Group([name], *sizes[name], number, number)
            if name in outputs and not group.outside:
                group.outside = name
            group.last = max(group.last, last.get(name, number))
            owner[name] = group
    return _placed(steps, owner, copies)


def _last_reads(steps: Sequence[Step], outputs: Sequence[str]) -> dict[str, int]:
    last: dict[str, int] = {}
    for number, step in enumerate(steps):
        last.update(dict.fromkeys((*step.inputs, *step.outputs), number))
    last.update(dict.fromkeys(outputs, len(steps)))
    return last


def _shared(
    step: Step, number: int, owner: Mapping[str, _Group], sizes: Mapping[str, tuple[int, int]], last: Mapping[str, int],
    outputs: Sequence[str],
) -> _Group | None:  # fmt: skip
    """Return the memory that the step's output takes over, or None."""
    output = step.outputs[0]
    if step.alias:
        group = owner[step.alias]
        # The bytes stay; only a network output that lies elsewhere needs a copy of its own.
        if output in outputs and (group.outside or group.size != sizes[output][0]):
            return None
        return group
    if output in outputs:
        return None
    for name in step.in_place:
        group = owner[name]
        alone = all(last[item] <= number for item in group.tensors)
        if alone and not group.outside and sizes[output] == (group.size, sizes[name][1]):
            return group
    return None


def _placed(steps: Sequence[Step], owner: Mapping[str, _Group], copies: Mapping[str, str]) -> Storage:
    groups = list({id(group): group for group in owner.values()}.values())
    buffers = [
        Buffer(group.tensors[0], group.size, group.first, group.last, group.align)
        for group in groups if not group.outside
    ]  # fmt: skip
    for number, step in enumerate(steps):
        for pointer in step.pointers:
            if not pointer.tensor:
                align = np.dtype(pointer.c_type.removesuffix("_t")).itemsize
                buffers.append(Buffer(f"{number}:{pointer.name}", pointer.size, number, number, align))
    placement: Placement = place(buffers)
    offsets = dict(placement.offsets)
    for group in groups:
        if not group.outside:
            offsets.update(dict.fromkeys(group.tensors, placement.offsets[group.tensors[0]]))
    outside = {name: group.outside for name, group in owner.items() if group.outside}
    alignment = max((item.align for item in buffers), default=1)
    return Storage(outside, offsets, tuple(buffers), placement.size, alignment, copies)
