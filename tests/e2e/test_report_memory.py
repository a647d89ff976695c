"""What the report holds: one trial at a time, and under a limit nothing that can be made again. The answers stay."""

from __future__ import annotations

import json
from weakref import WeakSet

import pytest

from slimai import load_config, run
from slimai.app.candidates.room import Room
from slimai.app.delivery import inspection, remedy_programs
from slimai.report import alone

WORDS = (
    "+model=mobilenet_digits",
    "quantization.accuracy_level=[3]",
    "quantization.range=100",
    "quantization.weight_rounding=nearest",
    "dataset.calibration_count=16",
    "dataset.validation_count=12",
)


class Watch:
    """Trial programs and chains of sessions that somebody still holds, and how often memory was given back."""

    def __init__(self, monkeypatch):
        self.programs, self.chains = WeakSet(), WeakSet()
        self.built = self.made = self.spared = self.most = 0
        compiled, chain, spare = remedy_programs.compile_plan, alone.RoundingChain, inspection.Inspection._spare
        make = Room.make

        def watched(*words, **named):
            self.built += 1
            self.most = max(self.most, len(self.programs))
            program = compiled(*words, **named)
            self.programs.add(program)
            return program

        def chained(*words, **named):
            self.made += 1
            made = chain(*words, **named)
            self.chains.add(made)
            return made

        def spared(inspector):
            spare(inspector)
            self.spared += 1
            assert not self.chains, "sessions of the roundings are still held"
            assert not inspector.quantizer.store._tensors

        def room_made(room):
            make(room)
            assert not self.programs, "a trial is still held when room is made"

        monkeypatch.setattr(remedy_programs, "compile_plan", watched)
        monkeypatch.setattr(alone, "RoundingChain", chained)
        monkeypatch.setattr(inspection.Inspection, "_spare", spared)
        monkeypatch.setattr(Room, "make", room_made)


@pytest.fixture
def job(tmp_path, cache_dir, monkeypatch):
    """Return a function that runs the job, watched, and gives what was seen and what was saved."""

    def start(name, *words):
        with monkeypatch.context() as patches:
            watch, folder = Watch(patches), tmp_path / name
            run(load_config(*WORDS, f"path.output_dir={folder}", f"path.tmp_dir={cache_dir}", *words))
        saved = json.loads((folder / ".slimai" / "report.json").read_text(encoding="utf-8"))
        return watch, {key: value for key, value in saved.items() if key not in ("key", "config")}

    return start


@pytest.mark.slow
def test_a_limit_changes_what_is_held_and_nothing_else(job):
    free, wanted = job("free", "smart_search.memory_limit=1TiB")
    tight, found = job("tight", "smart_search.memory_limit=1")
    assert found == wanted
    assert free.built == tight.built > 4
    assert (free.most, tight.most) == (0, 0), "trials are held beside each other"
    assert (free.spared, free.made) == (0, 1)
    assert tight.spared > tight.built
    assert tight.made > 1
    assert any(row["score_loss"] is not None for row in wanted["suspects"])
