"""Integer weights in the forms that the engines read: made once for all candidates that share them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from slimai.quantizer.plan import QWeight
from slimai.simulator.product import Matrix

T = TypeVar("T")


def shared(weight: QWeight, key: Hashable, make: Callable[[], T]) -> T:
    """Return what `make` gives, from the weight where an earlier candidate has left it under `key`."""
    if key not in weight.forms:
        weight.forms[key] = make()
    return cast("T", weight.forms[key])


def weight_values(weight: QWeight) -> NDArray[np.int64]:
    """Return the integers of a weight minus its zero point (0 but for stored asymmetric TFLite weights)."""
    return weight.values.astype(np.int64) - weight.zero_point


def image_weights(weight: QWeight) -> NDArray[np.int64]:
    """Return `weight_values` of a convolution with two axes of space, [.., .., KH, KW].

    Of a convolution over three, [O, C, KD, KH, KW], the depth goes into the channels (`slimai.simulator.volumes`).
    """
    values = weight_values(weight)
    if values.ndim == 5:
        return values.reshape(values.shape[0], -1, *values.shape[3:])
    return values[:, :, None] if values.ndim == 3 else values


class ConvWeights:
    """Weights [O, C / group, KH, KW] of a convolution."""

    def __init__(self, weight: QWeight, group: int) -> None:
        values = image_weights(weight)
        self.outputs, self.depth = values.shape[:2]
        self.kernel: tuple[int, int] = values.shape[2], values.shape[3]
        self.magnitudes: NDArray[np.int64] = np.abs(values).reshape(self.outputs, -1).sum(axis=1)
        self.sums: NDArray[np.int64] = values.reshape(self.outputs, -1).sum(axis=1)
        self._weight, self._group = weight, group

    @classmethod
    def of(cls, weight: QWeight, group: int) -> ConvWeights:
        """Return the weights as a convolution of so many groups reads them."""
        return shared(weight, ("conv", group), lambda: cls(weight, group))

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """One matrix [KH * KW * C / group, O / group] a group."""
        values = image_weights(self._weight).transpose(2, 3, 1, 0)
        split = values.reshape(-1, self._group, self.outputs // self._group)
        return tuple(Matrix(_narrow(split[:, index])) for index in range(self._group))

    @cached_property
    def channel_matrix(self) -> Matrix:
        """[KH * KW, O] of a depthwise convolution."""
        return Matrix(_narrow(image_weights(self._weight)[:, 0].reshape(self.outputs, -1).T))

    def taps(self, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Return [KH, KW, O] of a depthwise convolution."""
        return shared(self._weight, ("taps", dtype.str), lambda: self._taps(dtype))

    def _taps(self, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(image_weights(self._weight)[:, 0].transpose(1, 2, 0).astype(dtype))


class DenseWeights:
    """Weights [K, C] of a matrix product with a constant."""

    def __init__(self, values: NDArray[np.int64]) -> None:
        self.magnitudes: NDArray[np.int64] = np.abs(values).sum(axis=0)
        self.matrix = Matrix(_narrow(values))

    @classmethod
    def of(cls, weight: QWeight, *, transposed: bool) -> DenseWeights:
        """Return the weights, which are stored [C, K] where `transposed`."""

        def make() -> DenseWeights:
            values = weight_values(weight)
            return cls(values.T if transposed else values)

        return shared(weight, ("dense", transposed), make)


def _narrow(values: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """Return the integers in int16 where they fit: forms stay as long as their weight."""
    fits = values.max(initial=0) < 1 << 15 and values.min(initial=0) >= -(1 << 15)
    return np.ascontiguousarray(values, np.int16) if fits else values
