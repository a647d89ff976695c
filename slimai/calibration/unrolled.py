"""Sequences as single steps, for what goes layer by layer: every state holds what the float network gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.samples import each_step, steps_of
from slimai.runtime.session import FloatSession

Array = NDArray[Any]


def single_steps(
    graph: Graph, batches: Iterable[Mapping[str, Array]], most: int | None = None
) -> Iterator[dict[str, Array]]:
    """Yield network inputs of one step each, in the network's own shapes, as `graph` without sequences takes them.

    batches: inputs [n, ...] with sequences [n, steps, ...]. most: steps of a sequence, which then lie evenly over it;
    None takes all.
    """
    session = FloatSession(graph, outputs=tuple(dict.fromkeys(graph.states.values())), reuse=True)
    for feeds in batches:
        chosen = set(chosen_steps(steps_of(graph, feeds), most))
        for at, (ready, _) in enumerate(each_step(graph, session.run, feeds)):
            if at in chosen:
                yield ready


def chosen_steps(steps: int, most: int | None) -> list[int]:
    """Return the steps that are taken of `steps`, at most `most`, in order, the last one always."""
    count = steps if most is None else min(steps, most)
    return [int(place) for place in np.ceil(np.arange(1, count + 1) * steps / count) - 1]
