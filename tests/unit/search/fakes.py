"""A network whose outputs are looked up, so that a search can be tested without one."""

from contextlib import contextmanager
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import numpy as np

from slimai.artifacts.journal import Journal
from slimai.artifacts.spill import Spill
from slimai.data.sample import Sample
from slimai.metrics.base import Result
from slimai.search.candidate import Candidate
from slimai.search.evaluate import Validation
from slimai.search.events import Silent
from slimai.search.loop import SearchSetup
from slimai.search.stopwatch import Stopwatch
from slimai.search.units import Inline


class Loud:
    """A reporter that keeps the warnings and the notes."""

    def __init__(self):
        self.warnings, self.notes = [], []

    @contextmanager
    def stage(self, title, total):  # noqa: ARG002
        yield self

    def advance(self, steps=1):
        pass

    def note(self, text):
        self.notes.append(text)

    def line(self, text):
        pass

    def warn(self, text):
        self.warnings.append(text)


class MeanMetric:
    """The mean of the one output; per image unless `set_only`."""

    name = "mean"
    uses_float = False
    higher_is_better = True
    value_range = (0.0, 1.0)

    def __init__(self, *, set_only=False):
        self.set_only = set_only

    def measure(self, sample, outputs, reference):  # noqa: ARG002
        return {"score": np.float64(outputs[0].reshape(-1)[0])}

    def combine(self, records):
        values = np.array([float(record["score"]) for record in records])
        mean = float(values.mean())
        return Result(mean, mean, {"mean": mean}, None if self.set_only else values)


class FakePrepared:
    """Gives `scores[image]`; counts the images it ran in `log`."""

    def __init__(self, key, scores, log, latency=1.0, on_run=lambda: None, arena=100):
        self.key, self.scores, self.log, self.latency_ms, self.on_run = key, scores, log, latency, on_run
        self.arena = arena

    def runner(self):
        def run(feeds):
            rows = feeds["x"][:, 0].astype(int)
            self.on_run()
            self.log.extend((self.key, int(row)) for row in rows)
            return {"y": self.scores[rows][:, None].astype(np.float32)}

        return run


def key_of(index):
    """Return a key as the hash of integer parameters looks."""
    return sha256(str(index).encode()).hexdigest()


def validation(tmp_path: Path, images: int, batch: int = 4, floats=None) -> Validation:
    inputs, reference = Spill(tmp_path / "in", images), Spill(tmp_path / "ref", images)
    inputs.put(0, {"x": np.arange(images, dtype=np.float32)[:, None]})
    scores = np.zeros(images) if floats is None else np.asarray(floats)
    reference.put(0, {"y": scores[:, None].astype(np.float32)})
    samples = tuple(Sample(index, (Path(f"{index}.png"),)) for index in range(images))
    return Validation(samples, inputs, reference, ("y",), batch)


def setup(
    tmp_path,
    tables,
    *,
    images=None,
    keys=None,
    log=None,
    metric=None,
    on_run=lambda: None,
    watch=None,
    reporter=None,
    floats=None,
    **settings,
):
    """Return (setup, log) of one candidate a table of per-image scores; floats: those of the float network, or 0."""
    images = images or len(tables[0])
    log = [] if log is None else log
    candidates = tuple(Candidate(1, Decimal(90 + index)) for index in range(len(tables)))
    keys = keys or [key_of(index) for index in range(len(tables))]
    made = {
        candidate: FakePrepared(key, np.asarray(table), log, on_run=on_run)
        for candidate, key, table in zip(candidates, keys, tables, strict=True)
    }
    images_set, scored_by = validation(tmp_path, images, floats=floats), metric or MeanMetric()
    journal = Journal(tmp_path / "journal.jsonl")
    watch = watch or Stopwatch(journal, "t")
    return (
        SearchSetup(
            candidates=candidates,
            prepare=made.__getitem__,
            executor=Inline(lambda candidate: made[candidate].runner(), images_set, scored_by, watch.clock),
            validation=images_set,
            metric=scored_by,
            score_key="c" * 64,
            plan_key="p" * 64,
            journal=journal,
            watch=watch,
            records_dir=tmp_path / "records",
            reporter=reporter or Silent(),
            network="net",
            **settings,
        ),
        log,
    )
