"""Windows to output integers at once: the sums of a register tile are requantized before they are stored (AVX-512).

Windows, offsets and packed weights are those of `_kernels_windows` and `_kernels_depthwise`; the arithmetic is that of
the kernel of `_kernels_requantize` which each rule names. NumPy twins of the same name: `_reference_fused`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from slimai.compiling import njit
from slimai.simulator import _kernels_depthwise as depth
from slimai.simulator._kernels_windows import TILE, HalfCode, QuadCode, WindowCode
from slimai.simulator.finish import Scaled, TwoStep, Xi
from slimai.simulator.tiles import BLOCK

_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_SUMS, _LONGS = ir.VectorType(_WORD, BLOCK), ir.VectorType(_LONG, BLOCK // 2)
_EVERY_OTHER = [place for lane in range(BLOCK // 2) for place in (lane, lane + BLOCK // 2)]


class Finish(ABC):
    """Emits what becomes of a row of sums; `table` gives the vectors of a block of 16 columns."""

    def __init__(self, builder: Any, tables: Any, count: int, block: Any, ends: tuple[Any, Any, Any]) -> None:
        self.builder, self._tables, self._count, self._block = builder, tables, count, block
        self._found: dict[tuple[int, int, int], Any] = {}
        zero, low, high = ends
        self.zero, self.low, self.high = (
            self.splat(value) for value in (zero, builder.sub(low, zero), builder.sub(high, zero))
        )

    kind: Any = _SUMS

    def splat(self, value: Any) -> Any:
        """Return a 32-bit integer in every lane."""
        nowhere = ir.Constant(_SUMS, ir.Undefined)
        single = self.builder.insert_element(nowhere, value, _WORD(0))
        return self.builder.shuffle_vector(single, nowhere, ir.Constant(_SUMS, None))

    def table(self, index: int, part: int, half: int = 0) -> Any:
        """Return the vector of table `index` for block `part` of the tile; `half`: of two where lanes are 64 bits."""
        if (index, part, half) not in self._found:
            builder, size = self.builder, 4 * BLOCK if self.kind is _SUMS else 8 * BLOCK
            block = builder.add(self._block, _LONG(part))
            at = builder.add(builder.mul(block, _LONG(size * self._count)), _LONG(size * index + half * size // 2))
            place = builder.bitcast(builder.gep(self._tables, [at]), self.kind.as_pointer())
            self._found[index, part, half] = builder.load(place, align=4)
        return self._found[index, part, half]

    def first(self, _part: int) -> Any:
        """Return what the sums of a block begin with."""
        return ir.Constant(_SUMS, None)

    @abstractmethod
    def value(self, terms: list[tuple[Any, int]], part: int) -> Any:
        """Return the integers, before zero point and clamp, of sums over (total, shift left)."""

    def finished(self, terms: list[tuple[Any, int]], part: int) -> Any:
        """Return the output integers, 32 bits each."""
        builder, value = self.builder, self.value(terms, part)
        value = builder.select(builder.icmp_signed("<", value, self.low), self.low, value)
        value = builder.select(builder.icmp_signed(">", value, self.high), self.high, value)
        return builder.add(value, self.zero)

    def lanes(self, value: Any) -> tuple[Any, Any]:
        """Return the even and the odd lanes as 64-bit integers."""
        builder, places = self.builder, ir.Constant(_LONGS, [32] * (BLOCK // 2))
        whole = builder.bitcast(value, _LONGS)
        return builder.ashr(builder.shl(whole, places), places), builder.ashr(whole, places)

    def constant(self, number: int) -> Any:
        """Return a 64-bit integer in every lane."""
        return ir.Constant(_LONGS, [number] * (BLOCK // 2))


class XiFinish(Finish):
    """`xi_rows`."""

    def first(self, part: int) -> Any:
        return self.table(0, part)

    def value(self, terms: list[tuple[Any, int]], part: int) -> Any:
        builder, ((total, _),) = self.builder, terms
        pre, least, most, factor, half, shift = (self.table(index, part) for index in range(1, 7))
        narrow = builder.ashr(total, pre)
        narrow = builder.select(builder.icmp_signed("<", narrow, least), least, narrow)
        narrow = builder.select(builder.icmp_signed(">", narrow, most), most, narrow)
        return builder.ashr(builder.add(builder.mul(narrow, factor), half), shift)


class TwoStepFinish(Finish):
    """`two_step_short_rows`."""

    def first(self, part: int) -> Any:
        return self.table(0, part)

    def value(self, terms: list[tuple[Any, int]], part: int) -> Any:
        builder, ((total, _),) = self.builder, terms
        factor, right, half, odd = (self.table(index, part) for index in range(1, 5))
        pairs = zip(self.lanes(total), self.lanes(factor), strict=True)
        even, other = (builder.add(builder.mul(a, b), self.constant(1 << 30)) for a, b in pairs)
        words = builder.bitcast(builder.lshr(even, self.constant(31)), _SUMS)
        upper = builder.bitcast(builder.shl(other, self.constant(1)), _SUMS)
        order = [lane + BLOCK * (lane % 2) for lane in range(BLOCK)]
        value = builder.shuffle_vector(words, upper, ir.Constant(_SUMS, order))
        sign = builder.ashr(value, ir.Constant(_SUMS, [31] * BLOCK))
        value = builder.sub(builder.add(value, half), builder.and_(sign, odd))
        return builder.ashr(value, right)


class ScaledFinish(Finish):
    """`scaled_long_rows`, where the product with no sum leaves 64 bits; lanes of tables: the even, then the odd."""

    kind = _LONGS

    def value(self, terms: list[tuple[Any, int]], part: int) -> Any:
        builder, found = self.builder, []
        split = [(self.lanes(total), left) for total, left in terms]
        for half in range(2):
            factor, offset, shift = (self.table(index, part, half) for index in range(3))
            factor = builder.ashr(builder.shl(factor, self.constant(32)), self.constant(32))  # told to be 32 bits
            product = offset
            for lanes, left in split:
                product = builder.add(product, builder.shl(builder.mul(lanes[half], factor), self.constant(left)))
            found.append(self._narrowed(builder.ashr(product, shift)))
        return builder.shuffle_vector(*found, ir.Constant(_SUMS, _EVERY_OTHER))

    def _narrowed(self, value: Any) -> Any:
        """Return 64-bit integers in 32 bits, saturated."""
        builder, low, high = self.builder, self.constant(-(1 << 31)), self.constant((1 << 31) - 1)
        value = builder.select(builder.icmp_signed("<", value, low), low, value)
        value = builder.select(builder.icmp_signed(">", value, high), high, value)
        return builder.trunc(value, ir.VectorType(_WORD, BLOCK // 2))


_FINISHES: dict[type, tuple[type[Finish], int]] = {
    Xi: (XiFinish, 7),
    TwoStep: (TwoStepFinish, 5),
    Scaled: (ScaledFinish, 3),
}


class _Output:
    """The arrays of one emission: array `at` of the arguments, and the stores of its rows."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.sig, self.args = context, builder, sig, args

    def data(self, at: int, element: Any) -> Any:
        """Return the address of an array's elements."""
        data = self.context.make_array(self.sig.args[at])(self.context, self.builder, self.args[at]).data
        return self.builder.bitcast(data, element.as_pointer())

    def finish(self, at: int, block: Any) -> Finish:
        """Return the rule that argument `at` names, for blocks from `block` on."""
        builder, kind = self.builder, self.sig.args[at]
        code, count = _FINISHES[kind.instance_class]
        tables, *ends = (builder.extract_value(self.args[at], field) for field in range(4))
        data = self.context.make_array(kind.types[0])(self.context, builder, tables).data
        return code(builder, builder.bitcast(data, _BYTE.as_pointer()), count, block, tuple(ends))

    def store(self, tile: WindowCode, totals: list[list[Any]], out: int, place: Any, step: Any, masks: Any) -> None:
        """Emit the stores of all rows of the tile into argument `out`; masks: the columns of each block that count."""
        builder, kind = self.builder, self.sig.args[out].dtype
        element = ir.IntType(kind.bitwidth)
        name = {8: "llvm.x86.avx512.mask.pmov.db.mem.512", 16: "llvm.x86.avx512.mask.pmov.dw.mem.512"}[kind.bitwidth]
        insert: Any = cgutils.get_or_insert_function
        few = ir.IntType(BLOCK)
        shape = ir.FunctionType(ir.VoidType(), (_BYTE.as_pointer(), _SUMS, few))
        narrow = insert(builder.module, shape, name)
        masks, base = [builder.trunc(mask, few) for mask in masks], self.data(out, element)
        halves = isinstance(tile, HalfCode)
        for row, sums in zip(tile.places, totals, strict=True):
            at = builder.add(place, builder.mul(step, row))
            outputs = [[(sums[0], 8), (sums[1], 0)]] if halves else [[(total, 0)] for total in sums]
            for part, (terms, mask) in enumerate(zip(outputs, masks, strict=False)):
                target = builder.gep(base, [builder.add(at, _LONG(part * BLOCK))])
                found = tile.finish.finished(terms, part)
                builder.call(narrow, (builder.bitcast(target, _BYTE.as_pointer()), found, mask))


def _code(x: Any, *, halves: bool) -> type[WindowCode]:
    if halves:
        return HalfCode
    return QuadCode if x.dtype.bitwidth == 8 else WindowCode


def _window_tile(rows: int, parts: int, *, halves: bool = False) -> Any:
    def tile(_typing: Any, x: Any, starts: Any, row: Any, last: Any, offsets: Any, weights: Any, w_at: Any, steps: Any, rule: Any, block: Any, out: Any, place: Any, step: Any, one: Any, two: Any) -> Any:  # noqa: E501, PLR0917  # fmt: skip
        """Write the rows from `row` to `last` at most of 16 (32) columns; masks `one` and `two`: those that count."""

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            output = _Output(context, builder, sig, args)
            code = _code(x, halves=halves)(builder, rows, parts)
            code.last, code.finish = args[3], output.finish(8, args[9])
            data, begin, at, packed = (output.data(*kind) for kind in ((0, _BYTE), (1, _WORD), (4, _WORD), (5, _BYTE)))
            totals = code.products(data, begin, args[2], at, packed, args[6], args[7])
            output.store(code, totals, 10, args[11], args[12], (args[13], args[14]))
            return context.get_dummy_value()

        kinds = (x, starts, row, last, offsets, weights, w_at, steps, rule, block, out, place, step, one, two)
        return types.void(*kinds), emit

    return intrinsic(tile)


def _depth_tile(*, halves: bool = False) -> Any:
    def tile(_typing: Any, x: Any, starts: Any, row: Any, last: Any, channel: Any, offsets: Any, groups: Any, weights: Any, w_at: Any, w_step: Any, rule: Any, block: Any, out: Any, place: Any, step: Any, mask: Any) -> Any:  # noqa: E501, PLR0917  # fmt: skip
        """Write the rows from `row` to `last` at most of 16 channels."""

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            output = _Output(context, builder, sig, args)
            code = _code(x, halves=halves)(builder, depth.PIXELS, 2 if halves else 1)
            code.last, code.finish = args[3], output.finish(10, args[11])
            kinds = ((0, code.element), (1, _WORD), (5, _WORD), (7, _BYTE))
            pointers = [output.data(at, kind) for at, kind in kinds]
            share = 4 if x.dtype.bitwidth == 8 else 2
            totals = depth.products(code, share, (args[2], args[4], args[6], args[8], args[9]), pointers)
            output.store(code, totals, 12, args[13], args[14], (args[15],))
            return context.get_dummy_value()

        kinds = (x, starts, row, last, channel, offsets, groups, weights, w_at, w_step, rule, block, out, place, step, mask)  # noqa: E501  # fmt: skip
        return types.void(*kinds), emit

    return intrinsic(tile)


_one, _two, _halves = _window_tile(TILE, 1), _window_tile(TILE // 2, 2), _window_tile(TILE // 2, 2, halves=True)
_depth, _depth_halves = _depth_tile(), _depth_tile(halves=True)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def windows_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write the output integers of windows of flat x, uint8 (quads) or int16 (pairs), into flat `out`.

    rule: see `finish`; its blocks from `block` on are those of these columns. Row r begins at first + r * step.
    """
    blocks, steps = packed.shape[0], packed.shape[1]
    size = steps * 4 * BLOCK
    every = (1 << BLOCK) - 1
    rest = (1 << (columns - (blocks - 1) * BLOCK)) - 1
    for pair in range(0, blocks - 1, 2):
        mask = rest if pair + 2 == blocks else every
        for row in range(0, rows, TILE // 2):
            _two(x, starts, row, rows - 1, offsets, packed, pair * size, steps, rule, block + pair, out, first + pair * BLOCK, step, every, mask)  # noqa: E501  # fmt: skip
    if blocks % 2:
        last = blocks - 1
        for row in range(0, rows, TILE):
            _one(x, starts, row, rows - 1, offsets, packed, last * size, steps, rule, block + last, out, first + last * BLOCK, step, rest, rest)  # noqa: E501  # fmt: skip


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def window_halves_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, columns: Any, rule: Any, block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501, PLR0917  # fmt: skip
    """Write what `windows_out` does; packed: blocks of high and of low weights take turns."""
    blocks, steps = packed.shape[0] // 2, packed.shape[1]
    size = steps * 8 * BLOCK
    for at in range(blocks):
        mask = (1 << min(columns - at * BLOCK, BLOCK)) - 1
        for row in range(0, rows, TILE // 2):
            _halves(x, starts, row, rows - 1, offsets, packed, at * size, steps, rule, block + at, out, first + at * BLOCK, step, mask, mask)  # noqa: E501  # fmt: skip


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depth_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, rule: Any, _block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501  # fmt: skip
    """Write what `windows_out` does of depthwise windows; blocks of the rule are `channel_blocks`."""
    groups, blocks = packed.shape[0], packed.shape[1]
    mask, size = (1 << min(channels, BLOCK)) - 1, 4 * BLOCK
    for row in range(0, rows, depth.PIXELS):
        for block in range(blocks):
            at = max(min(block * BLOCK, channels - BLOCK), 0)
            _depth(x, starts, row, rows - 1, at, offsets, groups, packed, block * size, blocks * size, rule, block, out, first + at, step, mask)  # noqa: E501  # fmt: skip


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def depth_halves_out(x: Any, starts: Any, rows: Any, offsets: Any, packed: Any, channels: Any, rule: Any, _block: Any, out: Any, first: Any, step: Any) -> None:  # noqa: E501  # fmt: skip
    """Write what `depth_out` does; packed: [groups, 2 * blocks, 16, 2], high and low in turn."""
    groups, blocks = packed.shape[0], packed.shape[1] // 2
    mask, size = (1 << min(channels, BLOCK)) - 1, 8 * BLOCK
    for row in range(0, rows, depth.PIXELS):
        for block in range(blocks):
            at = max(min(block * BLOCK, channels - BLOCK), 0)
            _depth_halves(x, starts, row, rows - 1, at, offsets, groups, packed, block * size, blocks * size, rule, block, out, first + at, step, mask)  # noqa: E501  # fmt: skip
