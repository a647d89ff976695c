"""What a run on a Ray cluster costs beside its work, measured on small clusters and simulated for large ones.

Usage: python benchmarks/scale.py [--nodes 2,4] [--units 24] [--seconds 0.25] [--repeats 3] [--no-cluster]
                                  [--images 50000] [--candidates 32] [--link 10]

The measurement makes clusters of one machine (`ray.cluster_utils.Cluster`: a head without a CPU, nodes of one each;
needs slimai[ray]) and runs units through the very workers of a search. A unit sleeps for a known time: it takes no
processor, so nodes that share two cores do not disturb each other, and what passes beyond that time is overhead. Of the
main process the processor time is taken, which a loaded machine hardly changes. The model (scale_model.py) gets its
costs from one node and has to foretell the larger clusters; then it is asked for clusters that nobody has measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scale_model import Costs, Finished, Network, Piece, calibration, exhaustive, reference, simulate

GIB, MIB = 1 << 30, 1 << 20
STARTS = 3
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000)
# MobileNetV2 at 224 x 224 on one thread, F = 3.5 ms (benchmarks/README.md): an image 1.4 F, with its float reference
# and reading of the picture 1.3 F, in the calibration pass 4.3 F and the picture; a candidate 2.5 F to plan and name,
# 2.8 F to compile. Statistics of 66 tensors, and a plan with its weights, as they are sent; merging is 7 ms, receiving
# about as much
MOBILENET = Network(
    image=0.0049,
    float_image=0.0045,
    calibrate=0.0165,
    plan=0.009,
    compile=0.010,
    plan_bytes=17_800_000,
    input_bytes=224 * 224 * 3 * 4,
    file_bytes=110_000,
    statistics_bytes=8_200_000,
    merge=0.015,
)


@dataclass(frozen=True)
class Empty:
    """A job without anything to open."""

    def seen(self) -> bool:
        """Return True."""
        return True

    def open(self, stopped: Callable[[], bool]) -> None:
        """Open nothing."""


@dataclass(frozen=True)
class Sleep:
    """Work of a known time that takes no processor; records as a unit of a search returns them."""

    seconds: float
    records: int = 64
    machine_bits: ClassVar[bool] = False

    def run(self, worker: None) -> list[dict[str, Any]]:
        """Return records as `top1` makes them."""
        del worker
        time.sleep(self.seconds)
        return [{"image": index, "label": np.array([1]), "best": np.array([1])} for index in range(self.records)]


@dataclass(frozen=True)
class Read:
    """Gets a value of the object store and returns the seconds that this takes."""

    handle: Any
    machine_bits: ClassVar[bool] = False

    def run(self, worker: None) -> float:
        """Return seconds."""
        del worker
        start = time.perf_counter()
        self.handle.get()
        return time.perf_counter() - start


@dataclass(frozen=True)
class Run:
    """units: how many. seconds: from the first to the last result. main: processor seconds of the main process."""

    units: int
    seconds: float
    main: float


def timed(actors: Any, units: int, seconds: float) -> Run:
    """Return what so many units take on actors that have begun."""
    clock, processor = time.perf_counter(), time.process_time()
    for _ in actors.run(Sleep(seconds) for _ in range(units)):
        pass
    return Run(units, time.perf_counter() - clock, time.process_time() - processor)


def patient(step: Callable[[], Any]) -> Any:
    """Return what a step does that Ray gives up after 30 s, which a busy machine may need: it is tried three times."""
    for _ in range(STARTS - 1):
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - as Ray raises it
            print(f"once more: {error}", file=sys.stderr)
    return step()


class Small:
    """A cluster of this machine whose nodes are added one by one."""

    def __init__(self) -> None:
        os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: others on this machine would be measured
        import ray
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = patient(lambda: Cluster(initialize_head=True, head_node_args=head))
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")
        self.nodes = 0

    def have(self, count: int) -> None:
        """Add nodes until there are so many."""
        while self.nodes < count:
            patient(lambda: self.cluster.add_node(num_cpus=1))
            self.nodes += 1

    def actors(self, count: int) -> Any:
        """Return so many workers that have begun."""
        from slimai.app.execution.ray_actors import Actors

        found = Actors(Empty(), count)
        found.open(Sleep(0.0))
        while not found.ready():
            time.sleep(0.05)
        return found

    def close(self) -> None:
        """Stop it."""
        import ray

        ray.shutdown()
        self.cluster.shutdown()


def measured(sizes: list[int], units: int, seconds: float, repeats: int) -> Iterator[tuple[int, list[Run]]]:
    """Yield the runs on one node, and on each of these numbers of nodes; `units` a node."""
    small = Small()
    try:
        for size in [1, *sizes]:
            small.have(size)
            actors = small.actors(size)
            yield size, [timed(actors, units * size, seconds) for _ in range(repeats)]
            if size == max(sizes):
                _print_store(actors, size)
            actors.close()
    finally:
        small.close()


def _print_store(actors: Any, nodes: int) -> None:
    """Print what it takes to put a block of images into the object store, and each node to get it."""
    block = np.zeros(8 * MIB, np.uint8)
    start = time.perf_counter()
    handle = actors.share({"input": block})
    put = time.perf_counter() - start
    got = list(actors.run(Read(handle) for _ in range(nodes)))
    print(f"a block of 8 MiB: {1000 * put:.0f} ms to put, {1000 * statistics.median(got):.0f} ms for a node to get\n")


def costs_of(runs: list[Run], seconds: float) -> Costs:
    """Return the costs of the model, of the run on one node that was disturbed least."""
    best = min(runs, key=lambda run: run.seconds)
    hand_out = min(run.main / run.units for run in runs)
    return Costs(hand_out, max(0.0, best.seconds / best.units - seconds - hand_out))


def compare(sizes: list[int], units: int, seconds: float, repeats: int) -> Costs:
    """Print measured against simulated; return the costs that one node has told."""
    costs = None
    print("| nodes | units | work, ms | overhead, ms: best, median | main process, ms | s: best, median | model, s |")
    print("|---|---|---|---|---|---|---|")
    for size, runs in measured(sizes, units, seconds, repeats):
        costs = costs or costs_of(runs, seconds)
        over = [1000 * (run.seconds * size / run.units - seconds) for run in runs]
        main = min(1000 * run.main / run.units for run in runs)
        told = simulate((Piece(seconds) for _ in range(units * size)), size, costs).seconds
        whole = [run.seconds for run in runs]
        print(
            f"| {size} | {units * size} | {1000 * seconds:.0f} | {min(over):.1f}, {statistics.median(over):.1f} "
            f"| {main:.2f} | {min(whole):.2f}, {statistics.median(whole):.2f} | {told:.2f} |",
            flush=True,
        )
    assert costs is not None
    return costs


def plan(costs: Costs, network: Network, images: int, candidates: int, rate: float) -> None:
    """Print what the model says of `images` images on growing clusters, with and without a common disk."""
    for shared in (True, False):
        print(f"\n{'common disk' if shared else 'object store'}, {images} images, {candidates} candidates")
        print("| nodes | calibration, s | float reference, s | search, s | speed-up | a node | main process busy |")
        print("|---|---|---|---|---|---|---|")
        base = None
        for size in SIZES:
            found = passes(costs, network, images, candidates, size, rate, shared=shared)
            whole = sum(item.seconds for item in found)
            base = base or whole
            search = found[-1]
            print(
                f"| {size} | {' | '.join(f'{item.seconds:.0f}' for item in found)} | {base / whole:.1f} "
                f"| {100 * base / whole / size:.0f} % | {100 * search.main / search.seconds:.0f} % |"
            )


def passes(
    costs: Costs, network: Network, images: int, candidates: int, nodes: int, rate: float, *, shared: bool
) -> tuple[Finished, Finished, Finished]:
    """Return calibration, float reference and search; the nodes start in the first."""
    costs = replace(costs, main_rate=rate, node_rate=rate)
    return (
        simulate(
            calibration(network, images, nodes, part_seconds=2.0, shared=shared), nodes, replace(costs, start=5.0)
        ),
        simulate(reference(network, images, disk_rate=GIB, shared=shared), nodes, costs),
        simulate(exhaustive(network, images, candidates, nodes, piece_images=64, shared=shared), nodes, costs),
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", default="2,4")
    parser.add_argument("--units", type=int, default=24, help="units a node")
    parser.add_argument("--seconds", type=float, default=0.25, help="that a unit sleeps")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-cluster", action="store_true", help="the plan alone, with 3 ms a unit and 3 ms a turn")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--link", type=float, default=10.0, help="gigabits a second of every machine")
    given = parser.parse_args()
    costs = Costs(0.003, 0.003)
    if not given.no_cluster:
        costs = compare([int(item) for item in given.nodes.split(",")], given.units, given.seconds, given.repeats)
    print(f"{1000 * costs.hand_out:.2f} ms of the main process a unit, {1000 * costs.turn:.2f} ms a turn")
    plan(costs, MOBILENET, given.images, given.candidates, given.link * 1e9 / 8)


if __name__ == "__main__":
    main()
