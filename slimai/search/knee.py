"""The few layers that are worth more bits: an order of all, the shortest beginning that is enough, what can go again.

Layers are ordered once, by local figures; then nested sets along that order are tried on the user's metric, so that
about log2(layers) full evaluations are needed (the phases of AIMET's automatic mixed precision, made cheap).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Raisable:
    """A layer that could compute in 16 bit.

    noise: noise over signal of its output when it alone is quantized. cycles: what it takes more in 16 bit than in 8,
    conversions left out. reads, writes: its activations.
    """

    name: str
    noise: float
    cycles: float
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Costs:
    """Extra cycles of a set of layers in 16 bit.

    conversion: cycles of a Requantize between the widths, by tensor; a tensor that is absent needs none. A conversion
    is needed where a writer and some reader differ, once a tensor; a network input has the widest type that it is
    read in, a tensor that no raisable layer writes has 8 bit.
    """

    layers: Mapping[str, Raisable]
    conversion: Mapping[str, float]
    inputs: frozenset[str]

    @classmethod
    def of(cls, layers: Sequence[Raisable], conversion: Mapping[str, float], inputs: Sequence[str]) -> Costs:
        """Return the costs of these layers."""
        return cls({item.name: item for item in layers}, conversion, frozenset(inputs))

    def total(self, raised: set[str]) -> float:
        """Return the extra cycles of the set `raised`."""
        tensors = {name for item in self.layers.values() for name in (*item.reads, *item.writes)}
        own = [self.layers[name].cycles for name in sorted(raised)]
        return math.fsum(own) + self._converting(sorted(tensors), raised)

    def more(self, name: str, raised: set[str]) -> float:
        """Return the extra cycles of `name` beside the set `raised`; less than nothing where conversions go."""
        item = self.layers[name]
        touched = sorted({*item.reads, *item.writes})
        return item.cycles + self._converting(touched, raised | {name}) - self._converting(touched, raised)

    def _converting(self, tensors: Sequence[str], raised: set[str]) -> float:
        return math.fsum(self.conversion.get(name, 0.0) for name in tensors if self._converted(name, raised))

    def _converted(self, tensor: str, raised: set[str]) -> bool:
        readers = [item.name in raised for item in self.layers.values() if tensor in item.reads]
        if tensor in self.inputs:
            return any(readers) and not all(readers)
        wide = any(item.name in raised for item in self.layers.values() if tensor in item.writes)
        return any(reader != wide for reader in readers)


def raising_order(layers: Sequence[Raisable], costs: Costs) -> list[str]:
    """Return all layers, the most noise removed per extra cycle first, each given those before it.

    A layer beside raised ones needs fewer conversions and so comes sooner. Equal layers keep their order.
    """
    waiting = {item.name: item for item in layers}
    worth = {name: _worth(costs, item, set()) for name, item in waiting.items()}
    order: list[str] = []
    raised: set[str] = set()
    while waiting:
        name = max(waiting, key=lambda item: worth[item])
        taken = waiting.pop(name)
        order.append(name)
        raised.add(name)
        touched = {*taken.reads, *taken.writes}
        for other, item in waiting.items():
            if touched.intersection((*item.reads, *item.writes)):
                worth[other] = _worth(costs, item, raised)
    return order


def _worth(costs: Costs, item: Raisable, raised: set[str]) -> tuple[bool, float]:
    """Return a key, largest first: what costs nothing by its noise, the rest by noise per cycle."""
    cycles = costs.more(item.name, raised)
    return (True, item.noise) if cycles <= 0 else (False, item.noise / cycles)


def smallest_prefix(length: int, reaches: Callable[[int], bool]) -> int | None:
    """Return the smallest n in 1..length for which `reaches(n)`, or None when not even `length` does.

    It is known that 0 does not reach. Where more does not always mean better, n reaches and some smaller
    neighbour that was tried does not.
    """
    if length < 1 or not reaches(length):
        return None
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(middle):
            high = middle
        else:
            low = middle
    return high


def largest_prefix(length: int, fits: Callable[[int], bool]) -> int:
    """Return the largest n in 0..length for which `fits(n)`; it is known that 0 fits, and more costs more."""
    low, high = 0, length + 1
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def without(
    members: Sequence[str], savings: Mapping[str, float], enough: Callable[[tuple[str, ...]], bool], tries: int
) -> tuple[str, ...]:
    """Return `members` without those that are not needed: one pass, the largest saving first, at most `tries` asked.

    Members that save nothing are not asked about. `members` themselves are known to be enough.
    """
    kept = tuple(members)
    asked = sorted((name for name in members if savings[name] > 0), key=lambda name: -savings[name])
    for name in asked[:tries]:
        fewer = tuple(item for item in kept if item != name)
        if fewer and enough(fewer):
            kept = fewer
    return kept
