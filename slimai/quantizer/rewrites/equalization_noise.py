"""What equalizing one group of channels is predicted to do to the noise of the layers around it.

The noise is that of rounding, at the outputs of the layers that read the group: s^2 / 12 for each rounded number of a
grid with step s, times the power of what multiplies it. The tensor between has one step for all channels, a layer's
weights one for all or one an output channel. Where writers' weights have one step an output channel, a factor a channel
leaves their part as it is. The power of a channel is taken as that of a signal whose peak is PEAK times its root mean
square; only ratios matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array, Node
from slimai.quantizer.rewrites.channels import ChannelGroup
from slimai.quantizer.weight_layout import grouped

Vector = NDArray[np.float64]
PEAK = 3.0
STEPS = 127.0  # of a grid of 8 bits, from zero to a peak; with more bits all terms shrink alike


def predicted_noise(
    group: ChannelGroup, weights: Mapping[str, Array], magnitudes: Mapping[str, Vector], factor: Vector, *, tensor: bool
) -> float:
    """Return the noise power of a group, whose `weights` (by constant name) have the factors in them already.

    magnitudes: activation -> [C] peaks before any factor. factor: [C], by which the group's tensors are divided.
    tensor: whether weights have one step a tensor.
    """
    total, passed = 0.0, np.zeros(factor.size)
    for node in group.readers:
        peaks = magnitudes[node.inputs[0]] / factor
        parts = grouped(node, weights[node.inputs[1]])  # [G, O, I, K]
        power = np.square(peaks / PEAK).reshape(parts.shape[0], 1, parts.shape[2])
        gain = np.square(parts).sum(axis=(1, 3)).reshape(-1)  # [C]
        total += _rounding(peaks.max(initial=0.0)) * gain.sum()
        steps = np.abs(parts).max(axis=(2, 3))
        steps = np.full_like(steps, steps.max(initial=0.0)) if tensor else steps
        total += float((_rounding(steps) * power.sum(axis=2) * parts.shape[3]).sum())
        passed += gain
    return total + (sum(_written(node, weights, magnitudes, factor, passed) for node in group.writers) if tensor else 0)


def _written(
    node: Node, weights: Mapping[str, Array], magnitudes: Mapping[str, Vector], factor: Vector, passed: Vector
) -> float:
    """Return the noise of a writer's weights, which have one step, behind the readers.

    The power of what they multiply follows from that of the output: both have the weights' own power between them.
    """
    parts = grouped(node, weights[node.inputs[1]])
    output, own = np.square(magnitudes[node.outputs[0]] / factor / PEAK).sum(), np.square(parts).sum()
    if own <= 0.0:
        return 0.0
    taps = parts.shape[2] * parts.shape[3]
    return float(_rounding(np.abs(parts).max(initial=0.0)) * output / own * taps * passed.sum())


def _rounding(peak: float | Vector) -> float | Vector:
    return (peak / STEPS) ** 2 / 12.0
