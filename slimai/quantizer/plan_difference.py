"""What two integer networks differ in: layers, parameters, weights and biases, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from slimai.errors import InputError
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QuantPlan
from slimai.quantizer.weight_layout import weight_layout


@dataclass(frozen=True)
class PlanDifference:
    """One difference: the layer or tensor, and the sentence."""

    where: str
    what: str


def paired_layers(first: QuantPlan, second: QuantPlan) -> list[tuple[Layer, Layer]]:
    """Return the layers that stand for each other: by name; in order where no name is shared and all kinds are equal.

    Raises:
        InputError: no layer of one is a layer of the other.
    """
    by_name = {layer.name: layer for layer in second.layers}
    pairs = [(layer, by_name[layer.name]) for layer in first.layers if layer.name in by_name]
    if pairs:
        return pairs
    if first.layers and [layer.kind for layer in first.layers] == [layer.kind for layer in second.layers]:
        return list(zip(first.layers, second.layers, strict=True))
    cure = "compare two quantizations of one network"
    raise InputError.at(second.graph.name, f"has no layer in common with {first.graph.name}", cure=cure)


def plan_differences(first: QuantPlan, second: QuantPlan) -> list[PlanDifference]:
    """Return all differences, in the first network's order; raises InputError as `paired_layers`."""
    pairs = paired_layers(first, second)
    known = {id(layer) for pair in pairs for layer in pair}
    found = [PlanDifference(layer.name, "only in the first") for layer in first.layers if id(layer) not in known]
    for mine, theirs in _paired_inputs(first, second):
        found += _grid(first, second, mine, theirs)
    for one, other in pairs:
        found += [PlanDifference(one.name, what) for what in _layer(one, other)]
        for mine, theirs in zip(one.outputs, other.outputs, strict=False):
            found += _grid(first, second, mine, theirs)
    return found + [
        PlanDifference(layer.name, "only in the second") for layer in second.layers if id(layer) not in known
    ]


def _paired_inputs(first: QuantPlan, second: QuantPlan) -> Iterator[tuple[str, str]]:
    yield from zip(first.graph.inputs, second.graph.inputs, strict=False)


def _grid(first: QuantPlan, second: QuantPlan, mine: str, theirs: str) -> list[PlanDifference]:
    one, other = first.tensors.get(mine), second.tensors.get(theirs)
    if one == other:
        return []
    return [PlanDifference(first.profile_names.get(mine, mine), f"{_spelled(one)} -> {_spelled(other)}")]


def _spelled(params: QParams | None) -> str:
    if params is None:
        return "float"
    return f"{params.dtype.name} scale {params.scale:.9g} zero point {params.zero_point}"


def _layer(one: Layer, other: Layer) -> Iterator[str]:
    if (one.node.op, one.mode) != (other.node.op, other.mode):
        yield f"{one.node.op} ({one.mode}) -> {other.node.op} ({other.mode})"
        return
    attrs = sorted({*one.node.attrs, *other.node.attrs})
    for key in attrs:
        before, after = one.node.attrs.get(key), other.node.attrs.get(key)
        if repr(before) != repr(after):
            yield f"{key} {before!r} -> {after!r}"
    clamps = [
        None if layer.activation is None else (layer.activation.op, sorted(layer.activation.attrs.items()))
        for layer in (one, other)
    ]
    if repr(clamps[0]) != repr(clamps[1]):
        yield f"clamp {_clamp(one)} -> {_clamp(other)}"
    yield from _weights(one, other)
    yield from _biases(one, other)
    for place in sorted({*one.operands, *other.operands}):
        mine, theirs = one.operands.get(place), other.operands.get(place)
        if mine is None or theirs is None or mine[1] != theirs[1] or not np.array_equal(mine[0], theirs[0]):
            yield f"constant operand {place} differs"


def _clamp(layer: Layer) -> str:
    if layer.activation is None:
        return "none"
    limits = [layer.activation.attrs[key] for key in ("lo", "hi") if key in layer.activation.attrs]
    return f"{layer.activation.op}{limits or ''}"


def _weights(one: Layer, other: Layer) -> Iterator[str]:
    mine, theirs = one.weight, other.weight
    if mine is None or theirs is None:
        if mine is not theirs:
            yield "weights in one of them alone"
        return
    if mine.values.shape != theirs.values.shape:
        yield f"weights of shape {list(mine.values.shape)} -> {list(theirs.values.shape)}"
        return
    if (mine.dtype, mine.zero_point) != (theirs.dtype, theirs.zero_point):
        yield f"weights {mine.dtype.name} zero point {mine.zero_point} -> {theirs.dtype.name} {theirs.zero_point}"
    wrong = mine.values.astype(np.int64) != theirs.values
    if wrong.any():
        rows = weight_layout(one.node, wrong.shape).by_channel(wrong).any(axis=1)
        apart = int(np.abs(mine.values.astype(np.int64) - theirs.values).max())
        listed = ", ".join(map(str, np.flatnonzero(rows)[:8]))
        count = int(np.count_nonzero(wrong))
        yield f"{count} of {wrong.size} weights differ, by {apart} at most, in {int(rows.sum())} channels: {listed}"
    if mine.scale.shape != theirs.scale.shape:
        yield f"{mine.scale.size} weight scales -> {theirs.scale.size}"
    elif not np.array_equal(mine.scale, theirs.scale):
        ratio = theirs.scale / mine.scale
        changed = int(np.count_nonzero(mine.scale != theirs.scale))
        yield f"{changed} of {ratio.size} weight scales differ, {ratio.min():.6g} to {ratio.max():.6g} times"


def _biases(one: Layer, other: Layer) -> Iterator[str]:
    mine, theirs = one.bias, other.bias
    if mine is None or theirs is None:
        if mine is not theirs:
            yield "a bias in one of them alone"
    elif mine.shape != theirs.shape:
        yield f"bias of {mine.size} -> {theirs.size}"
    elif not np.array_equal(mine, theirs):
        wrong = np.flatnonzero(mine != theirs)
        apart = int(np.abs(mine - theirs).max())
        listed = ", ".join(map(str, wrong[:8]))
        yield f"{wrong.size} of {mine.size} biases differ, by {apart} at most, in channels {listed}"
