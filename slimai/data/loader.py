"""Loading samples in parallel: streamed, in order, bounded in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.data.sample import Sample

Array = NDArray[Any]
Loaded = tuple[Sample, dict[str, Array]]
_MOST_THREADS = 4  # decoding leaves little for more: the rest of a pass needs the processors too


def iter_batches(
    samples: Iterable[Sample],
    preprocess: Callable[[Sample], Loaded],
    batch: int,
    *,
    threads: int | None = None,
) -> Iterator[tuple[list[Sample], dict[str, Array]]]:
    """Yield (samples with geometry, input name -> [n, ...] float32) with n <= batch, in the given order.

    Beside the batch that the caller works on, at most `batch` + `threads` samples are held.

    Raises:
        InputError: a file cannot be read; it names the file and its list line.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 (got {batch})")
    loaded = _in_order(samples, preprocess, batch, threads or min(_MOST_THREADS, os.cpu_count() or 1))
    while group := list(islice(loaded, batch)):
        arrays = {name: np.concatenate([item[name] for _, item in group]) for name in group[0][1]}
        yield [sample for sample, _ in group], arrays


def _in_order(
    samples: Iterable[Sample], preprocess: Callable[[Sample], Loaded], ahead: int, threads: int
) -> Iterator[Loaded]:
    """Yield preprocess(sample) for each sample, computed by threads at most `ahead` + `threads` samples early."""
    source = iter(samples)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="slimai-load")
    try:
        waiting: deque[Future[Loaded]] = deque(
            pool.submit(preprocess, sample) for sample in islice(source, ahead + threads)
        )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(preprocess, sample) for sample in islice(source, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
