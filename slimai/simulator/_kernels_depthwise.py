"""Depthwise sums of windows where they lie: of 16 channels, four taps (bytes) or two (int16) go into one instruction.

Windows and offsets are those of `_kernels_windows`, an offset a tap. NumPy twins: `_reference_depthwise`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from slimai.compiling import njit
from slimai.simulator._kernels_windows import HalfCode, QuadCode, Totals, WindowCode
from slimai.simulator.tiles import BLOCK

PIXELS = 4  # of a register tile
_BYTE, _WORD, _INDEX = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_WORD, BLOCK)


def channel_blocks(channels: int) -> NDArray[np.int64]:
    """Return the first channel of each block of 16; the last two overlap where they must."""
    first = np.arange(0, channels, BLOCK)
    first[-1] = max(channels - BLOCK, 0)
    return first


def pack_taps(taps: NDArray[Any], share: int) -> NDArray[Any]:
    """Return [groups, blocks, 16, share] of weights [taps, C]: blocks are `channel_blocks`; zeros fill it up."""
    count, channels = taps.shape
    padded = np.zeros((-(-count // share) * share, max(channels, BLOCK)), np.int8 if share > 2 else np.int16)
    padded[:count, :channels] = taps
    chosen = padded[:, channel_blocks(channels)[:, None] + np.arange(BLOCK)]
    split = chosen.reshape(-1, share, *chosen.shape[1:])
    return np.ascontiguousarray(split.transpose(0, 2, 3, 1))


def _interleaved(builder: Any, taps: list[Any]) -> Any:
    """Return one vector of all elements 0, then of all elements 1 and so on."""
    ascending = ir.Constant(ir.VectorType(_WORD, 2 * BLOCK), list(range(2 * BLOCK)))
    halves = taps
    if len(taps) > 2:
        halves = [builder.shuffle_vector(taps[at], taps[at + 1], ascending) for at in (0, 2)]
    order = [tap * BLOCK + lane for lane in range(BLOCK) for tap in range(len(taps))]
    return builder.shuffle_vector(halves[0], halves[1], ir.Constant(ir.VectorType(_WORD, len(order)), order))


def products(tile: WindowCode, share: int, places: Any, pointers: Any) -> Totals:
    """Emit the products of 4 windows with the taps of 16 channels; return the totals behind them.

    places: row, channel, groups, w_at, w_step. pointers: to x, starts, offsets and weights. See `_emitted`.
    """
    row, channel, groups, w_at, w_step = places
    builder, lanes = tile.builder, ir.VectorType(tile.element, BLOCK)
    x, starts, offsets, weights = pointers
    bases = [builder.gep(x, [builder.add(channel, tile.word(starts, at))]) for at in tile.window_rows(row)]

    def grow(step: Any, totals: Totals) -> Totals:
        first, behind = builder.mul(step, _INDEX(share)), builder.add(w_at, builder.mul(step, w_step))
        places = [tile.word(offsets, builder.add(first, _INDEX(tap))) for tap in range(share)]
        parts = [builder.add(behind, _INDEX(4 * BLOCK * part)) for part in range(tile.parts)]
        columns = [builder.load(tile.at(weights, part, _SUMS), align=1) for part in parts]
        grown = []
        for base, sums in zip(bases, totals, strict=True):
            window = _interleaved(builder, [builder.load(tile.at(base, place, lanes), align=1) for place in places])
            grown.append([tile.multiply_add(total, window, part) for total, part in zip(sums, columns, strict=True)])
        return grown

    return tile.repeated(groups, grow)


def _emitted(code: type[WindowCode], share: int, parts: int, arguments: tuple[Any, ...]) -> Any:
    """Set the sums of 4 windows x 16 channels, c[c_at + p * c_step + j].

    Arguments: x, starts, row, channel, offsets, groups, weights, w_at, w_step (bytes), c, c_at, c_step.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def data(at: int) -> Any:
            return context.make_array(sig.args[at])(context, builder, args[at]).data

        tile = code(builder, PIXELS, parts)
        kinds = {0: tile.element, 1: _WORD, 4: _WORD, 6: _BYTE}
        pointers = [builder.bitcast(data(at), kind.as_pointer()) for at, kind in kinds.items()]
        totals = products(tile, share, (args[2], args[3], args[5], args[7], args[8]), pointers)
        tile.store(totals, data(9), args[10], args[11])
        return context.get_dummy_value()

    return types.void(*arguments), emit


def _declared(code: type[WindowCode], share: int, parts: int) -> Any:
    def tile(_typing: Any, x: Any, starts: Any, row: Any, channel: Any, offsets: Any, groups: Any, weights: Any, w_at: Any, w_step: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501, PLR0917  # fmt: skip
        """See `_emitted`; Numba wants the arguments by name."""
        arguments = (x, starts, row, channel, offsets, groups, weights, w_at, w_step, c, c_at, c_step)
        return _emitted(code, share, parts, arguments)

    return intrinsic(tile)


_quads, _pairs, _halves = _declared(QuadCode, 4, 1), _declared(WindowCode, 2, 1), _declared(HalfCode, 2, 2)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depth_quads(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write depthwise sums of windows of x, flat uint8, into acc, flat int32 [rows, channels].

    starts: int32, the first element of each window, up to a multiple of 4. offsets: int32, one a tap of whole groups.
    packed: see `pack_taps`. acc: room for 4 rows and 16 elements more. Few channels write beyond their row, ascending.
    """
    groups, blocks = packed.shape[0], packed.shape[1]
    for row in range(0, rows, PIXELS):
        for block in range(blocks):
            at = max(min(block * BLOCK, channels - BLOCK), 0)
            place, size = row * channels + at, 4 * BLOCK
            _quads(x, starts, row, at, offsets, groups, packed, block * size, blocks * size, acc, place, channels)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depth_pairs(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write what `depth_quads` does of flat int16 x."""
    groups, blocks = packed.shape[0], packed.shape[1]
    for row in range(0, rows, PIXELS):
        for block in range(blocks):
            at = max(min(block * BLOCK, channels - BLOCK), 0)
            place, size = row * channels + at, 4 * BLOCK
            _pairs(x, starts, row, at, offsets, groups, packed, block * size, blocks * size, acc, place, channels)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depth_halves(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, acc: Any) -> None:
    """Write sums 256 * high + low into acc, flat float64; packed: [groups, 2 * blocks, 16, 2], high and low in turn."""
    groups, blocks = packed.shape[0], packed.shape[1] // 2
    for row in range(0, rows, PIXELS):
        for block in range(blocks):
            at = max(min(block * BLOCK, channels - BLOCK), 0)
            place, size = row * channels + at, 8 * BLOCK
            _halves(x, starts, row, at, offsets, groups, packed, block * size, blocks * size, acc, place, channels)
