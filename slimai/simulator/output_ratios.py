"""How near the outputs of integer networks are to those of the float network, over calibration images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Graph
from slimai.graph.samples import own_shapes
from slimai.quantizer.plan import QuantPlan
from slimai.runtime.session import FloatSession
from slimai.simulator.buffers import BufferPool
from slimai.simulator.program import Target, compile_plan
from slimai.simulator.rounding_pass import Images

Arrays = Mapping[str, NDArray[Any]]
_TINY = 1e-30


def output_ratios(
    graph: Graph,
    plans: Sequence[QuantPlan],
    target: Target,
    images: Images,
    arithmetic: str,
    truth: Callable[[Arrays], Arrays] | None = None,
) -> NDArray[np.float64]:
    """Return [plans, 2] the outputs' signal-to-noise ratio in dB: over all images, and the mean of the images'.

    graph: the float network that all plans stand for. Means are over outputs, too. One pass over the images, which
    holds a batch of them. truth: gives the float outputs of a batch; by default the network is run.
    """
    pool, run = BufferPool(), truth or FloatSession(graph, reuse=True).run
    programs = [compile_plan(plan, target, arithmetic=arithmetic, pool=pool) for plan in plans]
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for given in images.batches():
        feeds = own_shapes(graph, given)
        real = run(feeds)
        made = [program.dequantize(program.run(feeds)) for program in programs]
        for name, wanted in real.items():
            rows = wanted.astype(np.float64).reshape(len(wanted) if graph.batchable else 1, -1)
            errors = [item[name].astype(np.float64).reshape(rows.shape) - rows for item in made]
            sums.setdefault(name, []).append(
                np.stack([np.square(part).sum(axis=1) for part in (rows, *errors)]) + _TINY
            )
    return _ratios([np.concatenate(parts, axis=1) for parts in sums.values()])


def _ratios(powers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return [plans, 2] the ratios; powers: of each output [1 + plans, images], the float values' and each error's."""
    together = np.mean([10 * np.log10(item[0].sum() / item[1:].sum(axis=1)) for item in powers], axis=0)
    apart = np.mean([10 * np.log10(item[0] / item[1:]).mean(axis=1) for item in powers], axis=0)
    return np.stack([together, apart], axis=1)
