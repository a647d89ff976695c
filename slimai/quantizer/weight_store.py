"""What the candidates of one float network share: the integers of a weight tensor at a scale.

Candidates differ in the limits of activations; a weight tensor takes other integers only where its scale is another
one (by level, or by a bias that would not fit). The arrays of the store are shared: nobody writes into them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ir import Array
from slimai.quantizer.params import IntType
from slimai.quantizer.plan import QWeight
from slimai.quantizer.weight_layout import WeightLayout

MOST_MIXED = 64  # weights that hold rounded and nearest channels
MOST_SCALES = 6  # a tensor: per layer and per channel at 8 and at 16 bits, and some raised for a bias

Vector = NDArray[np.float64]
T = TypeVar("T")


class WeightStore:
    """Peaks and integers of float weight tensors, made once; tensors are told apart by identity."""

    def __init__(self) -> None:
        self._tensors: dict[int, _Tensor] = {}
        self._mixed: OrderedDict[tuple[int, int], tuple[QWeight, QWeight, QWeight]] = OrderedDict()
        self._known: WeakKeyDictionary[QWeight, dict[int, tuple[object, Any]]] = WeakKeyDictionary()

    def peaks(self, weights: Array, layout: WeightLayout) -> Vector:
        """Return [O] largest |weight| of each output channel."""
        return self._tensor(weights, layout).peaks

    def quantized(self, weights: Array, layout: WeightLayout, dtype: IntType, scale: Vector) -> QWeight:
        """Return the weights at `scale`, [O] or [1]: rounded half to even in float64, within -high..high."""
        return self._tensor(weights, layout).quantized(dtype, scale)

    def mixed(self, rounded: QWeight, nearest: QWeight, layout: WeightLayout) -> QWeight:
        """Return `rounded`, but `nearest` in the channels where that has another scale; both have as many scales."""
        same = rounded.scale == nearest.scale
        if same.all():
            return rounded
        if not same.any():
            return nearest
        key = (id(rounded), id(nearest))
        if key not in self._mixed:
            values = np.where(layout.spread(same, rounded.values.shape), rounded.values, nearest.values)
            self._mixed[key] = (rounded, nearest, replace(nearest, values=values))
            if len(self._mixed) > MOST_MIXED:
                self._mixed.popitem(last=False)
        return self._mixed[key][-1]

    def once(self, weight: QWeight, other: object, make: Callable[[], T]) -> T:
        """Return what `make` gives of a quantized weight and something else, made once while the weight lives.

        Both are told apart by identity; nobody writes into them or into the result.
        """
        known = self._known.setdefault(weight, {})
        if id(other) not in known:
            known[id(other)] = (other, make())  # it lives on, so that its identity stays its own
        found: T = known[id(other)][1]
        return found

    def clear(self) -> None:
        """Forget everything; weights that plans hold live on with them."""
        self._tensors.clear()
        self._mixed.clear()
        self._known.clear()

    def _tensor(self, weights: Array, layout: WeightLayout) -> _Tensor:
        found = self._tensors.get(id(weights))
        if found is None:
            found = self._tensors[id(weights)] = _Tensor(weights, layout)
        return found


class _Tensor:
    """One weight tensor; it keeps `weights` alive, so that its identity stays its own."""

    def __init__(self, weights: Array, layout: WeightLayout) -> None:
        self.weights, self.layout = weights, layout
        rows = np.abs(layout.by_channel(weights))
        self.peaks: Vector = rows.max(axis=1, initial=0.0).astype(np.float64)
        self._made: OrderedDict[tuple[str, bytes], QWeight] = OrderedDict()

    def quantized(self, dtype: IntType, scale: Vector) -> QWeight:
        key = (dtype.name, scale.tobytes())
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        values = np.rint(self.weights.astype(np.float64) / self.layout.spread(scale, self.weights.shape))
        made = QWeight(
            np.clip(values, -dtype.high, dtype.high).astype(dtype.numpy), dtype, scale.copy(), self.layout.axis
        )
        if len(self._made) >= MOST_SCALES:
            self._made.popitem(last=False)
        self._made[key] = made
        return made
