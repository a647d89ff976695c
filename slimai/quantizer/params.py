"""Integer types and affine parameters: real = scale * (integer - zero_point)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class IntType:
    """A two's complement or unsigned integer type of `bits` bits."""

    name: str
    bits: int
    signed: bool

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype that holds it; numbers of 4 bits are held in 8."""
        return np.dtype(f"{'int' if self.signed else 'uint'}{max(self.bits, 8)}")

    def bytes_of(self, count: int) -> int:
        """Return the bytes of so many numbers, laid without gaps; of 4 bits two lie in a byte."""
        return (count * self.bits + 7) // 8


S4 = IntType("s4", 4, True)
S8, U8 = IntType("s8", 8, True), IntType("u8", 8, False)
S16, U16 = IntType("s16", 16, True), IntType("u16", 16, False)
S32, S64 = IntType("s32", 32, True), IntType("s64", 64, True)
INT_TYPES = {kind.name: kind for kind in (S4, S8, U8, S16, U16, S32, S64)}

LARGEST_REAL = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class QParams:
    """Parameters of one activation tensor: one scale and zero point.

    `scale` is a double that is exactly a float32 (so QDQ files and every oracle hold the same number).
    """

    dtype: IntType
    scale: float
    zero_point: int = 0

    @property
    def symmetric(self) -> bool:
        """Whether the zero point is 0."""
        return self.zero_point == 0

    def quantize(self, real: NDArray[Any]) -> NDArray[Any]:
        """Return integers: round half to even of real / scale in float64, plus zero point, saturated."""
        scaled = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        integers: NDArray[Any] = np.clip(scaled, self.dtype.low, self.dtype.high).astype(self.dtype.numpy)
        return integers

    def dequantize(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        """Return the real values as float32; what a mask's grid has beyond its end is that end."""
        real = (integers.astype(np.float64) - self.zero_point) * self.scale
        if self.scale * 2.0 ** (self.dtype.bits + 1) > LARGEST_REAL:
            real = np.clip(real, -LARGEST_REAL, LARGEST_REAL)
        return real.astype(np.float32)
