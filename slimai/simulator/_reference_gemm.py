"""NumPy twin of `_kernels_gemm`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def multiply(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write a[:rows] @ weights into acc, flat [rows, columns] int32."""
    blocks, pairs = packed.shape[:2]
    matrix = packed.transpose(1, 3, 0, 2).reshape(2 * pairs, blocks * packed.shape[2])[:, :columns]
    acc[: rows * columns] = (a[:rows].astype(np.int64) @ matrix.astype(np.int64)).reshape(-1)


def multiply_broad(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `multiply` does into acc, flat int32."""
    multiply(a, rows, packed, columns, acc)


def multiply_halves(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write a[:rows] @ (256 * high + low) into acc, flat float64; blocks of high and of low take turns."""
    high, low = (np.zeros(rows * columns, np.int64) for _ in range(2))
    multiply(a, rows, packed[::2], columns, high)
    multiply(a, rows, packed[1::2], columns, low)
    acc[: rows * columns] = 256 * high + low


def multiply_wide(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `multiply` does into acc, flat float64."""
    multiply(a, rows, packed, columns, acc)
