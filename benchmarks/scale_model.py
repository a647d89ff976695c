"""A discrete-event model of a run on many nodes: one main process that hands out units, nodes that do them.

What it knows: the main process does one thing at a time (it plans a candidate, hands a unit out, takes a result in),
its network link carries all that it sends and gets, a node does one unit at a time and compiles a candidate that it has
not had. What it does not know: other programs, nodes that differ, failures. benchmarks/scale.py checks it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Seconds and rates. hand_out: of the main process a unit, taking its result in included.

    turn: from a node's last instruction for a unit to its first for the next one, beside `hand_out`. start: until a
    node has begun. main_rate, node_rate: bytes a second over the link of the main process, and of a node.
    """

    hand_out: float
    turn: float
    start: float = 0.0
    main_rate: float = math.inf
    node_rate: float = math.inf


@dataclass(frozen=True)
class Piece:
    """A unit. work: seconds of a node. key: what a node prepares once, in `prepare` seconds, for all units with it.

    before: seconds of the main process before it can be handed out. merge: of the main process for its result. sent:
    bytes that the main process sends for it. read: bytes that its node gets, from whom so ever. returned: bytes of the
    result.
    """

    work: float
    key: object = None
    prepare: float = 0.0
    before: float = 0.0
    merge: float = 0.0
    sent: int = 0
    read: int = 0
    returned: int = 0


@dataclass(frozen=True)
class Finished:
    """seconds: from the first unit to the last result. main: of these the main process was busy. link: its link was."""

    seconds: float
    main: float
    link: float


def simulate(pieces: Iterable[Piece], nodes: int, costs: Costs) -> Finished:
    """Return how long `nodes` nodes take for the pieces, handed out in order, each to the node that is free first."""
    waiting = [(costs.start, node) for node in range(nodes)]  # when a node is free, as the main process learns it
    known: list[set[object]] = [set() for _ in range(nodes)]
    results: list[tuple[float, float, int]] = []  # when a result has come, seconds to merge it, bytes
    main = link = busy_main = busy_link = 0.0
    for piece in pieces:
        free, node = heapq.heappop(waiting)
        while results and max(main, results[0][0]) < free:  # handing out comes before merging
            main, link, spent, carried = _taken(heapq.heappop(results), main, link, costs)
            busy_main, busy_link = busy_main + spent, busy_link + carried
        spent = piece.before + costs.hand_out
        main = max(main, free) + spent
        carried = piece.sent / costs.main_rate
        link = max(link, main) + carried if piece.sent else link
        busy_main, busy_link = busy_main + spent, busy_link + carried
        begin = (link if piece.sent else main) + piece.read / costs.node_rate
        prepare = 0.0 if piece.key in known[node] else piece.prepare
        known[node].add(piece.key)
        done = begin + prepare + piece.work + costs.turn
        heapq.heappush(waiting, (done, node))
        heapq.heappush(results, (done, piece.merge, piece.returned))
    while results:
        main, link, spent, carried = _taken(heapq.heappop(results), main, link, costs)
        busy_main, busy_link = busy_main + spent, busy_link + carried
    return Finished(max(main, link), busy_main, busy_link)


def _taken(
    result: tuple[float, float, int], main: float, link: float, costs: Costs
) -> tuple[float, float, float, float]:
    """Return when main process and link are free after a result, and the seconds that it took of each."""
    come, merge, size = result
    carried = size / costs.main_rate
    link = max(link, come) + carried if size else link
    main = max(main, link if size else come) + merge
    return main, link, merge, carried


@dataclass(frozen=True)
class Network:
    """What a search costs on one processor, in seconds and bytes: of one image, one candidate.

    image, float_image, calibrate: an image through the integers, the float network, and the calibration pass. plan: of
    the main process. compile: of a node. plan_bytes, input_bytes, file_bytes, statistics_bytes: of a plan, a
    preprocessed image, its file, and of what a part of the calibration pass returns; merge: of the main process for it.
    """

    image: float
    float_image: float
    calibrate: float
    plan: float
    compile: float
    plan_bytes: int
    input_bytes: int
    file_bytes: int
    statistics_bytes: int
    merge: float
    batch: int = 32


def calibration(network: Network, images: int, nodes: int, *, part_seconds: float, shared: bool) -> Iterator[Piece]:
    """Yield the parts of the calibration pass as `slimai.app.execution.crew.parts` cuts them."""
    batches = math.ceil(images / network.batch)
    most = max(1, int(part_seconds / (network.calibrate * network.batch)))
    rounds = math.ceil(batches / (most * nodes))
    step = network.batch * math.ceil(batches / (rounds * nodes))
    for start in range(0, images, step):
        count = min(step, images - start)
        yield Piece(
            count * network.calibrate,
            sent=0 if shared else count * network.file_bytes,
            read=count * network.file_bytes if shared else 0,
            returned=network.statistics_bytes,
            merge=network.merge,
        )


def reference(network: Network, images: int, *, disk_rate: float, shared: bool) -> Iterator[Piece]:
    """Yield the batches of the float reference: inputs and outputs come back and are written to the main disk."""
    for start in range(0, images, network.batch):
        count = min(network.batch, images - start)
        yield Piece(
            count * network.float_image,
            sent=0 if shared else count * network.file_bytes,
            read=count * network.file_bytes if shared else 0,
            returned=count * network.input_bytes,
            merge=count * network.input_bytes / disk_rate,
        )


def exhaustive(
    network: Network, images: int, candidates: int, nodes: int, *, piece_images: int, shared: bool
) -> Iterator[Piece]:
    """Yield the pieces of an exhaustive search as `slimai.app.run.crew_executor.pieces` cuts them.

    Without a common disk the main process sends every plan and image once; nodes that have one give it to others.
    """
    sent_images = 0
    for candidate in range(candidates):
        cut = max(1, min(math.ceil(nodes / (candidates - candidate)), images // piece_images))
        step = network.batch * math.ceil(images / cut / network.batch)
        for place, start in enumerate(range(0, images, step)):
            count = min(step, images - start)
            first = not shared and start + count > sent_images
            fresh = max(0, start + count - sent_images) if first else 0
            sent_images = max(sent_images, start + count) if first else sent_images
            yield Piece(
                count * network.image,
                key=candidate,
                prepare=network.compile + (network.plan if shared else 0.0),
                before=network.plan if place == 0 else 0.0,
                sent=0 if shared else fresh * network.input_bytes + (network.plan_bytes if place == 0 else 0),
                read=count * network.input_bytes,
            )
