"""Test vectors: inputs, outputs whole, and a 64-bit checksum of every layer's bytes, from the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.network import Network
from slimai.codegen.source import traced
from slimai.simulator.program import Program

Array = NDArray[Any]
_START, _PRIME = 0xCBF29CE484222325, 0x100000001B3
_INVERSE = np.uint64(pow(_PRIME, -1, 1 << 64))


@dataclass(frozen=True, eq=False)
class Vector:
    """One sample: tensor -> integers flat in memory order, and the checksums of the traced tensors in order."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    checksums: tuple[int, ...]


def in_memory(network: Network, tensor: str, sample: Array) -> Array:
    """Return one sample of a tensor, [1, ...] in the logical order, flat in memory order."""
    return np.ascontiguousarray(sample.transpose(network.orders[tensor]) if sample.ndim else sample).reshape(-1)


def make_vectors(network: Network, program: Program, samples: Sequence[Mapping[str, Array]]) -> list[Vector]:
    """Return the vectors of samples, each input [1, ...]: floats, or integers of the planned type."""
    made = []
    names = [name for _, name in traced(network)]
    for sample in samples:
        entered = program.entering(sample)
        found = program.run(entered, capture=names)
        made.append(Vector(
            {name: in_memory(network, name, value) for name, value in entered.items()},
            {name: in_memory(network, name, found[name]) for name in network.plan.graph.outputs},
            tuple(checksum(in_memory(network, name, found[name])) for name in names),
        ))  # fmt: skip
    return made


def noise(program: Program, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """Return samples of seeded noise in the whole range of each input's integers."""
    rng, plan = np.random.default_rng(seed), program.plan
    return [
        {
            name: rng.integers(
                plan.tensors[name].dtype.low, plan.tensors[name].dtype.high + 1, plan.graph.shape(name)
            ).astype(plan.tensors[name].dtype.numpy)
            for name in plan.graph.inputs
        }
        for _ in range(count)
    ]  # fmt: skip


def checksum(values: Array) -> int:
    """Return the runner's 64-bit sum, t <- t * P + element, sign extended: byte order leaves no trace."""
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(values.size + 1, _PRIME, np.uint64)) * _INVERSE  # P^0, P^1, ...
        words = values.reshape(-1).astype(np.int64).view(np.uint64)
        return int((words * powers[:-1][::-1]).sum(dtype=np.uint64) + np.uint64(_START) * powers[-1])
