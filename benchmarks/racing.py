"""How close racing comes to the exhaustive winner, and how many forwards it spends, on labelled networks.

Usage: SLIMAI_SHARED=../shared python benchmarks/racing.py RECORDS [--networks a,b] [--seeds 10]
       [--guarantee none,certified] [--parts] [--constants]

Every candidate (levels 0-3 x 8 ranges 93..100) is scored once on all images; its records are kept in the folder
RECORDS, and a later call takes them from there. The races are then the real strategy over an executor that serves
stored records, so that ten seeds cost no forward. --parts: the race of a seed is over 4 of 5 images and every second
candidate, drawn by it, so that seeds differ where the order of the images hardly depends on them (scores over a set).
--constants repeats the table for other constants of slimai/search/race.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

NETWORKS = ("kws_dscnn", "resnet20_cifar10", "mobilenet_v1_imagenet")
LEVELS, FIRST, LAST = (0, 1, 2, 3), 93, 100
# CONFIDENCE, GROWTH, PRIOR_IMAGES
CONSTANTS = (
    (1.5, 2, 1.0),
    (2.0, 2, 1.0),
    (2.5, 2, 1.0),
    (3.0, 2, 1.0),
    (2.5, 2, 0.25),
    (2.5, 2, 2.0),
    (2.0, 3, 1.0),
    (2.5, 3, 1.0),
)


@dataclass(frozen=True)
class Scored:
    """A candidate with its records on all images, in image order."""

    candidate: Any
    key: str
    latency_ms: float | None
    records: tuple[Any, ...]


@dataclass(frozen=True)
class Prepared:
    """What a race wants to know of a quantized candidate."""

    key: str
    latency_ms: float | None
    arena: int | None = None


@dataclass(frozen=True)
class Network:
    """A labelled network: its metric, its candidates with their records, and the float network's records."""

    metric: Any
    table: tuple[Scored, ...]
    floats: tuple[Any, ...]


@dataclass(frozen=True)
class Race:
    """score: the winner's score on all images. images: those run, each of each distinct candidate once."""

    score: float
    images: int
    finalists: int


class Replayed:
    """A metric that finds the float network's record of an image in place of its sample."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metric, name)

    def measure(self, sample: Any, outputs: Any, reference: Any) -> Any:
        """Return the record that the sample is."""
        del outputs, reference
        return sample


class NoArrays:
    """Stands for the float outputs, of which only the records are stored."""

    def pick(self, indices: Sequence[int], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Return no array."""
        del indices, names
        return {}


class Stored:
    """Serves units from stored records and counts the images."""

    def __init__(self, table: Sequence[Scored]) -> None:
        self._rows = {item.candidate: item.records for item in table}
        self.images = 0

    def stream(self, units: Iterable[Any], on_batch: Any) -> Iterator[Any]:
        """Yield the stored records of each unit."""
        from slimai.search.units import Measured

        for unit in units:
            self.images += len(unit.indices)
            records = tuple(self._rows[unit.candidate][index] for index in unit.indices)
            on_batch(len(records), records)
            yield Measured(records, complete=True)

    def close(self) -> None:
        """Nothing is held."""


def config_of(name: str, work: Path, images: int) -> Any:
    """Return the preset's configuration with the 32 candidates."""
    from accuracy_bench import preset

    config = preset(name, work)
    data = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    data["quantization"] |= {"accuracy_level": list(LEVELS), "range": f"{FIRST}:{LAST}:1", "weight_rounding": "nearest"}
    if images:
        data["dataset"]["validation_count"] = images
    return type(config).model_validate(data, context={"base": Path(__file__).resolve().parents[1]})


def scored(name: str, folder: Path, work: Path, images: int) -> Network:
    """Return the network with every candidate's records; what RECORDS lacks is measured and kept there."""
    from slimai.app.candidates.choose import candidates
    from slimai.app.candidates.float_networks import FloatNetworks
    from slimai.app.candidates.quantizer import Quantizer
    from slimai.app.float_pass.shared import calibrate, reference
    from slimai.app.opening.open_job import prepare
    from slimai.artifacts.cache import Cache
    from slimai.search.events import Silent
    from slimai.search.records import load_records, save_records
    from slimai.search.units import Unit, measure

    config = config_of(name, work, images)
    job = prepare(config)
    networks = FloatNetworks(job, lambda graph, _: calibrate(job, graph, Cache(folder / "cache"), Silent()))
    quantizer = Quantizer(job, networks)
    validation = None
    count = len(job.validation)
    everything = tuple(range(count))
    table = []
    for candidate in candidates(config):
        item = quantizer(candidate)
        path = folder / f"{name}-{count}-{item.key[:16]}.npz"
        records = tuple(load_records(path))
        if len(records) != count:
            before = time.perf_counter()
            run = item.runner()
            validation = validation or reference(job, work / "spill" / name, Silent())
            records = measure(Unit(candidate, everything), {candidate: run}.__getitem__, validation, job.metric).records
            save_records(path, records)
            score = job.metric.combine(records).score
            print(
                f"{name} L{candidate.level} {candidate.label}: {score:.4f} ({time.perf_counter() - before:.1f} s)",
                flush=True,
            )
        table.append(Scored(candidate, item.key, item.latency_ms, records))
        item.release()
    floats = table[0].records  # where the score is a mean over images a race only asks that of them
    if job.metric.combine(floats[:1]).per_image is None:
        path = folder / f"{name}-{count}-float.npz"
        floats = tuple(load_records(path))
        if len(floats) != count:
            validation = validation or reference(job, work / "spill" / name, Silent())
            floats = tuple(float_records(job.metric, validation))
            save_records(path, floats)
    return Network(job.metric, tuple(table), floats)


def float_records(metric: Any, validation: Any) -> Iterator[Any]:
    """Yield the float network's record of every image."""
    from slimai.search.evaluate import batches, measure_batch

    for indices in batches(range(len(validation.samples)), validation.batch):
        yield from measure_batch(metric, validation, indices, validation.reference.pick(indices))


def part_of(network: Network, seed: int) -> Network:
    """Return the network with 4 of 5 images and every second candidate, drawn by the seed."""
    rng = np.random.default_rng(seed)
    images = np.sort(rng.choice(len(network.floats), len(network.floats) * 4 // 5, replace=False))
    distinct = tuple({item.key: item for item in network.table}.values())
    chosen = np.sort(rng.choice(len(distinct), max(2, len(distinct) // 2), replace=False))
    rows = [replace(distinct[at], records=tuple(distinct[at].records[image] for image in images)) for at in chosen]
    return Network(network.metric, tuple(rows), tuple(network.floats[image] for image in images))


def race(network: Network, seed: int, guarantee: str) -> Race:
    """Return how the race of this seed ends."""
    from slimai.artifacts.journal import Journal
    from slimai.search.evaluate import Validation
    from slimai.search.events import Silent
    from slimai.search.loop import SearchSetup, search
    from slimai.search.stopwatch import Stopwatch

    metric, table = network.metric, network.table
    stored = Stored(table)
    prepared = {item.candidate: Prepared(item.key, item.latency_ms) for item in table}
    samples: Any = network.floats
    nothing: Any = NoArrays()
    with tempfile.TemporaryDirectory() as name:
        journal = Journal(Path(name) / "journal.jsonl")
        setup = SearchSetup(
            candidates=tuple(item.candidate for item in table),
            prepare=prepared.__getitem__,
            executor=stored,
            validation=Validation(samples, nothing, nothing, (), 1),
            metric=Replayed(metric),
            score_key="s" * 64,
            plan_key="p" * 64,
            journal=journal,
            watch=Stopwatch(journal, "t"),
            records_dir=Path(name) / "records",
            reporter=Silent(),
            network="net",
            strategy="racing",
            guarantee=guarantee,
            seed=seed,
        )
        state = search(setup)
    best = state.best
    assert best is not None
    assert best.score is not None
    finalists = len({item.key for item in state.outcomes if item.status == "full"})
    return Race(best.score, stored.images, finalists)


def races(name: str, network: Network, seeds: int, guarantee: str = "none", *, parts: bool = False) -> dict[str, Any]:
    """Return the row of a network: gaps to the exhaustive winner and forwards over the seeds."""
    from slimai.metrics.scores import quick_score

    found = []
    for seed in range(seeds):
        run = part_of(network, seed) if parts else network
        distinct = {item.key: item for item in run.table}
        if parts or not found:
            best = max(float(quick_score(run.metric, item.records) or 0.0) for item in distinct.values())
        ended = race(run, seed, guarantee)
        found.append((best, best - ended.score, len(distinct), len(run.floats), ended))
    gaps = [gap for _, gap, *_ in found]
    return {
        "network": name,
        "images": found[0][3],
        "distinct": found[0][2],
        "best": float(np.mean([best for best, *_ in found])),
        "within": sum(gap <= 0.005 + 1e-12 for gap in gaps),
        "worst_gap": max(gaps),
        "mean_gap": float(np.mean(gaps)),
        "exhaustive": found[0][2] * found[0][3],
        "forwards": float(np.mean([ended.images for *_, ended in found])),
        "finalists": float(np.mean([ended.finalists for *_, ended in found])),
    }


def limits(errors: int, races_run: int) -> tuple[float, float, float]:
    """Return the exact 95 % interval of a share (Clopper and Pearson, 1934) and its one-sided upper 95 % limit."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, errors, races_run - errors + 1)) if errors else 0.0
    tops = [float(beta.ppf(p, errors + 1, races_run - errors)) if errors < races_run else 1.0 for p in (0.975, 0.95)]
    return low, tops[0], tops[1]


def show(row: dict[str, Any], seeds: int, label: str = "") -> None:
    """Print one row of the table."""
    share = row["forwards"] / row["exhaustive"]
    within = f"{row['within']}/{seeds}"
    worse = seeds - row["within"]
    low, high, upper = limits(worse, seeds)
    print(
        f"| {label}{row['network']} | {row['images']} | {row['distinct']} | {row['best']:.4f} | {within} |"
        f" {row['mean_gap']:.4f} | {row['worst_gap']:.4f} | {row['exhaustive']} | {row['forwards']:.0f} ({share:.0%}) |"
        f" {row['finalists']:.1f} | {worse} ({low:.1%}-{high:.1%}; {upper:.1%}) |",
        flush=True,
    )


def main() -> None:
    """Score what is missing, race, print the tables."""
    from slimai.search import contest
    from slimai.search import race as constants

    contest.save_records = lambda *_: None  # no replayed race is resumed
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--images", type=int, default=0, help="validation images a network (0: all)")
    parser.add_argument("--guarantee", default="none", help="none, certified, or both, with a comma")
    parser.add_argument("--parts", action="store_true", help="a part of images and candidates a seed")
    parser.add_argument("--constants", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        tables = {n: scored(n, given.records, Path(work), given.images) for n in given.networks.split(",")}
    print(
        "| network | images | distinct | best | within 0.005 | mean gap | worst gap | exhaustive | racing | finalists |"
        " worse (95 % interval; upper 95 % limit) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, network in tables.items():
        for guarantee in given.guarantee.split(","):
            rows.append(races(name, network, given.seeds, guarantee, parts=given.parts))
            show(rows[-1], given.seeds, f"{guarantee} " if guarantee != "none" else "")
    if given.constants:
        for confidence, growth, prior in CONSTANTS:
            constants.CONFIDENCE, constants.GROWTH, constants.PRIOR_IMAGES = confidence, growth, prior
            for name, network in tables.items():
                show(races(name, network, given.seeds), given.seeds, f"{confidence}/{growth}/{prior} ")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
