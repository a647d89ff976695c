from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from slimai.data.loader import iter_batches
from slimai.data.sample import Sample
from slimai.errors import InputError

SAMPLES = [Sample(index, (Path(f"{index}.png"),)) for index in range(23)]


def load(sample):
    time.sleep(0.002 * (sample.index % 3))  # later samples finish before earlier ones
    return sample, {"x": np.full((1, 2), sample.index, dtype=np.float32)}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("batch", [1, 5, 23, 100])
def test_order_and_batches(threads, batch):
    seen, values = [], []
    for group, arrays in iter_batches(SAMPLES, load, batch, threads=threads):
        assert len(group) == len(arrays["x"]) <= batch
        seen += [item.index for item in group]
        values += arrays["x"][:, 0].tolist()
    assert seen == values == list(range(23))


def test_memory_is_bounded():
    started = []

    def counted(sample):
        started.append(sample.index)
        return load(sample)

    batches = iter_batches(iter(SAMPLES), counted, 2, threads=3)
    next(batches)
    assert max(started) < 2 + 2 + 3 + 1
    batches.close()
    assert threading.active_count() < 10


def test_error_reaches_the_caller_in_order():
    def failing(sample):
        if sample.index == 3:
            raise InputError("list.txt:4: bad")
        return load(sample)

    batches = iter_batches(SAMPLES, failing, 2, threads=4)
    assert [item.index for item in next(batches)[0]] == [0, 1]
    with pytest.raises(InputError, match=r"list\.txt:4: bad"):
        next(batches)


def test_batch_below_one_is_refused():
    with pytest.raises(ValueError, match="batch must be at least 1"):
        next(iter_batches(SAMPLES, load, 0))
