"""What a layer's C is made of: pointers to tensors, scratch memory, constants, tables, calls of kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.codegen.constants import C_TYPES, Constants, smallest
from slimai.codegen.kernels import KernelSet
from slimai.codegen.layouts import Order
from slimai.codegen.loops import Nest, fold
from slimai.quantizer.params import QParams
from slimai.simulator.accumulate import Accumulator, accumulator
from slimai.simulator.context import LayerContext
from slimai.simulator.fixed_point import S32_HIGH
from slimai.simulator.requantize import Requantizer

Array = NDArray[Any]
_MOST_SHIFT = 62  # of 64 bits: beyond it nothing is left
_ADDED = 1 << 16  # what rounding and limits may add to a sum of 32 bits


@dataclass(frozen=True)
class Pointer:
    """A local pointer of a layer's C: to a tensor, or to scratch memory of `size` bytes where `tensor` is empty."""

    name: str
    c_type: str
    tensor: str = ""
    size: int = 0
    written: bool = False


@dataclass
class Step:
    """The C of one layer.

    alias: the tensor whose memory the output shares as it is; there is no code then. in_place: inputs whose memory the
    output may take over.
    """

    index: int
    name: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pointers: list[Pointer] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    alias: str = ""
    in_place: tuple[str, ...] = ()
    table_bytes: int = 0


class LayerWriter:
    """Collects the C of one layer.

    compiled: the tables of the simulator's layer. orders: tensor -> axes in memory order. Kernels read inputs in the
    order they ask for; where a tensor lies otherwise, a copy in scratch memory comes first.
    """

    def __init__(
        self, index: int, context: LayerContext, compiled: Mapping[str, Array], orders: Mapping[str, Order],
        constants: Constants, kernels: KernelSet,
    ) -> None:  # fmt: skip
        layer = context.layer
        self.compiled = compiled
        self.context, self.layer, self.graph, self.orders = context, layer, context.graph, orders
        self.constants, self.kernels = constants, kernels
        self.step = Step(index, layer.name, "", layer.inputs, layer.outputs)
        self._locals = 0
        self._after: list[tuple[str, str, str, Array, Array]] = []

    # Tensors

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the logical shape."""
        return self.graph.shape(tensor)

    def memory_shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape in memory order."""
        return tuple(self.shape(tensor)[axis] for axis in self.orders[tensor])

    def axis(self, tensor: str, logical: int) -> int:
        """Return where a logical axis lies in memory."""
        return self.orders[tensor].index(logical)

    def places(self, tensor: str) -> NDArray[np.int32]:
        """Return the place in memory of every element, in the tensor's logical shape."""
        shape = self.memory_shape(tensor)
        found = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
        return found.transpose(np.argsort(self.orders[tensor])) if shape else found

    def in_memory(self, tensor: str, logical: Array) -> Array:
        """Return an array of the tensor's logical rank, flat, in its memory order."""
        return np.ascontiguousarray(logical.transpose(self.orders[tensor]) if logical.ndim else logical).reshape(-1)

    def c_type(self, tensor: str) -> str:
        """Return the C type of a tensor's elements."""
        params = self.context.tensors.get(tensor)
        return "int64_t" if params is None else C_TYPES[params.dtype.numpy]

    def count(self, tensor: str) -> int:
        """Return the number of elements."""
        return int(np.prod(self.shape(tensor)))

    def input(self, tensor: str, order: Order | None = None) -> str:
        """Return the pointer to an input, in this order of axes (default: as it lies)."""
        name = self._pointer(Pointer(self._local("x"), self.c_type(tensor), tensor))
        if order is None or order == self.orders[tensor]:
            return name
        wanted = self.places(tensor).transpose(order)
        if np.array_equal(wanted.reshape(-1), np.arange(wanted.size)):
            return name
        copy = self.scratch(self.c_type(tensor), self.count(tensor))
        self.copy(name, copy, self.c_type(tensor), wanted, np.arange(wanted.size))
        return copy

    def output(self, tensor: str | None = None, order: Order | None = None) -> str:
        """Return the pointer to an output (default: the first), which the kernel writes in this order of axes.

        Where it lies otherwise, the kernel writes scratch memory, and `finish` copies it.
        """
        tensor = tensor or self.layer.outputs[0]
        name = self._pointer(Pointer(self._local("y"), self.c_type(tensor), tensor, written=True))
        if order is None or order == self.orders[tensor]:
            return name
        places = self.places(tensor).transpose(order)
        if np.array_equal(places.reshape(-1), np.arange(places.size)):
            return name
        scratch = self.scratch(self.c_type(tensor), self.count(tensor))
        self._after.append((scratch, name, self.c_type(tensor), np.arange(places.size), places))
        return scratch

    def finish(self) -> Step:
        """Return the layer's C, what had to wait for its kernels behind them."""
        for source, target, c_type, places, to in self._after:
            self.copy(source, target, c_type, places, to)
        return self.step

    def scratch(self, c_type: str, count: int) -> str:
        """Return a pointer to scratch memory of so many elements."""
        size = count * _bytes(c_type)
        return self._pointer(Pointer(self._local("scratch"), c_type, size=size, written=True))

    def _pointer(self, pointer: Pointer) -> str:
        for known in self.step.pointers:
            if pointer.tensor and (known.tensor, known.written) == (pointer.tensor, pointer.written):
                return known.name
        self.step.pointers.append(pointer)
        return pointer.name

    def _local(self, stem: str) -> str:
        self._locals += 1
        return f"{stem}{self._locals}"

    # Constants and tables

    def constant(self, what: str, values: Array, c_type: str = "") -> str:
        """Return the expression of a constant array, of this type, else of the smallest signed one."""
        array = smallest(values) if not c_type else np.asarray(values).astype(c_type.removesuffix("_t"))
        self.step.table_bytes += array.nbytes
        return self.constants.add(f"{what}_{self.step.index}", array)

    def struct(self, kind: str, members: Iterable[Any], stem: str = "s", *, fixed: bool = True) -> str:
        """Return the name of a local constant of a struct (or array) type with these initializers."""
        name = self._local(stem)
        declared = kind.replace("@", name) if "@" in kind else f"{kind} {name}"
        keyword = "static const" if fixed else "const"
        self.step.lines.append(f"{keyword} {declared} = {{{', '.join(str(item) for item in members)}}};")
        return name

    def nest(self, nest: Nest) -> str:
        """Return the name of a local nest of loops over two lists (or one)."""
        sizes, strides = nest.padded()
        parts = [sizes, strides[0], strides[-1]]
        return self.struct("nest", ["{" + ", ".join(map(str, part)) + "}" for part in parts], "n")

    def accumulator(self, bound: float) -> Accumulator:
        """Return the accumulator of sums of magnitude up to `bound`, bias included."""
        return accumulator(self.context, bound)

    def tables(self, requantizer: Requantizer, limit: Accumulator | None = None, stem: str = "") -> tuple[str, str]:
        """Return the address of the requantization's tables and the stem of the function that reads them."""
        rule, out = requantizer.rule.name, requantizer.out
        arrays = [self.constant(f"{what}{stem}", values, kind) for what, values, kind in _arrays(requantizer)]
        checked = limit is not None and limit.checked
        ends = [limit.bits, int(limit.overflow == "wrap")] if limit is not None and checked else [0, 0]
        members = [
            *arrays, int(requantizer.channels > 1), out.zero_point, requantizer.low, requantizer.high, *ends
        ]  # fmt: skip
        name = self.struct(f"{rule}_table", members, "q", fixed=not self.constants.as_file)
        return f"&{name}", rule

    def sum_type(self, limit: Accumulator, *others: float) -> str:
        """Return the C type of sums: 32 bits where `limit` and other bounds of partial sums allow."""
        wide = limit.checked or max((limit.bound, *others)) >= S32_HIGH - _ADDED
        return "int64_t" if wide else "int32_t"

    # Calls

    def pictures(self, source: str, target: str) -> tuple[str, str]:
        """Return the input and the output of one picture, for `call_by_picture`."""
        count, x, y = self._pictures, self.count(self.layer.inputs[0]), self.count(self.layer.outputs[0])
        if count == 1:
            return source, target
        return f"{source} + picture * {x // count}", f"{target} + picture * {y // count}"

    @property
    def _pictures(self) -> int:
        return self.shape(self.layer.outputs[0])[0]

    def call(self, kernel: str, arguments: Iterable[Any], *, rule: str = "", **types: str) -> None:
        """Call a kernel for these types; rule: the stem of its requantization, by the width of `acc_t`."""
        if rule:
            types["tail"] = f"{rule}_{'s64' if types.get('acc_t', 'int64_t') == 'int64_t' else 's32'}"
        name = self.kernels.use(kernel, **types)
        self.step.lines.append(f"{name}({', '.join(str(item) for item in arguments)});")

    def call_by_picture(self, kernel: str, arguments: Iterable[Any], *, rule: str = "", **types: str) -> None:
        """Call a kernel once for each picture of the layer, with the pointers of `pictures`."""
        self.call(kernel, arguments, rule=rule, **types)
        if self._pictures > 1:
            loop = f"for (int32_t picture = 0; picture < {self._pictures}; picture++)"
            self.step.lines[-1] = f"{loop} {{ {self.step.lines[-1]} }}"

    def copy(self, source: str, target: str, c_type: str, places: Array, to: Array) -> None:
        """Copy elements at `places` of `source` to the places `to` of `target`, in the order of `to`."""
        order = np.argsort(np.asarray(to).reshape(-1), kind="stable")
        reads, writes = np.asarray(places).reshape(-1)[order], np.asarray(to).reshape(-1)[order]
        if not reads.size:
            return
        nest = fold([reads, writes])
        if nest is None:
            lists = [self.constant(what, item, "int32_t") for what, item in (("from", reads), ("to", writes))]
            self.call("copy_listed", [source, reads.size, *lists, target], x_t=c_type)
            return
        self.call("copy", [
            offset(source, nest.first[0]), f"&{self.nest(nest)}", offset(target, nest.first[1])
        ], x_t=c_type)  # fmt: skip

    def spread(self, source: str, c_type: str, places: Array) -> str:
        """Return scratch memory that holds, in a row, the elements of `source` at these places."""
        row = self.scratch(c_type, places.size)
        self.copy(source, row, c_type, places, np.arange(places.size))
        return row


def offset(pointer: str, elements: int) -> str:
    """Return the C expression of a pointer moved by so many elements."""
    return f"{pointer} + {elements}" if elements else pointer


def params_type(params: QParams) -> str:
    """Return the C type of integers of these parameters."""
    return C_TYPES[params.dtype.numpy]


def _bytes(c_type: str) -> int:
    return np.dtype(c_type.removesuffix("_t")).itemsize


def _arrays(requantizer: Requantizer) -> list[tuple[str, Array, str]]:
    """Return (name, values, C type) of the tables of a requantization, in the order of its struct."""
    rule = requantizer.rule
    if rule.final == "half_away":
        fraction, exponent = np.frexp(requantizer.real)
        return [
            ("multiplier", np.ldexp(fraction, 53).astype(np.uint64), "uint64_t"),
            ("exponent", exponent.astype(np.int64) - 53, "int16_t"),
        ]
    shift = np.minimum(requantizer.shift, _MOST_SHIFT)
    if rule.pre_shift:
        pre = np.minimum(requantizer.pre_shift, _MOST_SHIFT)
        return [
            ("multiplier", requantizer.multiplier, "uint16_t"),
            ("pre", pre, "uint8_t"),
            ("shift", shift, "uint8_t"),
        ]
    kind = "int16_t" if rule.multiplier_bits == 15 else "int32_t"
    return [("multiplier", requantizer.multiplier, kind), ("shift", shift, "int8_t")]
