"""Searches that are killed: forked from a process that has everything imported, so that many of them cost little."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.e2e.results import result_files

PHASES = ("calibration", "float_inference", "search", "gen_code", "report")
PRELOAD = ("slimai.app.cli", "slimai.app.launch.hydra_job", "hydra", "tests.e2e.killing_warm")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(list(PRELOAD))


def _run(words: tuple[str, ...], log: Path) -> None:
    """Be `slimai words`, in a session of its own; what is said goes to `log`."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores interrupts
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    from slimai.app.cli import main

    sys.exit(main(words))


@dataclass
class Place:
    """An output folder and what runs in it."""

    output: Path
    cache: Path
    words: tuple[str, ...]

    @property
    def log(self) -> Path:
        return self.output.with_suffix(".log")

    @property
    def journal(self) -> Path:
        return self.output / ".slimai" / "journal.jsonl"

    def start(self) -> multiprocessing.process.BaseProcess:
        words = (*self.words, f"path.output_dir={self.output}", f"path.tmp_dir={self.cache}")
        process = _forks.Process(target=_run, args=(words, self.log))
        process.start()
        return process

    def lines(self) -> list[bytes]:
        return self.journal.read_bytes().split(b"\n")[:-1] if self.journal.exists() else []

    def phase(self, before: int) -> str:
        """Return what the last run was doing when it ended, from its folder alone; `before`: journal lines then."""
        done = [name for line in self.lines()[before:] if (name := _stage(line))]
        if not done:
            return PHASES[0] if (self.output / ".slimai.lock").exists() else "start"
        place = PHASES.index(done[-1]) + 1
        return PHASES[place] if place < len(PHASES) else "end"

    def finish(self) -> None:
        """Run to the end."""
        process = self.start()
        process.join(300)
        assert process.exitcode in (0, 3), self.log.read_text()  # 3: done, but a goal that cannot be reached is missed

    def files(self) -> dict[str, bytes]:
        """Return the result files by their path in the output folder."""
        return result_files(self.output)

    def earlier(self) -> dict[str, bytes]:
        """Return the result files of the run before, which a run of another configuration puts aside."""
        return replace(self, output=self.output.with_name(f"{self.output.name}.old-1")).files()

    def kill_in(self, phase: str, share: float, seconds: dict[str, float]) -> str:
        """Start a run, kill it after `share` of the phase; return the phase that it was in, by its folder."""
        before = len(self.lines())
        process = self.start()
        place = PHASES.index(phase)
        while process.is_alive() and not self._begun(place, before):
            time.sleep(0.001)
        time.sleep(share * seconds[phase])
        alive = process.is_alive()
        process.kill()
        process.join(60)
        return self.phase(before) if alive and process.exitcode == -signal.SIGKILL else "end"

    def interrupt_in(self, phase: str, share: float, seconds: dict[str, float]) -> int | None:
        """Start a run, send it Ctrl-C after `share` of the phase; return its exit code."""
        before = len(self.lines())
        process = self.start()
        place = PHASES.index(phase)
        while process.is_alive() and not self._begun(place, before):
            time.sleep(0.001)
        time.sleep(share * seconds[phase])
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
        process.join(120)
        return process.exitcode

    def _begun(self, place: int, before: int) -> bool:
        if place == 0:
            return (self.output / ".slimai.lock").exists()
        return any(_stage(line) == PHASES[place - 1] for line in self.lines()[before:])


def _stage(line: bytes) -> str:
    """Return the stage whose end a journal line tells, or an empty string."""
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return str(found.get("stage", "")) if "time_key" in found else ""
