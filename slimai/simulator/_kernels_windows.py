"""Integer products of windows where they lie: rows of a matrix are places in a padded picture, not copies of it.

A window is a list of offsets behind its first element, the same for all windows: at each lie four bytes, which one
instruction multiplies by four weights (quads: uint8 by int8, AVX512-VNNI) or by two (pairs: int16, AVX-512). NumPy
twins of the same name and signature: `_reference_windows`. `BROAD` says whether pairs run here, `QUADS` whether quads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from slimai.compiling import njit
from slimai.simulator import _kernels_gemm
from slimai.simulator.tiles import BLOCK

TILE = 12  # rows of a register tile of one block; of two blocks it is half of them
_LANES = 16
_BYTE, _SHORT, _WORD, _INDEX = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_WORD, _LANES)

Totals = list[list[Any]]

# The instruction's operands are vectors of bytes since LLVM 22.
_VECTORS_OF_BYTES = 22
BROAD = _kernels_gemm.BROAD
QUADS = (
    BROAD
    and bool(binding.get_host_cpu_features().get("avx512vnni", False))
    and binding.llvm_version_info[0] >= _VECTORS_OF_BYTES
)


def pack_windows(matrix: NDArray[Any], run: int, share: int) -> NDArray[Any]:
    """Return [blocks, steps, 16, share] of an integer matrix [K, C] whose rows are runs of `run` neighbours.

    share: elements that lie in four bytes: 4 (int8) or 2 (int16). Each run is filled up with zeros.
    """
    depth, columns = matrix.shape
    steps, blocks = -(-run // share), -(-columns // BLOCK)
    padded = np.zeros((depth // run, steps * share, blocks * BLOCK), np.int8 if share > 2 else np.int16)
    padded[:, :run, :columns] = matrix.reshape(-1, run, columns)
    split = padded.reshape(-1, share, blocks, BLOCK)
    return np.ascontiguousarray(split.transpose(2, 0, 3, 1))


class WindowCode:
    """Emits one register tile: rows of 16 or 32 sums; `kind` of elements; totals[row][part]."""

    def __init__(self, builder: Any, rows: int, parts: int) -> None:
        self.builder, self.rows, self.parts = builder, rows, parts
        self.places: list[Any] = []

    element: Any = _SHORT
    last: Any = None  # the last row that there is, which rows beyond it repeat; None: there are enough
    finish: Any = None  # what `_kernels_fused` does with the sums

    def multiply_add(self, total: Any, window: Any, weights: Any) -> Any:
        """Return the sums and what a pair of every lane gives."""
        shorts = ir.VectorType(_SHORT, 2 * _LANES)
        function = self._function("llvm.x86.avx512.pmaddw.d.512", (shorts, shorts))
        cast = self.builder.bitcast
        return self.builder.add(total, self.builder.call(function, (cast(window, shorts), cast(weights, shorts))))

    def _function(self, name: str, kinds: tuple[Any, ...]) -> Any:
        insert: Any = cgutils.get_or_insert_function
        return insert(self.builder.module, ir.FunctionType(_SUMS, kinds), name)

    def at(self, base: Any, offset: Any, element: Any) -> Any:
        """Return the address of item `offset` behind `base` (of its own type), as a pointer to `element`."""
        return self.builder.bitcast(self.builder.gep(base, [offset]), element.as_pointer())

    def word(self, base: Any, at: Any) -> Any:
        """Return the 32-bit integer at a place, as an index."""
        builder = self.builder
        return builder.sext(builder.load(self.at(base, at, _WORD), align=4), _INDEX)

    def window_rows(self, row: Any) -> list[Any]:
        """Return the rows of the tile from `row` on."""
        builder = self.builder
        self.places = [builder.add(row, _INDEX(index)) for index in range(self.rows)]
        if self.last is not None:
            self.places = [
                builder.select(builder.icmp_signed("<", place, self.last), place, self.last) for place in self.places
            ]
        return self.places

    def repeated(self, count: Any, grow: Callable[[Any, Totals], Totals]) -> Totals:
        """Emit a loop over `count` steps, each of which makes new totals of the old; return those behind it."""
        nothing = ir.Constant(_SUMS, None)
        begun = [nothing if self.finish is None else self.finish.first(part) for part in range(self.parts)]
        builder, before = self.builder, self.builder.block
        body, after = builder.append_basic_block("steps"), builder.append_basic_block("store")
        builder.branch(body)
        builder.position_at_end(body)
        step = builder.phi(_INDEX)
        step.add_incoming(_INDEX(0), before)
        totals = [[builder.phi(_SUMS) for _ in range(self.parts)] for _ in range(self.rows)]
        grown = grow(step, totals)
        for old_row, new_row in zip(totals, grown, strict=True):
            for old, new, first in zip(old_row, new_row, begun, strict=True):
                old.add_incoming(first, before)
                old.add_incoming(new, body)
        following = builder.add(step, _INDEX(1))
        step.add_incoming(following, body)
        builder.cbranch(builder.icmp_signed("<", following, count), body, after)
        builder.position_at_end(after)
        return grown

    def products(self, x: Any, starts: Any, row: Any, offsets: Any, weights: Any, w_at: Any, steps: Any) -> Totals:
        """Emit the products of windows with blocks of weights; return the totals behind them."""
        builder = self.builder
        at = [self.word(starts, place) for place in self.window_rows(row)]
        left = [builder.gep(builder.bitcast(x, self.element.as_pointer()), [place]) for place in at]
        right, nowhere = self.at(weights, w_at, _BYTE), ir.Constant(_SUMS, ir.Undefined)

        def grow(step: Any, totals: Totals) -> Totals:
            place, behind = self.word(offsets, step), builder.mul(step, _INDEX(4 * BLOCK))
            blocks = [builder.mul(steps, _INDEX(4 * BLOCK * part)) for part in range(self.parts)]
            columns = [builder.load(self.at(right, builder.add(behind, block), _SUMS), align=1) for block in blocks]
            grown = []
            for base, sums in zip(left, totals, strict=True):
                word = builder.load(self.at(base, place, _WORD), align=1)
                single = builder.insert_element(nowhere, word, _WORD(0))
                window = builder.shuffle_vector(single, nowhere, ir.Constant(_SUMS, None))
                pairs = zip(sums, columns, strict=True)
                grown.append([self.multiply_add(total, window, weight) for total, weight in pairs])
            return grown

        return self.repeated(steps, grow)

    def finished(self, totals: list[Any]) -> list[Any]:
        """Return a row's vectors of sums as they are stored."""
        return totals

    def store(self, totals: Totals, c: Any, c_at: Any, c_step: Any) -> None:
        """Emit the stores of all rows, ascending."""
        builder = self.builder
        for row, sums in enumerate(totals):
            base = builder.add(c_at, builder.mul(c_step, _INDEX(row)))
            for part, value in enumerate(self.finished(sums)):
                builder.store(value, self.at(c, builder.add(base, _INDEX(part * _LANES)), value.type), align=4)


class QuadCode(WindowCode):
    """Four products of uint8 by int8 a lane, added without saturation."""

    element = _BYTE

    def multiply_add(self, total: Any, window: Any, weights: Any) -> Any:
        octets, cast = ir.VectorType(_BYTE, 4 * _LANES), self.builder.bitcast
        function = self._function("llvm.x86.avx512.vpdpbusd.512", (_SUMS, octets, octets))
        return self.builder.call(function, (total, cast(window, octets), cast(weights, octets)))


class HalfCode(WindowCode):
    """float64 sums 256 * high + low: of two blocks, the upper and the lower part of the weights."""

    def finished(self, totals: list[Any]) -> list[Any]:
        builder, doubles = self.builder, ir.VectorType(ir.DoubleType(), _LANES)
        high, low = (builder.sitofp(total, doubles) for total in totals)
        return [builder.fadd(builder.fmul(high, ir.Constant(doubles, [256.0] * _LANES)), low)]


def _emitted(code: type[WindowCode], rows: int, parts: int, arguments: tuple[Any, ...]) -> Any:
    """Set rows x (16 * parts) sums c[c_at + r * c_step + j] of the windows that begin at starts[row + r].

    Arguments: x, starts, row, offsets, weights, w_at (bytes), steps, c, c_at, c_step.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def data(at: int) -> Any:
            return context.make_array(sig.args[at])(context, builder, args[at]).data

        def pointer(at: int, element: Any) -> Any:
            return builder.bitcast(data(at), element.as_pointer())

        tile = code(builder, rows, parts)
        totals = tile.products(
            data(0), pointer(1, _WORD), args[2], pointer(3, _WORD), pointer(4, _BYTE), args[5], args[6]
        )  # fmt: skip
        tile.store(totals, data(7), args[8], args[9])
        return context.get_dummy_value()

    return types.void(*arguments), emit


def _declared(code: type[WindowCode], rows: int, parts: int) -> Any:
    def tile(_typing: Any, x: Any, starts: Any, row: Any, offsets: Any, weights: Any, w_at: Any, steps: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
        """See `_emitted`; Numba wants the arguments by name."""
        return _emitted(code, rows, parts, (x, starts, row, offsets, weights, w_at, steps, c, c_at, c_step))

    return intrinsic(tile)


_quads_one, _quads_two = _declared(QuadCode, TILE, 1), _declared(QuadCode, TILE // 2, 2)
_pairs_one, _pairs_two = _declared(WindowCode, TILE, 1), _declared(WindowCode, TILE // 2, 2)
_halves_two = _declared(HalfCode, TILE // 2, 2)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_quads(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write sums of windows of x, flat uint8, times weights into acc, flat int32 [rows, columns].

    starts: int32, the first element of each window, up to a multiple of 12. offsets: int32, one a step. packed: see
    `pack_windows`. acc: room for 12 rows and 32 elements more. The last block may write beyond its row: it goes first.
    """
    blocks, steps = packed.shape[0], packed.shape[1]
    size = steps * 4 * BLOCK
    for last in range(blocks, 1, -2):
        for row in range(0, rows, TILE // 2):
            at = row * columns + (last - 2) * BLOCK
            _quads_two(x, starts, row, offsets, packed, (last - 2) * size, steps, acc, at, columns)
    if blocks % 2:
        for row in range(0, rows, TILE):
            _quads_one(x, starts, row, offsets, packed, 0, steps, acc, row * columns, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_pairs(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `window_quads` does of flat int16 x."""
    blocks, steps = packed.shape[0], packed.shape[1]
    size = steps * 4 * BLOCK
    for last in range(blocks, 1, -2):
        for row in range(0, rows, TILE // 2):
            at = row * columns + (last - 2) * BLOCK
            _pairs_two(x, starts, row, offsets, packed, (last - 2) * size, steps, acc, at, columns)
    if blocks % 2:
        for row in range(0, rows, TILE):
            _pairs_one(x, starts, row, offsets, packed, 0, steps, acc, row * columns, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_halves(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write sums 256 * high + low into acc, flat float64; packed: blocks of high and of low weights take turns."""
    blocks, steps = packed.shape[0] // 2, packed.shape[1]
    size = steps * 4 * BLOCK
    for block in range(blocks - 1, -1, -1):
        for row in range(0, rows, TILE // 2):
            at = row * columns + block * BLOCK
            _halves_two(x, starts, row, offsets, packed, 2 * block * size, steps, acc, at, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def place(x: Any, sizes: Any, steps: Any, zero: Any, fill: Any, top: Any, left: Any, whole: Any, row: Any) -> None:
    """Write x - zero of pictures into flat `whole`, [N, H', row] modulo its type, `fill` around them.

    x, sizes, steps: see `pictures.Pictures`. top: rows, left: elements before the picture; a negative top begins in it.
    """
    count, height, width, channels = sizes
    size, tall = width * channels, whole.size // (row * count)
    begin = min(max(top, 0), tall)
    end = max(min(top + height, tall), begin)
    dense = steps[3] == 1 and steps[2] == channels
    joined = dense and steps[1] == size and row == size  # many rows are one
    lines, length = (1 if joined else end - begin), (size * (end - begin) if joined else size)
    if left or row > size or begin or end < tall:
        whole[:] = fill
    for image in range(count):
        base, target = image * steps[0] + (begin - top) * steps[1], (image * tall + begin) * row + left
        for line in range(lines):
            at, part = base + line * steps[1], whole[target + line * row : target + line * row + length]
            if dense:
                source = x[at : at + length]
                for i in range(length):
                    part[i] = np.int32(np.int32(source[i]) - zero)
            elif channels == 3 and steps[2] == 1:
                red, green, blue = x[at:], x[at + steps[3] :], x[at + 2 * steps[3] :]
                for i in range(width):
                    part[3 * i] = np.int32(np.int32(red[i]) - zero)
                    part[3 * i + 1] = np.int32(np.int32(green[i]) - zero)
                    part[3 * i + 2] = np.int32(np.int32(blue[i]) - zero)
            else:
                for i in range(width):
                    for c in range(channels):
                        part[i * channels + c] = np.int32(np.int32(x[at + i * steps[2] + c * steps[3]]) - zero)
