"""Feeds made inputs to readers in a process of its own, and watches: no traceback, 10 s of processor, 1 GiB."""

from __future__ import annotations

import multiprocessing
import random
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS = 10.0  # of processor for one input
MEMORY = 2**30  # bytes of the whole process
FEWEST = 500  # inputs of each kind, before the rest of the time is shared
ADDRESS_SPACE = 6 * 2**30  # beyond it allocations fail: the machine is not to swap


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    make: the bytes of an input. parse: the first parser's result, or an InputError. use: what is done with that result
    (the whole reader, from the file). Both get the file; `use` gets the result too.
    """

    name: str
    suffix: str
    make: Callable[[random.Random], bytes]
    parse: Callable[[Path], Any]
    use: Callable[[Path, Any], None]


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    count: int = 0
    past: int = 0
    refused: int = 0
    processor: float = 0.0
    slowest: float = 0.0


@dataclass
class Report:
    """The tallies by kind, the faults that were found, and the largest memory."""

    seed: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    memory: int = 0

    @property
    def count(self) -> int:
        return sum(item.count for item in self.tallies.values())

    @property
    def past(self) -> int:
        return sum(item.past for item in self.tallies.values())

    def text(self) -> str:
        """Return the table that a run prints."""
        rows = [f"seed {self.seed}: {self.count} inputs, {self.past} past the first parser, {self.memory >> 20} MiB"]
        for name, item in sorted(self.tallies.items()):
            share = 100 * item.past / max(item.count, 1)
            rows.append(
                f"  {name:<14}{item.count:>7} inputs {share:>5.0f} % past the first parser {item.refused:>7} refused"
                f" {item.processor:>7.1f} s, slowest {item.slowest:.2f} s"
            )
        return "\n".join([*rows, *self.faults])


class Overrun(BaseException):
    """The processor time of one input is used up."""


def _overrun(*_: object) -> None:
    raise Overrun


def one(kind: Kind, seed: int, index: int, folder: Path, tally: Tally, limit: float) -> str:
    """Run one input; return what is wrong, or an empty string."""
    from slimai.errors import InputError

    rng = random.Random(f"{seed}:{kind.name}:{index}")
    path = folder / f"input{kind.suffix}"
    path.write_bytes(kind.make(rng))
    tally.count += 1
    started, wrong = time.process_time(), ""
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        parsed = kind.parse(path)
        tally.past += 1
        kind.use(path, parsed)
    except InputError as error:
        tally.refused += 1
        told = str(error)
        wrong = "a traceback in the message" if "Traceback" in told else "" if told.strip() else "an empty message"
    except Overrun:
        wrong = f"more than {limit:g} s of processor"
    except RecursionError:
        wrong = "RecursionError"
    except Exception:  # noqa: BLE001 - it is what is looked for
        wrong = traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    spent = time.process_time() - started
    tally.processor += spent
    tally.slowest = max(tally.slowest, spent)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return wrong or (f"{grown >> 20} MiB of memory" if grown > MEMORY else "")


def _serve(
    pipe: Connection,
    names: Sequence[str],
    seed: int,
    seconds: float,
    folder: Path,
    first: dict[str, int],
    limit: float,
    sabotage: str,
) -> None:
    """Be the process: tell each input before it is run, and its tally behind it."""
    from tests.fuzz.kinds import KINDS, SABOTAGE

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGPROF, _overrun)
    warnings.simplefilter("error", RuntimeWarning)  # numbers that overflowed, or are none, are no answer
    kinds = {kind.name: kind for kind in KINDS if kind.name in names}
    if sabotage:
        SABOTAGE[sabotage]()
    tallies = {name: Tally() for name in kinds}
    index = dict(first)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        name = min(kinds, key=lambda item: (min(index[item], FEWEST), tallies[item].processor))
        pipe.send(("begin", name, index[name]))
        wrong = one(kinds[name], seed, index[name], folder, tallies[name], limit)
        pipe.send(("end", name, tallies[name], wrong, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        index[name] += 1
        if wrong:
            return  # a fresh process goes on: memory and state of this one are not to be trusted
    pipe.send(("done",))


def fuzz(
    names: Sequence[str],
    seed: int,
    seconds: float,
    folder: Path,
    *,
    most_faults: int = 20,
    limit: float = SECONDS,
    sabotage: str = "",
) -> Report:
    """Return what inputs of the kinds `names` did within so many seconds; faulty inputs stay in `folder`.

    sabotage: the name of a cure that is taken out, to see that its loss is found.
    """
    report = Report(seed, {name: Tally() for name in names})
    context = multiprocessing.get_context("spawn")
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and len(report.faults) < most_faults:
        mine, theirs = context.Pipe(duplex=False)
        first = {name: report.tallies[name].count for name in names}
        left = max(1.0, ends - time.monotonic())
        process = context.Process(target=_serve, args=(theirs, names, seed, left, folder, first, limit, sabotage))
        process.start()
        theirs.close()
        before = {name: Tally(**vars(tally)) for name, tally in report.tallies.items()}
        _follow(mine, process, report, before, folder, limit)
        process.join(10)
        process.kill()
    return report


def _follow(
    pipe: Connection, process: Any, report: Report, before: dict[str, Tally], folder: Path, limit: float
) -> None:
    """Take in what the process tells, until it ends; one that dies or hangs is a fault of its input."""
    name, index = "", 0
    while True:
        try:
            told = pipe.recv() if pipe.poll(limit * 6 + 60) else None
        except EOFError:
            told = ("died",)
        if told is None or told[0] == "died":
            what = "no end" if told is None else f"the process died ({process.exitcode})"
            if name:
                report.tallies[name].count += 1
                _keep(report, name, index, what, folder)
            return
        if told[0] == "done":
            return
        if told[0] == "begin":
            _, name, index = told
            continue
        _, name, tally, wrong, memory = told
        report.memory = max(report.memory, memory)
        total, old = report.tallies[name], before[name]
        total.count, total.past = old.count + tally.count, old.past + tally.past
        total.refused, total.processor = old.refused + tally.refused, old.processor + tally.processor
        total.slowest = max(old.slowest, tally.slowest)
        if wrong:
            _keep(report, name, index, wrong, folder)
            return


def _keep(report: Report, name: str, index: int, wrong: str, folder: Path) -> None:
    report.faults.append(f"{name} input {index} (seed {report.seed}): {wrong.strip()}")
    for path in folder.glob("input.*"):
        path.rename(folder / f"fault-{name}-{index}{path.suffix}")
