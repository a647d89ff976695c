"""A TFLite model as slimai runs it, beside LiteRT's reference kernels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from tflite_builder import every_tensor, reference_interpreter

from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan


def read(model: bytes):
    """Return the StoredNetwork of the bytes of a model."""
    handle, name = tempfile.mkstemp(suffix=".tflite")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model)
        return load_tflite(name, name="net")
    finally:
        Path(name).unlink()


def as_stored(network, *, keep=True):
    """Return the program of the level that keeps everything: 3, or 4 for 16-bit activations."""
    plan = stored_plan(network, keep_asymmetric_weights=keep)
    return compile_plan(plan, TargetSection(), arithmetic="tflite_s64" if network.wide else "gemmlowp")


def random_feeds(interpreter, rng):
    """Return one array of random integers for each input."""
    feeds = []
    for detail in interpreter.get_input_details():
        info = np.iinfo(detail["dtype"])
        feeds.append(rng.integers(info.min, info.max + 1, detail["shape"]).astype(detail["dtype"]))
    return feeds


def differences(model: bytes, samples, *, least=2) -> dict[str, int]:
    """Return tensor -> differing integers over all samples (lists of feeds), for every tensor an operator writes.

    samples: lists of feeds, or a number of random ones. least: distinct values that an output must have,
    so that a comparison of constants does not count as one.
    """
    network, interpreter = read(model), reference_interpreter(model)
    program = as_stored(network)
    if isinstance(samples, int):
        rng = np.random.default_rng(7)
        samples = [random_feeds(interpreter, rng) for _ in range(samples)]
    found: dict[str, int] = {}
    seen: dict[str, set] = {}
    for feeds in samples:
        expected = every_tensor(interpreter, feeds)
        names = {number: network.numbers[number] for number in expected}
        names = {number: name for number, name in names.items() if name in network.graph.tensors}  # not the folded
        ours = program.run(dict(zip(network.graph.inputs, feeds, strict=True)), capture=names.values())
        for number, name in names.items():
            theirs, mine = expected[number], ours[name]
            assert theirs.shape == mine.shape, name
            assert theirs.dtype in {mine.dtype, np.dtype(np.int32)}, name
            found[name] = found.get(name, 0) + int(np.count_nonzero(theirs != mine))
            if name in network.graph.outputs:
                seen.setdefault(name, set()).update(np.unique(theirs)[:least].tolist())
    assert all(len(values) >= least for values in seen.values()), "an output is constant: the case says nothing"
    return found
