"""The few layers that are worth more bits: groups around the tensors that hurt, how many do, what can go again.

Layers are put in order once, by local figures; then nested sets along that order are tried on the user's metric, so
that about 2 log2(groups needed) sets are asked about (the phases of AIMET's automatic mixed precision, made cheap).
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
        return self.added((name,), raised)

    def added(self, names: Sequence[str], raised: set[str]) -> float:
        """Return the extra cycles of several layers, none of them in `raised`, beside that set."""
        items = [self.layers[name] for name in names]
        touched = sorted({tensor for item in items for tensor in (*item.reads, *item.writes)})
        grown = self._converting(touched, raised.union(names)) - self._converting(touched, raised)
        return math.fsum(item.cycles for item in items) + grown

    def filled(self, raised: Sequence[str]) -> list[str]:
        """Return the set with all layers that cost nothing beside it, as those between raised ones may."""
        whole = set(self.layers)
        if self.total(whole) <= self.total(set(raised)):
            return list(self.layers)
        found = list(raised)
        while True:
            free = next((name for name in self.layers if name not in found and self.more(name, set(found)) <= 0), None)
            if free is None:
                return found
            found.append(free)

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


Group = tuple[str, ...]


def loudest_groups(noise: Mapping[str, float]) -> list[Group]:
    """Return all layers in groups of equal noise, the loudest first.

    A layer has the noise of that tensor, of those it touches, which alone in 8 bits hurts the outputs most
    (`slimai.app.run.mix_ranking.output_noise`). So the writer and the readers of a tensor that hurts stand together;
    only all of them give it 16 bits.
    """
    groups: dict[float, list[str]] = {}
    for name, value in noise.items():
        groups.setdefault(value, []).append(name)
    return [tuple(groups[value]) for value in sorted(groups, reverse=True)]


def order_of_groups(groups: Sequence[Group], costs: Costs) -> list[Group]:
    """Return the groups, the most noise removed per extra cycle first, each given those before it."""
    tensors = {
        group: {tensor for name in group for tensor in (*costs.layers[name].reads, *costs.layers[name].writes)}
        for group in groups
    }
    raised: set[str] = set()
    worth = {group: _group_worth(group, costs, raised) for group in groups}
    order: list[Group] = []
    while worth:
        taken = max(worth, key=lambda group: worth[group])
        del worth[taken]
        order.append(taken)
        raised.update(taken)
        for group in worth:
            if tensors[group] & tensors[taken]:
                worth[group] = _group_worth(group, costs, raised)
    return order


def _group_worth(group: Group, costs: Costs, raised: set[str]) -> tuple[bool, float]:
    cycles, noise = costs.added(group, raised), costs.layers[group[0]].noise
    return (True, noise) if cycles <= 0 else (False, noise / cycles)


def fewest(length: int, reaches: Callable[[int], bool]) -> int | None:
    """Return the smallest n in 1..length for which `reaches(n)`, or None when not even `length` does.

    Asked are 1, 2, 4 ... until one reaches, then halves in between: small sets cost less than large ones. It is known
    that 0 does not reach. Where more does not always mean better, n reaches and some smaller number that was asked
    does not.
    """
    low, high = 0, 1
    while high < length and not reaches(high):
        low, high = high, 2 * high
    if high >= length:
        high = length
        if length < 1 or not reaches(length):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(middle):
            high = middle
        else:
            low = middle
    return high


def without(
    groups: Sequence[Group], asked: Sequence[Group], enough: Callable[[list[Group]], bool], tries: int
) -> list[Group]:
    """Return `groups` without those of `asked` that are not needed, in that order, after at most `tries` questions.

    Half of the asked are left out at once, then fewer where that is too many, more where it is not. The last group that
    is left stays. All of them together are known to be enough.
    """
    kept = list(groups)
    start, step = 0, max(1, len(asked) // 2)
    for _ in range(tries):
        out = asked[start : start + step]
        if not out:
            break
        fewer = [group for group in kept if group not in out]
        if fewer and enough(fewer):
            kept, start, step = fewer, start + len(out), 2 * step
        elif len(out) > 1:
            step = len(out) // 2
        else:
            start += 1
    return kept
