"""Damaged TFLite files: an error that names the file, or a network; never another exception, a hang or much memory."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
from small_network import small_network

from slimai.errors import InputError
from slimai.graph.tflite.load import load_tflite
from slimai.quantizer.prequantized import stored_plan
from slimai.schema.target import TargetSection
from slimai.simulator.program import compile_plan

LARGEST_GROWTH = 300 * 1024  # KiB of resident memory over a whole run
LONGEST = 5.0  # seconds for one file


def mutated(rng, data: bytes) -> bytes:
    """Return the file with bits flipped, words replaced, a piece cut out, repeated or the end cut off."""
    raw = bytearray(data)
    kind = rng.integers(0, 6)
    if kind == 0:
        for place in rng.integers(0, len(raw), rng.integers(1, 5)):
            raw[place] ^= 1 << rng.integers(0, 8)
    elif kind == 1:
        place = int(rng.integers(0, len(raw) // 4)) * 4
        word = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4, 2**16, len(raw), int(rng.integers(0, 2**32))])
        raw[place : place + 4] = int(word).to_bytes(4, "little")
    elif kind == 2:
        place = int(rng.integers(0, len(raw) // 2)) * 2
        raw[place : place + 2] = rng.integers(0, 256, 2).astype(np.uint8).tobytes()
    elif kind == 3:
        del raw[int(rng.integers(8, len(raw))) :]
    elif kind == 4:
        first, size = int(rng.integers(8, len(raw))), int(rng.integers(1, 64))
        del raw[first : first + size]
    else:
        first, second = rng.integers(8, len(raw) - 64, 2)
        raw[first : first + 64] = raw[second : second + 64]
    return bytes(raw)


def run(plan) -> None:
    """Run the plan where it is not much larger than the sound network."""
    if sum(int(np.prod(plan.graph.shape(name))) for name in plan.graph.activations()) > 20_000:
        return
    program = compile_plan(plan, TargetSection(), arithmetic="gemmlowp")
    feeds = {name: np.zeros(plan.graph.shape(name), np.float32) for name in plan.graph.inputs}
    outputs = program.run(feeds)
    assert all(outputs[name].shape == plan.graph.shape(name) for name in plan.graph.outputs)


def read_mutants(path, count, seed):
    """Return how many of `count` mutants were refused; every refusal names the file."""
    rng, models = np.random.default_rng(seed), (small_network(), small_network(float_edges=True))
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for index in range(count):
        path.write_bytes(mutated(rng, models[index % 2]))
        started = time.process_time()  # of a busy machine others take the rest
        try:
            network = load_tflite(path)
            plan = stored_plan(network, index % 4)
            if index % 5 == 0:
                run(plan)
        except InputError as error:
            refused += 1
            told = [item.file for item in error.diagnostics]
            length = len(str(error))
        else:
            told, length = [], 0
        assert set(told) <= {str(path)}
        assert length < 100_000
        assert time.process_time() - started < LONGEST
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGEST_GROWTH
    return refused


def test_two_hundred_mutants(tmp_path):
    refused = read_mutants(tmp_path / "broken.tflite", 200, 1)
    assert 50 <= refused < 200  # some change only a weight or a name


@pytest.mark.slow
def test_five_thousand_mutants(tmp_path):
    refused = read_mutants(tmp_path / "broken.tflite", 5000, 2)
    assert 1250 <= refused < 5000


@pytest.mark.parametrize("keep", [0, 3, 7, 8, 12, 40, 200])
def test_cut_files(tmp_path, keep):
    path = tmp_path / "short.tflite"
    path.write_bytes(small_network()[:keep])
    with pytest.raises(InputError, match=r"short\.tflite: is (not a TFLite file|a damaged TFLite file)"):
        load_tflite(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.tflite: cannot be read: No such file"):
        load_tflite(tmp_path / "none.tflite")


def test_an_onnx_file_under_a_wrong_name(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x08\x07\x12\x07pytorch" * 20)
    with pytest.raises(InputError, match=r"model\.tflite: is not a TFLite file \(no TFL3 mark\)"):
        load_tflite(path)
