"""A small random ONNX network under construction: tensors, constants in many spellings, one operator at a time.

What a row of the operator table (`net_rows`) may ask:

``net.take(ranks)``      an activation of one of these ranks: an earlier one (so with several readers) or a new input
``net.constant(value)``  the name of a constant, written as an initializer, a Constant node, or behind Identity, Cast,
                         Transpose or DequantizeLinear
``net.node(op, ...)``    one node; shapes follow from ONNX's own inference. What a newer operator set wants as an input
                         and an older one as an attribute goes through ``steer`` and is spelled for ``net.opset`` here
``net.bounded(x, a, b)`` x kept inside [a, b], for functions with a domain
``net.weights(shape)``   random float32 values that keep the size of sums near 1
``net.drawn(strategy)``  any other choice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper, numpy_helper, shape_inference

LARGEST = 3000  # elements of an activation: milliseconds a network, not more
INPUTS = 4
IR_VERSION = 8
# suffixes that slimai's own stages add to a tensor's name: a network may have such names already
_SUFFIXES = (
    *("__q", "__dq", "__float", "__scale", "__zero_point", "__weight", "__bias", "_lo", "_hi", "_shape", "_relu"),
    *("_2", "_scaled", "_sigmoid", "_axes", "_split", "_sizes", "_pads", "_a", "_cropped", "_tied", ":0"),
)
_SPELLINGS = ("initializer", "initializer", "Constant", "Identity", "Cast", "Transpose", "DequantizeLinear")

# operator -> steering values in input order (behind the activations), and the operator set that made them inputs
STEERING: dict[str, tuple[tuple[str, ...], int]] = {
    "Clip": (("min", "max"), 11),
    "Slice": (("starts", "ends", "axes", "steps"), 10),
    "Pad": (("pads", "value", "axes"), 11),
    "Reshape": (("shape",), 5),
    "Expand": (("shape",), 8),
    "Tile": (("repeats",), 6),
    "Squeeze": (("axes",), 13),
    "Unsqueeze": (("axes",), 13),
    "Split": (("split",), 13),
    "ReduceSum": (("axes",), 13),
    "Resize": (("roi", "scales", "sizes"), 11),
    "Upsample": (("scales",), 9),
    **dict.fromkeys(
        (
            *("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare"),
            *("ReduceLogSum", "ReduceLogSumExp"),
        ),
        (("axes",), 18),
    ),
}


class Decline(Exception):  # noqa: N818 - a row that does not apply here is no error
    """A row has no form for what the network offers."""


@dataclass(frozen=True)
class Case:
    """A finished network and its samples.

    model: at batch 1, 3 or without a batch as `batch` says ('one', 'open', 'three', 'none'). rows: operators drawn.
    features: what is unusual about it, for the list of known faults. indices: an ArgMax output -> (the tensor that it
    reads, its attributes). host: forms that may run on the host though their operator has an integer kernel: the
    operator and part of the reason.
    """

    model: onnx.ModelProto
    feeds: tuple[dict[str, np.ndarray], ...]
    batch: str
    rows: tuple[str, ...]
    features: frozenset[str]
    indices: dict[str, tuple[str, dict[str, Any]]]
    host: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Return the network as text, for a falsifying example."""
        return f"Case(batch={self.batch}, {sorted(self.features)})\n{onnx.printer.to_text(self.model)}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


@dataclass
class Net:
    """The network so far; see the module's docstring for what rows use."""

    draw: Any
    opset: int
    batch: str
    naming: str
    rng: np.random.Generator
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)
    indices: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    host: list[tuple[str, str]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def on_host(self, op: str, reason: str) -> None:
        """Say that a form of an integer operator may run on the host, for a reason that has these words."""
        self.host.append((op, reason))

    # choices

    def drawn(self, strategy: st.SearchStrategy) -> Any:
        """Return a value of the strategy."""
        return self.draw(strategy)

    def among(self, *items: Any) -> Any:
        """Return one of these."""
        return self.draw(st.sampled_from(items))

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return self.draw(st.integers(low, high))

    def coin(self) -> bool:
        """Return True or False."""
        return self.draw(st.booleans())

    def rare(self, chance: int = 8) -> bool:
        """Return True once in about `chance` calls."""
        return self.draw(st.integers(0, chance - 1)) == chance - 1

    # activations

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor (an open batch counts as 1)."""
        return self.shapes[name]

    def take(self, ranks: Sequence[int] = (1, 2, 3, 4, 5), *, most: int = LARGEST) -> str:
        """Return an activation of one of these ranks and at most so many elements."""
        fits = [name for name in self.live if len(self.shapes[name]) in ranks and prod(self.shapes[name]) <= most]
        fresh = len(self.inputs) < INPUTS and (not fits or (len(self.inputs) < 2 and self.rare(6)))
        if fresh:
            return self.new_input(self._input_shape(self.among(*ranks)))
        if not fits:
            raise Decline
        return fits[-1] if self.integer(0, 2) else self.among(*fits)

    def new_input(self, shape: Sequence[int]) -> str:
        """Return a new network input of this shape."""
        if len(self.inputs) >= INPUTS or prod(shape) > LARGEST:
            raise Decline
        name = self.name("x")
        self.inputs.append(name)
        self._know(name, helper.make_tensor_type_proto(TensorProto.FLOAT, [int(size) for size in shape]))
        self.live.append(name)
        return name

    def roots(self, name: str) -> set[str]:
        """Return the network inputs that a tensor depends on."""
        if name in self.inputs:
            return {name}
        reads = [source for node in self.nodes if name in node.output for source in node.input if source]
        return set().union(*map(self.roots, reads))

    def _input_shape(self, rank: int) -> tuple[int, ...]:
        largest = {1: 12, 2: 10, 3: 9, 4: 9, 5: 4}[rank]
        sizes = [self.integer(1, largest) for _ in range(rank)]
        if rank > 1 or self.batch == "three":
            sizes[0] = {"one": 1, "open": 1, "three": 3, "none": sizes[0]}[self.batch]
        if self.batch == "none" and sizes[0] == 1:
            sizes[0] = 2
        return tuple(sizes)

    def bounded(self, name: str, low: float, high: float) -> str:
        """Return the tensor clipped to [low, high]."""
        return self.node("Clip", [name], steer={"min": np.float32(low), "max": np.float32(high)})

    # constants

    def weights(self, shape: Sequence[int], terms: int | None = None) -> np.ndarray:
        """Return random float32 values; sums of `terms` products (default: all but the first axis) stay near 1."""
        terms = prod(shape[1:]) if terms is None else terms
        return (self.rng.normal(size=shape) / np.sqrt(max(terms, 1))).astype(np.float32)

    def positive(self, shape: Sequence[int], low: float = 0.5, high: float = 2.0) -> np.ndarray:
        """Return random float32 values from low to high."""
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def constant(self, value: Any, *, exact: bool = False) -> str:
        """Return the name of a constant of these values, in one of the spellings of a constant.

        exact: the values matter; else a DequantizeLinear may round them to 8 bits.
        """
        array = np.asarray(value)
        spelling = self.among(*_SPELLINGS) if self.rare(3) else "initializer"
        make = {
            "Constant": self._constant_node, "Identity": self._identity, "Cast": self._cast,
            "Transpose": self._transposed, "DequantizeLinear": self._dequantized,
        }.get(spelling)  # fmt: skip
        unfit = (
            (spelling == "DequantizeLinear" and (exact or array.dtype != np.float32 or self.opset < 10))
            or (spelling == "Transpose" and array.ndim < 2)
            or (spelling == "Constant" and array.dtype.kind == "i" and self.opset < 9)
        )
        if make is None or unfit:
            return self._initializer(array)
        self.features.add(f"constant behind {spelling}")
        return make(array)

    def _initializer(self, array: np.ndarray) -> str:
        name = self.name("c")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        self._know(name, helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
        return name

    def _constant_node(self, array: np.ndarray) -> str:
        return self._raw("Constant", [], {"value": numpy_helper.from_array(array)})

    def _identity(self, array: np.ndarray) -> str:
        return self._raw("Identity", [self._initializer(array)], {})

    def _cast(self, array: np.ndarray) -> str:
        wide = {np.dtype(np.float32): np.float64, np.dtype(np.int64): np.int32}.get(array.dtype)
        if wide is None or (array.dtype == np.int64 and array.size and np.abs(array).max() > 2**31 - 1):
            return self._initializer(array)
        to = helper.np_dtype_to_tensor_dtype(array.dtype)
        return self._raw("Cast", [self._initializer(array.astype(wide))], {"to": to})

    def _transposed(self, array: np.ndarray) -> str:
        perm = self.draw(st.permutations(range(array.ndim)))
        return self._raw("Transpose", [self._initializer(array.transpose(np.argsort(perm)))], {"perm": perm})

    def _dequantized(self, array: np.ndarray) -> str:
        axis = self.integer(0, array.ndim - 1) if array.ndim and self.opset >= 13 and self.coin() else None
        others = tuple(i for i in range(array.ndim) if i != axis)
        largest = np.abs(array).max(axis=None if axis is None else others, keepdims=axis is not None, initial=0)
        scale = np.maximum(largest / 127, 1e-6).astype(np.float32)
        stored = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
        inputs = [self._initializer(stored), self._initializer(scale.reshape(() if axis is None else (-1,)))]
        if self.coin():
            inputs.append(self._initializer(np.zeros(inputs_shape(scale, axis), np.int8)))
        return self._raw("DequantizeLinear", inputs, {} if axis is None else {"axis": axis})

    # nodes

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        attrs: dict[str, Any] | None = None,
        *,
        steer: dict[str, Any] | None = None,
        outputs: int = 1,
        shape: Sequence[int] | None = None,
        domain: str = "",
    ) -> Any:
        """Return the output of a new node, or the tuple of its outputs where there are several.

        steer: values that steer the operator (a key of `STEERING`): attributes or constant inputs as the operator set
        wants it; None leaves one out. shape: where ONNX's inference does not know what ONNX Runtime does.
        """
        attrs, inputs = dict(attrs or {}), list(inputs)
        if steer is not None:
            order, since = STEERING[op]
            given = {key: value for key, value in steer.items() if value is not None}
            if self.opset < since:
                attrs |= {key: _plain(value) for key, value in given.items()}
            else:
                last = max((order.index(key) for key in given), default=-1)
                # operator sets 11 and 12 of Resize want an empty tensor where later ones want no name
                absent = np.zeros(0, np.float32) if op == "Resize" and self.opset < 13 else None
                for key in order[: last + 1]:
                    value = given.get(key, absent)
                    inputs.append("" if value is None else self._steering(value))
        return self._raw(op, inputs, attrs, outputs=outputs, shape=shape, domain=domain, live=True)

    def _steering(self, value: Any) -> str:
        array = np.asarray(value)
        return self.constant(
            array.astype(np.int64) if array.dtype.kind == "i" else array.astype(np.float32), exact=True
        )

    def _raw(self, op, inputs, attrs, *, outputs=1, shape=None, domain="", live=False) -> Any:
        names = [self.name(op.lower()) for _ in range(outputs)]
        proto = helper.make_node(op, list(inputs), names, name=self._node_name(op, names[0]), domain=domain, **attrs)
        types = self._inferred(proto)
        if shape is not None:
            types[names[0]] = helper.make_tensor_type_proto(TensorProto.FLOAT, [int(size) for size in shape])
        sizes = [tuple(dim.dim_value for dim in types[name].tensor_type.shape.dim) for name in names]
        if any(min(item, default=1) < 1 or prod(item) > 4 * LARGEST for item in sizes):
            raise Decline
        self.nodes.append(proto)
        for name in names:
            self._know(name, types[name])
            if live and types[name].tensor_type.elem_type == TensorProto.FLOAT:
                self.live.append(name)
        return names[0] if outputs == 1 else tuple(names)

    def _inferred(self, proto: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        schema = defs.get_schema(proto.op_type, max_inclusive_version=self.opset, domain=proto.domain)
        known = {name: self.types[name] for name in proto.input if name}
        data = {item.name: item for item in self.initializers if item.name in known}
        data |= {name: value for name in known if (value := self._followed(name)) is not None}
        opsets = [helper.make_opsetid("", self.opset)]
        try:
            return shape_inference.infer_node_outputs(
                schema, proto, known, data, opset_imports=opsets, ir_version=IR_VERSION
            )
        except shape_inference.InferenceError as error:
            raise Decline from error

    def _followed(self, name: str) -> onnx.TensorProto | None:
        """Return the value of a steering constant that stands behind a node."""
        proto = next((item for item in self.nodes if name in item.output), None)
        if proto is None:
            return None
        if proto.op_type == "Constant":
            return proto.attribute[0].t
        source = next((item for item in self.initializers if proto.input and item.name == proto.input[0]), None)
        if source is None or proto.op_type not in {"Identity", "Cast"}:
            return None
        kind = helper.tensor_dtype_to_np_dtype(self.types[name].tensor_type.elem_type)
        return numpy_helper.from_array(numpy_helper.to_array(source).astype(kind), name)

    def _know(self, name: str, kind: onnx.TypeProto) -> None:
        self.types[name] = kind
        self.shapes[name] = tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)

    # names

    def name(self, stem: str) -> str:
        """Return a free tensor name in the network's style."""
        count = len(self.taken)
        found = {"slashes": f"/model.{count}/{stem}/out:0", "numbers": str(count)}.get(self.naming, f"{stem}{count}")
        if self.naming == "colliding" and self.types and self.coin():
            made = self.among(*list(self.types)[-4:]) + self.among(*_SUFFIXES)
            if made not in self.taken:
                self.features.add("colliding names")
                found = made
        found = found if found not in self.taken else f"{found}n{count}"
        self.taken.add(found)
        return found

    def _node_name(self, op: str, output: str) -> str:
        return {"plain": f"{op}_{len(self.nodes)}", "numbers": "", "slashes": output, "colliding": op}[self.naming]


def inputs_shape(scale: np.ndarray, axis: int | None) -> tuple[int, ...]:
    """Return the shape of the zero point beside a scale: one number, or one for each place along the axis."""
    return () if axis is None else (scale.size,)


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    return array.tolist() if array.ndim else array.item()
