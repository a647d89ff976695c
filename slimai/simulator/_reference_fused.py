"""NumPy twins of `_kernels_fused`: same names, signatures and integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from slimai.simulator import _reference_depthwise as depth
from slimai.simulator import _reference_requantize as requantize
from slimai.simulator import _reference_windows as windows
from slimai.simulator.finish import TwoStep, Xi
from slimai.simulator.tiles import BLOCK

_EVEN_THEN_ODD = np.r_[0:BLOCK:2, 1:BLOCK:2]


def _finished(acc: Any, rule: Any) -> Any:
    """Return the output integers of sums [rows, 16], whose tables are [T, 16]."""
    tables, zero, low, high = rule
    out = np.zeros(acc.shape, np.int64)
    if isinstance(rule, Xi):
        requantize.xi_rows(acc, tables, zero, low, high, out)
    elif isinstance(rule, TwoStep):
        requantize.two_step_short_rows(acc, tables, zero, low, high, out)
    else:
        factor, offset, shift = (np.empty(BLOCK, np.int64) for _ in range(3))
        for column, table in zip((factor, offset, shift), tables, strict=True):
            column[_EVEN_THEN_ODD] = table
        out[...] = np.clip(((acc * factor + offset) >> shift) + zero, low, high)
    return out


def _put(sums: Any, blocks: Any, rule: Any, block: int, out: Any, first: int, step: int) -> None:
    """Write the outputs of sums [rows, C], whose blocks begin at the columns `blocks`."""
    for index, column in enumerate(blocks):
        part = np.zeros((len(sums), BLOCK), np.int64)
        there = sums[:, column : column + BLOCK]
        part[:, : there.shape[1]] = there
        found = _finished(part, rule._replace(tables=rule.tables[block + index]))[:, : there.shape[1]]
        places = first + np.arange(len(sums))[:, None] * step + column + np.arange(there.shape[1])
        out[places] = found.astype(out.dtype)


def windows_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write the output integers of windows of flat x into flat `out`."""
    sums = np.zeros((rows, columns), np.int64)
    windows.window_quads(x, starts, rows, offsets[: packed.shape[1]], packed, columns, sums.reshape(-1))
    _put(sums, range(0, columns, BLOCK), rule, block, out, first, step)


def window_halves_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write what `windows_out` does; blocks of high and of low weights take turns."""
    sums = np.zeros((rows, columns), np.int64)
    windows.window_halves(x, starts, rows, offsets[: packed.shape[1]], packed, columns, sums.reshape(-1))
    _put(sums, range(0, columns, BLOCK), rule, block, out, first, step)


def _channels(channels: int) -> list[int]:
    return [max(min(at, channels - BLOCK), 0) for at in range(0, channels, BLOCK)]


def depth_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write the output integers of depthwise windows of flat x into flat `out`."""
    sums = np.zeros((rows, channels), np.int64)
    depth.depth_quads(x, starts, rows, offsets, packed, channels, sums.reshape(-1))
    _put(sums, _channels(channels), rule, block, out, first, step)


def depth_halves_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write what `depth_out` does; blocks of high and of low weights take turns."""
    sums = np.zeros((rows, channels), np.int64)
    depth.depth_halves(x, starts, rows, offsets, packed, channels, sums.reshape(-1))
    _put(sums, _channels(channels), rule, block, out, first, step)
