"""Integer matrix products on the CPU's 16-bit multiply-add of pairs (x86 `vpmaddwd`): 16 products an instruction.

Exact while sums stay below 2**31. `pack` lays the weights out, `multiply` is the kernel; its NumPy twin is in
`_reference_gemm`. `AVAILABLE` says whether this CPU has the instruction; without it the caller takes BLAS. `BROAD` says
whether it has it in 512 bits too (`multiply_broad`); where it also adds, the compiler makes one instruction of both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from slimai.compiling import njit
from slimai.simulator.tiles import BLOCK

ROWS = 6  # rows of a register tile
WIDE_ROWS = 2  # the same where each sum takes two registers
_LANES = 8
_SHORT, _WORD, _INDEX = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_DOUBLES = ir.VectorType(ir.DoubleType(), _LANES)

AVAILABLE = bool(binding.get_host_cpu_features().get("avx2", False))
BROAD = AVAILABLE and bool(binding.get_host_cpu_features().get("avx512bw", False))


def pack(matrix: NDArray[Any]) -> NDArray[np.int16]:
    """Return [blocks, ceil(K / 2), 16, 2] int16 of an integer matrix [K, C]: pairs of rows, 16 columns a block."""
    depth, columns = matrix.shape
    padded = np.zeros((depth + depth % 2, -(-columns // BLOCK) * BLOCK), np.int16)
    padded[:depth, :columns] = matrix
    split = padded.reshape(padded.shape[0] // 2, 2, -1, BLOCK)
    return np.ascontiguousarray(split.transpose(2, 0, 3, 1))


def pack_halves(high: NDArray[Any], low: NDArray[Any]) -> NDArray[np.int16]:
    """Return what `pack` makes of both, a block of `high` and then its block of `low`."""
    both = np.stack([pack(high), pack(low)], axis=1)
    return both.reshape(-1, *both.shape[2:])


class _TileCode:
    """Emits the code of one register tile of rows x 16; totals[row][part] are the running sums of 8 columns each."""

    rows, parts, lanes = ROWS, 2, _LANES
    instruction = "llvm.x86.avx2.pmadd.wd"

    def __init__(self, builder: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any) -> None:
        self.builder = builder
        places = [builder.add(a_at, builder.mul(a_step, _INDEX(row))) for row in range(self.rows)]
        self.left = [self._at(a, place, _SHORT) for place in places]
        self.right = self._at(b, b_at, _SHORT)
        self.shorts, self.sums = ir.VectorType(_SHORT, 2 * self.lanes), ir.VectorType(_WORD, self.lanes)
        kind = ir.FunctionType(self.sums, (self.shorts, self.shorts))
        insert: Any = cgutils.get_or_insert_function
        self.multiply_add = insert(builder.module, kind, self.instruction)

    def _at(self, base: Any, offset: Any, element: Any) -> Any:
        """Return the address of element `offset` behind `base`, as a pointer to `element`."""
        return self.builder.bitcast(self.builder.gep(base, [offset]), element.as_pointer())

    def loop(self, pairs: Any) -> list[list[Any]]:
        """Emit the loop over pairs of rows of weights; return the totals behind it."""
        builder, before = self.builder, self.builder.block
        body, after = builder.append_basic_block("pairs"), builder.append_basic_block("store")
        builder.branch(body)
        builder.position_at_end(body)
        step = builder.phi(_INDEX)
        step.add_incoming(_INDEX(0), before)
        totals = [[builder.phi(self.sums) for _ in self.zeros()] for _ in range(self.rows)]
        grown = self._grow(step, totals, pairs)
        following = builder.add(step, _INDEX(1))
        step.add_incoming(following, body)
        for old_row, new_row in zip(totals, grown, strict=True):
            for old, new in zip(old_row, new_row, strict=True):
                old.add_incoming(ir.Constant(self.sums, None), before)
                old.add_incoming(new, body)
        builder.cbranch(builder.icmp_signed("<", following, pairs), body, after)
        builder.position_at_end(after)
        return grown

    def zeros(self) -> range:
        """Return one index for each vector of totals that a row keeps."""
        return range(self.parts)

    def _behind(self, part: int, _pairs: Any) -> Any:
        """Return how many elements behind the first vector of weights the one of this part lies."""
        return _INDEX(2 * self.lanes * part)

    def _grow(self, step: Any, totals: list[list[Any]], pairs: Any) -> list[list[Any]]:
        """Emit one pair: the vectors of weights, each row's pair in every lane, a multiply-add a row and vector."""
        builder = self.builder
        at = builder.mul(step, _INDEX(2 * BLOCK))
        columns = [
            builder.load(self._at(self.right, builder.add(at, self._behind(part, pairs)), self.shorts), align=2)
            for part in range(self.parts)
        ]
        twice, nowhere = builder.mul(step, _INDEX(2)), ir.Constant(self.sums, ir.Undefined)
        grown = []
        for row, sums in zip(self.left, totals, strict=True):
            pair = builder.load(self._at(row, twice, _WORD), align=2)
            single = builder.insert_element(nowhere, pair, _WORD(0))
            spread = builder.shuffle_vector(single, nowhere, ir.Constant(self.sums, None))
            both = builder.bitcast(spread, self.shorts)
            grown.append(self._sums(sums, [builder.call(self.multiply_add, (both, weights)) for weights in columns]))
        return grown

    def _sums(self, old: list[Any], found: list[Any]) -> list[Any]:
        return [self.builder.add(total, part) for total, part in zip(old, found, strict=True)]

    def finished(self, totals: list[Any]) -> list[Any]:
        """Return a row's vectors of sums as they are stored."""
        return totals

    def store(self, totals: list[list[Any]], c: Any, c_at: Any, c_step: Any) -> None:
        """Emit the stores of all rows, ascending."""
        builder = self.builder
        for row, sums in enumerate(totals):
            base = builder.add(c_at, builder.mul(c_step, _INDEX(row)))
            for part, value in enumerate(self.finished(sums)):
                place = self._at(c, builder.add(base, _INDEX(part * self.lanes)), value.type)
                builder.store(value, place, align=4)


class _BroadTileCode(_TileCode):
    """A tile of rows x 16 in vectors of 16 sums."""

    parts, lanes = 1, 2 * _LANES
    instruction = "llvm.x86.avx512.pmaddw.d.512"


class _BroadPairCode(_BroadTileCode):
    """A tile of rows x 32: two blocks of weights, which lie behind each other."""

    parts = 2

    def _behind(self, part: int, pairs: Any) -> Any:
        return self.builder.mul(pairs, _INDEX(2 * BLOCK * part))


class _HalvesCode(_BroadPairCode):
    """A tile of rows x 16 float64 sums 256 * high + low: of two blocks, the upper and the lower part of the weights."""

    def finished(self, totals: list[Any]) -> list[Any]:
        builder, doubles = self.builder, ir.VectorType(ir.DoubleType(), self.lanes)
        high, low = (builder.sitofp(total, doubles) for total in totals)
        return [builder.fadd(builder.fmul(high, ir.Constant(doubles, [256.0] * self.lanes)), low)]


class _WideTileCode(_TileCode):
    """Sums beyond 32 bits: of every pair's sum p, p itself modulo 2**32 and p >> 16 are added up.

    With H the total of p >> 16, the sum is 2**16 * H + the total of p's low halves; that is not negative and below
    2**32, so it is what the wrapped total W leaves: (W - 2**16 * H) modulo 2**32.
    """

    rows = WIDE_ROWS

    def zeros(self) -> range:
        return range(4)

    def _sums(self, old: list[Any], found: list[Any]) -> list[Any]:
        half = ir.Constant(self.sums, [16] * _LANES)
        return super()._sums(old, [*found, *(self.builder.ashr(part, half) for part in found)])

    def finished(self, totals: list[Any]) -> list[Any]:
        builder, half = self.builder, ir.Constant(self.sums, [16] * _LANES)
        scale = ir.Constant(_DOUBLES, [65536.0] * _LANES)
        found = []
        for whole, high in zip(totals[:2], totals[2:], strict=True):
            low = builder.uitofp(builder.sub(whole, builder.shl(high, half)), _DOUBLES)
            found.append(builder.fadd(builder.fmul(builder.sitofp(high, _DOUBLES), scale), low))
        return found


def _tile_intrinsic(code: type[_TileCode], *arguments: Any) -> Any:
    """Set rows x 16 sums c[c_at + r * c_step + j] of the tile's rows of a with one block of b.

    Arguments: a, a_at, a_step, b, b_at, pairs, c, c_at, c_step; offsets and steps in elements.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b, c = (context.make_array(sig.args[at])(context, builder, args[at]).data for at in (0, 3, 6))
        tile = code(builder, a, args[1], args[2], b, args[4])
        tile.store(tile.loop(args[5]), c, args[7], args[8])
        return context.get_dummy_value()

    return types.void(*arguments), emit


def _declared(_typing: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any, pairs: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
    """See `_tile_intrinsic`; Numba wants the arguments by name."""
    return _tile_intrinsic(_TileCode, a, a_at, a_step, b, b_at, pairs, c, c_at, c_step)


def _declared_wide(_typing: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any, pairs: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
    """See `_tile_intrinsic`; Numba wants the arguments by name."""
    return _tile_intrinsic(_WideTileCode, a, a_at, a_step, b, b_at, pairs, c, c_at, c_step)


def _declared_broad(_typing: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any, pairs: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
    """See `_tile_intrinsic`; Numba wants the arguments by name."""
    return _tile_intrinsic(_BroadTileCode, a, a_at, a_step, b, b_at, pairs, c, c_at, c_step)


def _declared_broad_pair(_typing: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any, pairs: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
    """See `_tile_intrinsic`, with two blocks of b; Numba wants the arguments by name."""
    return _tile_intrinsic(_BroadPairCode, a, a_at, a_step, b, b_at, pairs, c, c_at, c_step)


def _declared_halves(_typing: Any, a: Any, a_at: Any, a_step: Any, b: Any, b_at: Any, pairs: Any, c: Any, c_at: Any, c_step: Any) -> Any:  # noqa: E501  # fmt: skip
    """See `_tile_intrinsic`, with two blocks of b; Numba wants the arguments by name."""
    return _tile_intrinsic(_HalvesCode, a, a_at, a_step, b, b_at, pairs, c, c_at, c_step)


_tile: Any = intrinsic(_declared)
_broad_tile: Any = intrinsic(_declared_broad)
_broad_pair: Any = intrinsic(_declared_broad_pair)
_halves: Any = intrinsic(_declared_halves)
_wide_tile: Any = intrinsic(_declared_wide)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def multiply(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write a[:rows] @ weights into acc, flat [rows, columns] int32.

    a: [rows up to a multiple of 6, even K] int16. packed: see `pack`. acc: flat int32 with room for that many
    rows and 16 elements more. The last block may write beyond its row, so it goes first and is overwritten.
    """
    blocks, pairs = packed.shape[0], packed.shape[1]
    flat_a, flat_b = a.reshape(-1), packed.reshape(-1)
    for block in range(blocks - 1, -1, -1):
        for row in range(0, rows, ROWS):
            place = row * columns + block * BLOCK
            _tile(flat_a, row * a.shape[1], a.shape[1], flat_b, block * pairs * 2 * BLOCK, pairs, acc, place, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def multiply_broad(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `multiply` does, with vectors of 512 bits and two blocks at once where there are two left."""
    blocks, pairs = packed.shape[0], packed.shape[1]
    flat_a, flat_b = a.reshape(-1), packed.reshape(-1)
    width = a.shape[1]
    for last in range(blocks, 1, -2):
        at = (last - 2) * pairs * 2 * BLOCK
        for row in range(0, rows, ROWS):
            place = row * columns + (last - 2) * BLOCK
            _broad_pair(flat_a, row * width, width, flat_b, at, pairs, acc, place, columns)
    if blocks % 2:
        for row in range(0, rows, ROWS):
            _broad_tile(flat_a, row * width, width, flat_b, 0, pairs, acc, row * columns, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def multiply_halves(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write a[:rows] @ (256 * high + low) into acc, flat float64 [rows, columns]; packed: see `pack_halves`."""
    blocks, pairs = packed.shape[0] // 2, packed.shape[1]
    flat_a, flat_b = a.reshape(-1), packed.reshape(-1)
    width = a.shape[1]
    for block in range(blocks - 1, -1, -1):
        at = block * pairs * 4 * BLOCK
        for row in range(0, rows, ROWS):
            _halves(flat_a, row * width, width, flat_b, at, pairs, acc, row * columns + block * BLOCK, columns)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def multiply_wide(a: Any, rows: Any, packed: Any, columns: Any, acc: Any) -> None:
    """Write what `multiply` does into acc, flat float64, for sums of any size; weights within -32767..32767."""
    blocks, pairs = packed.shape[0], packed.shape[1]
    flat_a, flat_b = a.reshape(-1), packed.reshape(-1)
    for block in range(blocks - 1, -1, -1):
        at = block * pairs * 2 * BLOCK
        for row in range(0, rows, WIDE_ROWS):
            place = row * columns + block * BLOCK
            _wide_tile(flat_a, row * a.shape[1], a.shape[1], flat_b, at, pairs, acc, place, columns)
