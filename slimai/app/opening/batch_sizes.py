"""How many images run at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimai.app.opening.job import Job
    from slimai.data.sample import Sample
    from slimai.graph.ir import Graph

BATCH_ELEMENTS = 1 << 20  # largest activation of a batch, in elements: keeps a batch near the cache
MOST_IMAGES = 32
INTEGER_ELEMENTS = 1 << 24  # measured on seven networks: 1.2 to 4 times as fast as one image at a time


def batch_size(graph: Graph) -> int:
    """Return how many images run through the float network at once: the largest activation stays near 2^20 elements."""
    return _batch(graph, BATCH_ELEMENTS)


def float_batch(job: Job, graph: Graph, samples: Sequence[Sample]) -> int:
    """Return how many of these samples run through a float network at once: one where sequences differ in length."""
    return 1 if job.preprocess.uneven(samples) else batch_size(graph)


def integer_batch(graph: Graph) -> int:
    """Return how many images run through an integer network at once.

    Its kernels work in tiles of their own, so a batch need not fit a cache: it shares out what a layer costs to begin.
    """
    return _batch(graph, INTEGER_ELEMENTS)


def _batch(graph: Graph, elements: int) -> int:
    if not graph.batchable:
        return 1
    largest = max((math.prod(graph.shape(name)) for name in graph.activations()), default=1)
    return max(1, min(MOST_IMAGES, elements // max(largest, 1)))
