"""Magnitudes of spectra that 8 bits cannot hold: what a ReduceL2 reads, and what it gives, runs in 16.

Sound has a few loud lines and many quiet ones: on the grid of the loudest, real and imaginary parts of the others are a
handful of integers, whose root is as coarse. Where the whole calibrated range at 8 bits leaves a signal of less than
`LEAST_DB` over rounding (`slimai.quantizer.wide_sums`), the parts have 16 bits from the layer that computes them on;
and so has the magnitude, up to the next layer that computes. Weights have 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slimai.calibration.statistics import Statistics
from slimai.graph.ops import TRAITS
from slimai.quantizer.layers import Step
from slimai.quantizer.levels import Scheme
from slimai.quantizer.plan import Decision
from slimai.quantizer.wide_sums import LEAST_DB, decibels_at_8_bits

_PASSED = ("move", "clamp")


@dataclass(frozen=True)
class WideMagnitudes:
    """datatypes: node name -> (bits read, bits written). decisions: one a tensor that 8 bits cannot hold."""

    datatypes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def wide_magnitudes(stats: Statistics, scheme: Scheme, steps: Sequence[Step]) -> WideMagnitudes:
    """Return what runs wider than the level's own bits; nothing where it has no wider types."""
    wide, own = scheme.raised_bits, scheme.bits
    if wide is None:
        return WideMagnitudes()
    integer = [step for step in steps if step.integer]
    writers = {name: step for step in integer for name in step.outputs}
    reading: set[str] = set()
    writing: set[str] = set()
    told: dict[str, float] = {}
    for step in (item for item in integer if item.node.op == "ReduceL2"):
        if _is_lost(stats, step.inputs[0], told):
            reading.add(step.name)
            _back(step.inputs[0], writers, reading, writing)
        if _is_lost(stats, step.outputs[0], told):
            writing.add(step.name)
            _ahead(step.outputs[0], integer, reading, writing)
    names = [step.name for step in integer if step.name in reading | writing]
    datatypes = {name: (wide if name in reading else own, wide if name in writing else own) for name in names}
    why = "its range at 8 bits leaves a signal of {:.1f} dB over rounding; it is a magnitude, or part of one"
    decisions = tuple(Decision(name, f"runs in {wide} bits", why.format(value)) for name, value in told.items())
    return WideMagnitudes(datatypes, decisions)


def _is_lost(stats: Statistics, tensor: str, told: dict[str, float]) -> bool:
    value = decibels_at_8_bits(stats[tensor]) if tensor in stats else LEAST_DB
    if value < LEAST_DB:
        told[tensor] = value
    return value < LEAST_DB


def _back(tensor: str, writers: Mapping[str, Step], reading: set[str], writing: set[str]) -> None:
    """Let what gives a tensor write it wide, through moves."""
    writer = writers.get(tensor)
    if writer is None or writer.name in writing:
        return
    writing.add(writer.name)
    if TRAITS[writer.node.op].family == "move":
        reading.add(writer.name)
        for name in writer.inputs:
            _back(name, writers, reading, writing)


def _ahead(tensor: str, steps: Sequence[Step], reading: set[str], writing: set[str]) -> None:
    """Let what reads a tensor read it wide, through moves and clamps."""
    for step in steps:
        if tensor not in step.inputs or step.name in reading:
            continue
        reading.add(step.name)
        if TRAITS[step.node.op].family in _PASSED:
            writing.add(step.name)
            for name in step.outputs:
                _ahead(name, steps, reading, writing)
