"""Cross-layer equalization: the same network with channels rescaled so that weights share their ranges better.

For a channel c, with r1 the largest |weight| that writes it (against the layer's largest) and r2 the largest that
reads it, the factor sqrt(r1 / r2) makes both ranges equal (Nagel et al. 2019, Data-Free Quantization through Weight
Equalization and Bias Correction, section 4.1); groups influence each other, so it is repeated until nothing moves.

That evens out weights at the cost of activations, which have one scale for all channels. With the magnitudes that
calibration images reach, r1 is the geometric mean of the weights' range and the activations' range: of four ways tried
the one that lost least where it lost (docs/accuracy.md has the figures and how far they reach). A group keeps its
factors where the noise that is predicted from weights and activations falls (`equalization_noise.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Graph, Node
from slimai.quantizer.plan import Decision
from slimai.quantizer.rewrites.channels import ChannelGroup, channel_groups
from slimai.quantizer.rewrites.equalization_noise import predicted_noise
from slimai.quantizer.weight_layout import grouped, ungrouped

ROUNDS = 30
SETTLED = 1e-3  # largest relative change of a factor that ends the rounds
LARGEST_FACTOR = 2.0**10
_TINY = 1e-300


Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Equalized:
    """The rewritten network and what was done or left alone. groups: how many were rescaled."""

    graph: Graph
    decisions: tuple[Decision, ...]
    groups: int = 0


@dataclass(frozen=True)
class Accepted:
    """Which groups keep their factors: those whose predicted noise falls, at most so many, the largest fall first.

    tensor: whether the noise is that of weights with one step a tensor.
    """

    tensor: bool
    most: int | None = None


def equalize(
    graph: Graph,
    magnitudes: Mapping[str, Vector] | None = None,
    *,
    clamp_per_channel: bool = False,
    accepted: Accepted | None = None,
) -> Equalized:
    """Return the network with its channels equalized across layers; what it computes stays the same.

    magnitudes: activation -> [C] largest |value| of each channel over some images; None balances weights alone.
    clamp_per_channel: whether clamps may differ by channel, which some targets can; a Relu6 (Clip of 0 to hi) in a
    group then gets the limits hi / factor. Without it such groups are left alone. So are those that touch network
    inputs or outputs and operators that do not commute with a factor a channel. accepted: which groups keep their
    factors, None: all; it needs magnitudes.
    """
    usable, decisions = _usable(graph, clamp_per_channel=clamp_per_channel)
    weights = {
        node.inputs[1]: graph.constants[node.inputs[1]].astype(np.float64)
        for group in usable
        for node in _layers(group)
    }
    if _shared_constants(graph, usable):
        return Equalized(graph, (Decision(graph.name, "not equalized", "layers share one weight tensor"),))
    factors = [np.ones(graph.shape(group.tensors[0])[1]) for group in usable]
    for _ in range(ROUNDS):
        moved = max(
            (
                _balance(group, total, weights, _spread(group, magnitudes))
                for group, total in zip(usable, factors, strict=True)
            ),
            default=0.0,
        )
        if moved < SETTLED:
            break
    if accepted is not None and magnitudes is not None:
        refused = _refused(usable, factors, weights, magnitudes, accepted)
        for place, why in refused.items():
            decisions.append(Decision(usable[place].writers[0].name, "not equalized", why))
            _undo(usable[place], factors[place], weights)
        kept = [place for place in range(len(usable)) if place not in refused]
        usable, factors = [usable[place] for place in kept], [factors[place] for place in kept]
    decisions += [_report(group, total) for group, total in zip(usable, factors, strict=True)]
    return Equalized(_rewritten(graph, usable, factors, weights), tuple(decisions), len(usable))


def _usable(graph: Graph, *, clamp_per_channel: bool) -> tuple[list[ChannelGroup], list[Decision]]:
    """Return the groups that may be rescaled, and why the others may not."""
    usable, decisions = [], []
    for group in channel_groups(graph):
        if not group.writers:
            continue
        reason = group.forbidden
        if not reason and group.clamps and not clamp_per_channel:
            reason = f"{group.clamps[0].op} {group.clamps[0].name} needs a clamp per channel"
        if not group.readers and (not reason or set(group.tensors) & set(graph.outputs)):
            continue  # the end of the network
        if reason:
            decisions.append(Decision(group.writers[0].name, "not equalized", reason))
        else:
            usable.append(group)
    return usable, decisions


def _refused(
    groups: list[ChannelGroup],
    factors: list[Vector],
    weights: Mapping[str, Array],
    magnitudes: Mapping[str, Vector],
    accepted: Accepted,
) -> dict[int, str]:
    """Return place of a group -> why it does not keep its factors; each is judged with all others in their places."""
    falls: dict[int, float] = {}
    for place, (group, factor) in enumerate(zip(groups, factors, strict=True)):
        own = {node.inputs[1]: weights[node.inputs[1]] for node in _layers(group)}
        after = predicted_noise(group, own, magnitudes, factor, tensor=accepted.tensor)
        _undo(group, factor, own)
        before = predicted_noise(group, own, magnitudes, np.ones_like(factor), tensor=accepted.tensor)
        falls[place] = float(10 * np.log10((before + _TINY) / (after + _TINY)))
    refused = {place: "the predicted noise does not fall" for place, fall in falls.items() if fall <= 0.0}
    if accepted.most is not None:
        order = sorted((place for place in falls if place not in refused), key=lambda place: -falls[place])
        taken = dict.fromkeys(order[accepted.most :], "taken back: the calibration images' outputs lose by it")
        refused |= taken
    return refused


def _undo(group: ChannelGroup, factor: Vector, weights: dict[str, Array]) -> None:
    """Take a group's factors out of the weights again, in place of the mapping's entries."""
    for node in group.writers:
        weights[node.inputs[1]] = scaled_rows(node, weights[node.inputs[1]], factor)
    for node in group.readers:
        weights[node.inputs[1]] = scaled_columns(node, weights[node.inputs[1]], 1.0 / factor)


def _layers(group: ChannelGroup) -> list[Node]:
    return [*group.writers, *group.readers]


def _shared_constants(graph: Graph, groups: list[ChannelGroup]) -> bool:
    """Return whether a weight or bias of an affected layer is read by another node too."""
    names = {name for group in groups for node in _layers(group) for name in node.inputs[1:] if name}
    return any(len(graph.consumers[name]) > 1 for name in names)


def _spread(group: ChannelGroup, magnitudes: Mapping[str, Vector] | None) -> Vector | None:
    """Return [C] the largest magnitude seen in each channel of the group's tensors, or None."""
    seen = [magnitudes[name] for name in group.tensors if name in magnitudes] if magnitudes is not None else []
    spread: Vector | None = np.max(seen, axis=0) if seen else None
    return spread


def _balance(group: ChannelGroup, total: Vector, weights: dict[str, Array], spread: Vector | None) -> float:
    """Rescale one group in place; return the largest relative change."""
    written = np.max([_relative(rows_of(node, weights[node.inputs[1]])) for node in group.writers], axis=0)
    if spread is not None:
        written = np.sqrt(written * _relative(spread / total))
    read = np.max([_relative(columns_of(node, weights[node.inputs[1]])) for node in group.readers], axis=0)
    usable = (written > 0) & (read > 0)
    factor = np.ones_like(total)
    factor[usable] = np.sqrt(written[usable] / read[usable])
    factor = np.clip(total * factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR) / total
    for node in group.writers:
        weights[node.inputs[1]] = scaled_rows(node, weights[node.inputs[1]], 1.0 / factor)
    for node in group.readers:
        weights[node.inputs[1]] = scaled_columns(node, weights[node.inputs[1]], factor)
    total *= factor
    return float(np.abs(np.log(factor)).max(initial=0.0))


def _relative(peaks: Vector) -> Vector:
    largest = peaks.max(initial=0.0)
    return peaks / largest if largest > 0 else peaks


def rows_of(node: Node, weights: Array) -> Vector:
    """Return [O] largest |weight| of each output channel."""
    peaks: Vector = np.abs(grouped(node, weights)).max(axis=(2, 3)).reshape(-1)
    return peaks


def columns_of(node: Node, weights: Array) -> Vector:
    """Return [I] largest |weight| of each input channel."""
    peaks: Vector = np.abs(grouped(node, weights)).max(axis=(1, 3)).reshape(-1)
    return peaks


def scaled_rows(node: Node, weights: Array, factor: Vector) -> Array:
    """Return the weights with output channel o times factor[o]."""
    groups = grouped(node, weights)
    return ungrouped(node, weights, groups * factor.reshape(groups.shape[0], -1, 1, 1))


def scaled_columns(node: Node, weights: Array, factor: Vector) -> Array:
    """Return the weights with input channel i times factor[i]."""
    groups = grouped(node, weights)
    return ungrouped(node, weights, groups * factor.reshape(groups.shape[0], 1, -1, 1))


def _rewritten(graph: Graph, groups: list[ChannelGroup], factors: list[Vector], weights: Mapping[str, Array]) -> Graph:
    constants = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}
    for group, factor in zip(groups, factors, strict=True):
        for node in group.writers:
            if len(node.inputs) > 2 and node.inputs[2]:
                bias = constants.get(node.inputs[2], graph.constants[node.inputs[2]])
                constants[node.inputs[2]] = (bias.astype(np.float64) / factor.reshape(_bias_shape(bias))).astype(
                    np.float32
                )
    clamps = {
        node.name: _limited(node, factor)
        for group, factor in zip(groups, factors, strict=True)
        for node in group.clamps
    }
    return graph.edited([clamps.get(node.name, node) for node in graph.nodes], constants=constants)


def _limited(clamp: Node, factor: Vector) -> Node:
    """Return the Clip with its upper limit divided by the factor of each channel; equal limits stay one."""
    limits = tuple(float(limit) for limit in (np.asarray(clamp.attrs["hi"]) / factor).astype(np.float32))
    return clamp.with_attrs(hi=limits if len(set(limits)) > 1 else limits[0])


def _bias_shape(bias: Array) -> tuple[int, ...]:
    return (-1,) if bias.ndim <= 1 else (*(1,) * (bias.ndim - 1), -1)


def _report(group: ChannelGroup, factor: Vector) -> Decision:
    names = ", ".join(node.name for node in group.writers)
    why = f"factors {factor.min():.3g} to {factor.max():.3g}, read by {', '.join(node.name for node in group.readers)}"
    return Decision(names, "channels equalized", why)
