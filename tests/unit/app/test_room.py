"""What is given back before a step: by a process whose memory is counted, not measured."""

from __future__ import annotations

import pytest

from slimai.app.candidates.memory_limit import MIB
from slimai.app.candidates.room import Room

BASE, STEP = 100 * MIB, 12 * MIB


class Process:
    """Holds STEP more after each step, until it is told to give back."""

    def __init__(self):
        self.held, self.peak, self.spared = BASE, BASE, 0

    def resident(self):
        return self.held

    def spare(self):
        self.held, self.spared = BASE, self.spared + 1

    def step(self):
        self.held += STEP
        self.peak = max(self.peak, self.held)


def steps(limit, count=40):
    process = Process()
    room = Room(limit, process.spare, resident=process.resident)
    for _ in range(count):
        room.make()
        process.step()
    return process


@pytest.mark.parametrize("limit", [130, 160, 250, 400])
def test_the_limit_is_kept_and_room_is_used(limit):
    process = steps(limit * MIB)
    assert process.peak <= limit * MIB
    assert process.spared > 0
    assert process.peak + STEP > 0.9 * limit * MIB


def test_nothing_is_given_back_where_there_is_room():
    assert steps(10000 * MIB).spared == 0


def test_where_nothing_helps_every_step_begins_with_as_little_as_can_be():
    process = steps(50 * MIB, count=5)
    assert (process.peak, process.spared) == (BASE + STEP, 5)
