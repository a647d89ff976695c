"""Works for a worker that does not see the job's files: the same results, from values that were sent."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimai import load_config
from slimai.app.candidates.choose import candidates, quantizer_for
from slimai.app.candidates.programs import Planned
from slimai.app.float_pass.shared import calibrate, reference
from slimai.app.float_pass.work import CalibrationWork, OpenWork, ReferenceWork
from slimai.app.opening.batch_sizes import batch_size
from slimai.app.opening.content_keys import graph_hash
from slimai.app.opening.open_job import prepare
from slimai.app.run.carried import Blocks, JobCarrier, block_images, unpacked
from slimai.app.run.worker import UnitWork
from slimai.artifacts.cache import Cache
from slimai.data.sample import Sample
from slimai.errors import InputError, SlimaiError
from slimai.quantizer.rewrites.aids import AS_IT_IS
from slimai.search.events import Silent
from slimai.search.race import image_order
from slimai.search.units import Unit, measure

IMAGES = 24


@dataclass(frozen=True)
class Stored:
    """A handle whose arrays cannot be written, as those of an object store."""

    data: bytes

    def get(self):
        value = ForkingPickler.loads(self.data)
        for item in value.values() if isinstance(value, dict) else ():
            item.flags.writeable = False
        return value


def share(value):
    return Stored(bytes(ForkingPickler.dumps(value)))


def sent(value):
    """Return what another process gets."""
    return ForkingPickler.loads(ForkingPickler.dumps(value))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return (job, its carrier, validation, cache) of a run whose files are gone since."""
    folder = tmp_path_factory.mktemp("run")
    data = folder / "data"
    examples = Path(__file__).resolve().parents[3] / "examples" / "data"
    shutil.copytree(examples / "digits_cls", data)
    shutil.copy(examples / "models" / "mobilenet_digits.onnx", data / "digits.onnx")
    config = load_config(
        "+model=mobilenet_digits",
        f"path.image_dir={data}",
        f"network.input_model={data / 'digits.onnx'}",
        f"path.output_dir={folder / 'out'}",
        f"dataset.validation_count={IMAGES}",
        "dataset.calibration_count=12",
        "quantization.weight_rounding=nearest",
    )
    job = prepare(config)
    cache = Cache(folder / "cache")
    quantizer = quantizer_for(job, lambda graph, _: calibrate(job, graph, cache, Silent()))
    planned = Planned(quantizer)
    validation = replace(reference(job, folder / "spill", Silent()), batch=5)
    carrier = JobCarrier(job, 1 << 30, image_order(IMAGES, 3), quantizer.networks, planned, validation)
    return job, carrier, quantizer, validation


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_unit_has_the_records_of_the_main_process(run, monkeypatch, block):
    job, carrier, quantizer, validation = run
    one = validation.inputs.pick([0])
    monkeypatch.setattr("slimai.app.run.carried.BLOCK_BYTES", block * sum(array.nbytes for array in one.values()))
    assert block_images(validation.inputs, IMAGES) == min(block, IMAGES)
    carrier = replace(carrier, _blocks={}, _plans={}, _places={})
    candidate = candidates(job.config)[0]
    carrier.planned.prepare(candidate)
    worker = sent(carrier.spec()).open(lambda: False)
    for indices in (carrier.order[:8], carrier.order[8:], [5], range(IMAGES)):
        unit = Unit(candidate, tuple(indices))
        own = measure(unit, lambda item: quantizer(item).runner(), validation, job.metric)
        work = carrier.work(UnitWork.sent(unit, validation, {}), share)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", None)
            patch.setattr(Path, "read_bytes", None)
            found = sent(work).run(worker)
        assert (found.error, found.complete) == (None, True)
        assert bytes(ForkingPickler.dumps(found.records)) == bytes(ForkingPickler.dumps(sent(own.records)))
    assert len(carrier._plans) == 1


def test_parts_of_the_float_passes_have_the_bits_of_the_main_process(run):
    job, carrier, quantizer, validation = run
    graph = quantizer.networks.graph(AS_IT_IS)
    worker = sent(carrier.spec()).open(lambda: False)
    work = CalibrationWork(AS_IT_IS, graph_hash(graph), job.config.quantization.bins, batch_size(graph), 0, 12)
    sent(carrier.work(OpenWork(replace(work, stop=0)), share)).run(worker)
    found = sent(carrier.work(work, share)).run(worker)
    _, own = quantizer.networks.get(AS_IT_IS)
    assert found.images == own.images == 12
    for name, item in own.tensors.items():
        assert np.array_equal(item.histogram.counts, found[name].histogram.counts)
        assert (item.minimum, item.maximum) == (found[name].minimum, found[name].maximum)
        assert np.array_equal(item.extremes, found[name].extremes)
    samples, inputs, outputs = sent(carrier.work(ReferenceWork(4, 9), share)).run(worker)
    assert tuple(samples) == tuple(validation.samples[4:9])
    for arrays, kept in ((inputs, validation.inputs), (outputs, validation.reference)):
        for name, array in kept.get(4, 9).items():
            assert np.array_equal(arrays[name], array)


def test_what_is_wrong_with_an_image_names_the_file_it_came_from(tmp_path):
    file = tmp_path / "some" / "picture.png"
    sample = Sample(0, (file,))

    def fails(kind):
        with unpacked([sample], ((b"no picture",),)) as samples:
            [there] = samples[0].files
            assert (there.name, there.read_bytes()) == ("picture.png", b"no picture")
            raise kind(there)

    with pytest.raises(InputError) as caught:
        fails(lambda path: InputError.at(str(path), f"{path} is no picture"))
    assert str(caught.value) == f"{file}: {file} is no picture"
    with pytest.raises(SlimaiError) as caught:
        fails(lambda path: SlimaiError(f"{path} cannot be read"))
    assert str(caught.value) == f"{file} cannot be read"


def test_a_metric_that_is_a_file_is_refused_by_name(run, tmp_path, monkeypatch):
    job, carrier, _, _ = run
    monkeypatch.setattr("slimai.app.run.carried.METRICS", {})
    monkeypatch.setattr("slimai.app.run.carried.find_plugin", lambda *_: tmp_path / "top1.py")
    with pytest.raises(SlimaiError) as caught:
        carrier.spec()
    assert str(caught.value) == (
        "metric.metric_cls: top1 is a file that a node of the Ray cluster does not see, as it does not see "
        f"{job.config.path.output_dir}; put path.output_dir and path.tmp_dir on a disk that all nodes share"
    )


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 13), st.integers(1, 20))
def test_blocks_give_the_rows_that_are_asked_for(random, size, count):
    values = np.arange(24.0).reshape(12, 2)
    order = random.sample(range(12), 12)
    numbers = sorted(random.sample(range(11 // size + 1), random.randint(1, 11 // size + 1)))
    blocks = tuple(share({"x": values[order[number * size : (number + 1) * size]]}) for number in numbers)
    places = {order[place]: place for place in range(12) if place // size in numbers}
    found = Blocks(("x",), places, tuple(number * size for number in numbers), blocks)
    asked = random.choices(sorted(places), k=count)
    rows = found.pick(asked)["x"]
    assert np.array_equal(rows, values[asked])
    rows[0] = 0.0  # they are one's own
