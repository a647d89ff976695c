"""Devices with one fault: a network's integers as a board would dump them, where one thing was built wrong.

A fault is drawn from a seed; one that changes no integer is drawn again. The oracle of where integers part is a whole
run of both networks with every tensor kept, not the walk that is tested.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from slimai.errors import SlimaiError
from slimai.quantizer.plan import QuantPlan
from slimai.simulator.buffers import BufferPool
from slimai.simulator.program import IntegerStep, Program, compile_layer
from slimai.simulator.requantize import PRESETS, clamp_limits

KINDS = ("scale", "weight", "preset", "bias", "clamp")


@dataclass
class Fault:
    """kind, where it was put (layers whose output it can change first) and, for a preset, its name."""

    kind: str
    suspects: tuple[str, ...]
    preset: str = ""
    told: str = ""


@dataclass
class Board:
    """A faulty device: its tensors, and the truth about it."""

    fault: Fault
    tensors: dict[str, np.ndarray]
    node: str


def tensors_of(program: Program, feeds) -> dict[str, np.ndarray]:
    """Return all integer tensors that layers write."""
    names = [name for layer in program.plan.layers for name in layer.outputs if name in program.plan.tensors]
    found = program.run(feeds, capture=names)
    return {name: np.array(found[name]) for name in names}


def draw(program: Program, target, feeds, rng, kind: str) -> Board:
    """Return a board with a fault of this kind that changes an integer."""
    expected = tensors_of(program, feeds)
    for _ in range(100):
        made = FAULTS[kind](program, target, rng)
        if made is None:
            continue
        faulty, fault = made
        try:
            found = tensors_of(faulty, feeds)
        except SlimaiError:
            continue
        wrong = [name for name in expected if not np.array_equal(expected[name], found[name])]
        if wrong:
            return Board(fault, found, first_node(program.plan, wrong))
    raise AssertionError(f"no fault of kind {kind} changes an integer")


def first_node(plan: QuantPlan, wrong) -> str:
    """Return the first layer, in graph order, of which an output differs."""
    return next(layer.name for layer in plan.layers if set(layer.outputs) & set(wrong))


def _layers(program: Program, wanted=bool):
    return [step.layer for step in program.steps if isinstance(step, IntegerStep) and wanted(step.layer)]


def _with_layer(program: Program, target, layer, preset="") -> Program | None:
    """Return the program with another layer of the same name, or the same layer under another preset."""
    plan, steps = program.plan, list(program.steps)
    at = next(n for n, step in enumerate(steps) if isinstance(step, IntegerStep) and step.layer.name == layer.name)
    try:
        steps[at] = compile_layer(plan, layer, target, preset or steps[at].rule.name, BufferPool())
    except (SlimaiError, ValueError):
        return None
    return Program(plan, tuple(steps))


def _scale(program, target, rng):
    plan = program.plan
    layers = _layers(program)
    layer = layers[rng.integers(len(layers))]
    name = layer.outputs[0]
    factor = float(np.exp(rng.uniform(-0.7, 0.7)))
    params = replace(plan.tensors[name], scale=float(np.float32(plan.tensors[name].scale * factor)))
    readers = [item.name for item in plan.layers if name in item.inputs]
    faulty = replace(plan, tensors={**plan.tensors, name: params})
    steps = []
    try:  # only that tensor is another: each layer keeps the arithmetic that it has
        for step in program.steps:
            own = isinstance(step, IntegerStep)
            steps.append(compile_layer(faulty, step.layer, target, step.rule.name, BufferPool()) if own else step)
    except (SlimaiError, ValueError):
        return None
    return Program(faulty, tuple(steps)), Fault("scale", (layer.name, *readers), told=f"{name} * {factor:.3f}")


def _weight(program, target, rng):
    layers = _layers(program, lambda layer: layer.weight is not None and layer.weight.values.size > 1)
    layer = layers[rng.integers(len(layers))]
    values = layer.weight.values.copy()
    place = tuple(int(rng.integers(size)) for size in values.shape)
    kind = layer.weight.dtype
    new = int(rng.integers(kind.low, kind.high + 1))
    told = f"{place} {values[place]} -> {new}"
    values[place] = new
    faulty = _with_layer(program, target, replace(layer, weight=replace(layer.weight, values=values)))
    return None if faulty is None else (faulty, Fault("weight", (layer.name,), told=told))


def _preset(program, target, rng):
    layers = _layers(program)
    layer = layers[rng.integers(len(layers))]
    others = [name for name in PRESETS if name != program.arithmetic[layer.name]]
    preset = others[rng.integers(len(others))]
    faulty = _with_layer(program, target, layer, preset)
    return None if faulty is None else (faulty, Fault("preset", (layer.name,), preset, told=preset))


def _bias(program, target, rng):
    layers = _layers(program, lambda layer: layer.bias is not None)
    layer = layers[rng.integers(len(layers))]
    bias = layer.bias.copy()
    channel = int(rng.integers(bias.size))
    change = int(rng.choice([-1, 1]) * np.exp(rng.uniform(3, 10)))
    bias[channel] += change
    faulty = _with_layer(program, target, replace(layer, bias=bias))
    return None if faulty is None else (faulty, Fault("bias", (layer.name,), told=f"[{channel}] + {change}"))


def _clamp(program, target, rng):
    layers = _clamped(program)
    layer = layers[rng.integers(len(layers))]
    faulty = _with_layer(program, target, replace(layer, activation=None))
    return None if faulty is None else (faulty, Fault("clamp", (layer.name,), told=layer.activation.op))


FAULTS = {"scale": _scale, "weight": _weight, "preset": _preset, "bias": _bias, "clamp": _clamp}


def _clamped(program):
    """Return the layers whose clamp is tighter than the integers of their output."""
    found = []
    for step in program.steps:
        layer = step.layers[0]
        if not isinstance(step, IntegerStep) or layer.activation is None:
            continue
        out = program.plan.tensors[layer.outputs[0]]
        if clamp_limits(out, layer.activation, step.rule.recipe) != (out.dtype.low, out.dtype.high):
            found.append(layer)
    return found


def possible(program: Program) -> list[str]:
    """Return the kinds of faults that a network has a place for."""
    layers = _layers(program)
    has = {
        "weight": any(layer.weight is not None for layer in layers),
        "bias": any(layer.bias is not None for layer in layers),
        "clamp": bool(_clamped(program)),
    }
    return [kind for kind in KINDS if has.get(kind, True)]


def confusion(pairs) -> str:
    """Return the table of true kinds (rows) against named ones (columns)."""
    counts = Counter(pairs)
    named = sorted({name for _, name in counts})
    rows = [f"{'true / named':14}" + "".join(f"{name:>14}" for name in named)]
    for kind in KINDS:
        rows.append(f"{kind:14}" + "".join(f"{counts[kind, name]:14}" for name in named))
    return "\n".join(rows)
