"""The content of a TFLite file as plain values, read through the published flatbuffer schema (package `tflite`).

A flatbuffer is a web of offsets. A damaged one may point anywhere and claim vectors of any length, so every
length is held against the file's size before anything is read, and the total is bounded: reading costs time
and memory in proportion to the file, whatever is in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from slimai.errors import InputError
from slimai.graph.ir import Array

IDENTIFIER = b"TFL3"
LARGEST_RANK = 8
LARGEST_ELEMENTS = 2**31 - 1
_REUSE = 16  # a buffer may serve several tensors; together they are not larger than this many files
_DAMAGE = (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError, AttributeError, MemoryError)
_TYPES = {"INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32", "INT64": "int64"}
_FLOATS = {"FLOAT32": "float32", "FLOAT16": "float16", "BOOL": "bool", "FLOAT64": "float64"}  # and truth values
_OTHER_TYPES = {"UINT32": "uint32"}
_READ = {**_TYPES, **_FLOATS}

# Operator -> its options table and the scalar fields that are read.
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": (
        "Conv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat", "KeepNumDims")),
    "TRANSPOSE_CONV": ("TransposeConvOptions", ("Padding", "StrideH", "StrideW", "FusedActivationFunction")),
    **{name: (f"{name.title()}Options", ("FusedActivationFunction",)) for name in ("ADD", "SUB", "MUL", "DIV")},
    "CONV_3D": (
        "Conv3DOptions",
        (
            "Padding",
            "StrideD",
            "StrideH",
            "StrideW",
            "DilationDFactor",
            "DilationHFactor",
            "DilationWFactor",
            "FusedActivationFunction",
        ),
    ),
    "L2_NORMALIZATION": ("L2NormOptions", ("FusedActivationFunction",)),
    "PACK": ("PackOptions", ("Axis",)),
    "SQUEEZE": ("SqueezeOptions", ("SqueezeDims",)),
    "UNPACK": ("UnpackOptions", ("Axis",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    **dict.fromkeys(
        ("AVERAGE_POOL_2D", "MAX_POOL_2D"),
        ("Pool2DOptions", ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")),
    ),
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"),
        ("ReducerOptions", ("KeepDims",)),
    ),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        "UnidirectionalSequenceLSTMOptions",
        ("FusedActivationFunction", "CellClip", "ProjClip", "TimeMajor"),
    ),
    "VAR_HANDLE": ("VarHandleOptions", ("SharedName",)),
    "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
    "GELU": ("GeluOptions", ("Approximate",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters")),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """One tensor. scale, zero_point: [C] float64 / int64, empty when there are none. data: the constant, or None.

    signature: the shape with -1 where the file leaves a size open; () where it says nothing.
    variable: a state that the interpreter keeps from run to run.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: Array
    zero_point: Array
    axis: int = 0
    data: Array | None = None
    signature: tuple[int, ...] = ()
    variable: bool = False


@dataclass(frozen=True)
class FileOperator:
    """One operator: the schema's name of it, tensor numbers (-1: an absent optional input), scalar options.

    intermediates: tensors that tell scales inside it.
    """

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True)
class FileModel:
    """The first subgraph of a file.

    history: what was left out or computed while reading, one sentence each. initial: what variables are filled with
    before the first step, by their names. states: tensor that takes over -> what an earlier step gave, as pairs.
    """

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    history: tuple[str, ...] = ()
    initial: Mapping[str, Array] = field(default_factory=dict)
    states: tuple[tuple[int, int], ...] = ()


def read_file(path: str | Path) -> FileModel:
    """Return the main subgraph of a TFLite file.

    Raises:
        InputError: the file cannot be read, is no TFLite file, or is damaged.
    """
    where = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError.at(where, f"cannot be read: {error.strerror or error}") from None
    if data[4:8] != IDENTIFIER:
        raise InputError.at(where, "is not a TFLite file (no TFL3 mark)")
    try:
        return _Reader(data).model()
    except _DAMAGE as error:
        raise InputError.at(where, f"is a damaged TFLite file: {_sentence(error)}", cure="convert it again") from None


def _sentence(error: Exception) -> str:
    if isinstance(error, _DamagedError):
        return str(error)
    return "an offset or a length points outside the file"


class _DamagedError(ValueError):
    """The file contradicts itself; the message says where."""


def shared_name(op: FileOperator) -> str:
    """Return the name of the variable that a VAR_HANDLE names; empty where it gives none."""
    raw = op.options.get("SharedName")
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


@cache
def _names(enumeration: str) -> Mapping[int, str]:
    """Return value -> name of an enumeration of the schema."""
    import tflite  # noqa: PLC0415 - spares tflite

    members = vars(getattr(tflite, enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int) and not name.startswith("_")}


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = 4 * len(data) + 4096  # elements that may still be read
        self.constants = 0

    def model(self) -> FileModel:
        import tflite  # noqa: PLC0415 - spares tflite

        root = tflite.Model.GetRootAs(self.data, 0)
        if root.Version() != 3:
            raise _DamagedError(f"schema version {root.Version()} in place of 3")
        graph = root.Subgraphs(0) if root.SubgraphsLength() else None
        if graph is None:
            raise _DamagedError("it holds no subgraph")
        codes = [self._code(root.OperatorCodes(i)) for i in self._each(root.OperatorCodesLength())]
        tensors = tuple(self._tensor(root, graph.Tensors(i), i) for i in self._each(graph.TensorsLength()))
        operators = tuple(self._operator(graph.Operators(i), codes) for i in self._each(graph.OperatorsLength()))
        inputs = tuple(graph.Inputs(i) for i in self._each(graph.InputsLength()))
        outputs = tuple(graph.Outputs(i) for i in self._each(graph.OutputsLength()))
        self._check_numbers(len(tensors), operators, inputs, outputs)
        once = {op.options.get("InitSubgraphIndex", 0) for op in operators if op.code == "CALL_ONCE"} - {0}
        initial: dict[str, Array] = {}
        for number in sorted(once):
            initial |= self._initial(root, number, codes)
        more = root.SubgraphsLength() - 1 - len(once)
        history = (f"{more} of {root.SubgraphsLength()} subgraphs left out: the first is the network",) if more else ()
        return FileModel(tensors, operators, inputs, outputs, history, initial)

    def _initial(self, root: Any, number: int, codes: list[str]) -> dict[str, Array]:
        """Return what a subgraph assigns to variables: constants, by the variable's name."""
        if not 0 < number < root.SubgraphsLength():
            raise _DamagedError(f"subgraph {number} is named, which is not there")
        graph = root.Subgraphs(number)
        tensors = [self._tensor(root, graph.Tensors(i), i) for i in self._each(graph.TensorsLength())]
        operators = tuple(self._operator(graph.Operators(i), codes) for i in self._each(graph.OperatorsLength()))
        self._check_numbers(len(tensors), operators, (), ())
        names: dict[int, str] = {}
        found: dict[str, Array] = {}
        for op in operators:
            if op.code == "VAR_HANDLE" and len(op.outputs) == 1:
                names[op.outputs[0]] = shared_name(op) or tensors[op.outputs[0]].name
            elif op.code == "ASSIGN_VARIABLE" and len(op.inputs) == 2 and op.inputs[0] in names:
                value = tensors[op.inputs[1]].data
                found[names[op.inputs[0]]] = np.full(1, np.nan) if value is None else value  # computed: not known here
            else:
                raise _DamagedError(f"a subgraph that fills variables holds {op.code}")
        return found

    def _each(self, count: int) -> Iterator[int]:
        """Return the indices of a vector of `count` elements, taken from what may still be read."""
        self._take(count)
        return iter(range(count))

    def _take(self, count: int) -> None:
        self.left -= count
        if self.left < 0 or count < 0:
            raise _DamagedError("a vector is longer than the file")

    def _code(self, item: Any) -> str:
        number = max(item.BuiltinCode(), item.DeprecatedBuiltinCode())
        name = _names("BuiltinOperator").get(number, f"operator {number}")
        if name == "CUSTOM":
            return f"CUSTOM {self._text(item.CustomCode())}"
        return name

    def _text(self, raw: bytes | None) -> str:
        self._take(len(raw or b""))
        return (raw or b"").decode("utf-8", "replace")

    def _tensor(self, root: Any, item: Any, index: int) -> FileTensor:
        if item.ShapeLength() > LARGEST_RANK:
            raise _DamagedError(f"tensor {index} has {item.ShapeLength()} axes")
        shape = tuple(item.Shape(i) for i in self._each(item.ShapeLength()))
        if any(size < 0 for size in shape) or prod(shape) > LARGEST_ELEMENTS:
            raise _DamagedError(f"tensor {index} has the shape {list(shape)}")
        name = self._text(item.Name()) or f"tensor_{index}"
        kind = _names("TensorType").get(item.Type(), f"type {item.Type()}")
        dtype = _READ.get(kind) or _OTHER_TYPES.get(kind) or kind.lower()
        scale, zero, axis = self._quantization(item.Quantization())
        dense = item.Sparsity() is None
        data = self._constant(root, item.Buffer(), shape, dtype, name) if dtype in _READ.values() and dense else None
        if data is None and dtype not in _READ.values() and self._has_data(root, item.Buffer()):
            dtype = f"{dtype} constant"
        signature = tuple(item.ShapeSignature(i) for i in self._each(item.ShapeSignatureLength()))
        dtype = dtype if dense else f"sparse {dtype}"
        return FileTensor(name, shape, dtype, scale, zero, axis, data, signature, bool(item.IsVariable()))

    def _quantization(self, item: Any) -> tuple[Array, Array, int]:
        empty = np.zeros(0, np.int64)
        if item is None or not item.ScaleLength():
            return empty.astype(np.float64), empty, 0
        scale = np.array([item.Scale(i) for i in self._each(item.ScaleLength())], np.float64)
        zero = np.array([item.ZeroPoint(i) for i in self._each(item.ZeroPointLength())], np.int64)
        if zero.size not in (0, scale.size):
            raise _DamagedError(f"a tensor has {zero.size} zero points for {scale.size} scales")
        return scale, zero if zero.size else np.zeros(scale.size, np.int64), int(item.QuantizedDimension())

    @staticmethod
    def _has_data(root: Any, number: int) -> bool:
        return bool(0 < number < root.BuffersLength() and root.Buffers(number).DataLength())

    def _constant(self, root: Any, number: int, shape: tuple[int, ...], dtype: str, name: str) -> Array | None:
        """Return the constant, a view of the file; None for an activation, whose buffer is empty."""
        if not 0 <= number < root.BuffersLength():
            raise _DamagedError(f"tensor '{name}' names buffer {number}, which is not there")
        buffer = root.Buffers(number)
        length = buffer.DataLength()
        if length == 0:
            if buffer.Offset() > 1:
                raise _DamagedError(f"the data of tensor '{name}' lie behind the flatbuffer")
            return np.zeros(shape, dtype) if prod(shape) == 0 else None
        self.constants += length
        if length > len(self.data) or self.constants > _REUSE * len(self.data):
            raise _DamagedError("a vector is longer than the file")
        expected = prod(shape) * np.dtype(dtype).itemsize
        if length != expected:
            raise _DamagedError(f"tensor '{name}' has {length} bytes of data, its shape needs {expected}")
        raw: Array = buffer.DataAsNumpy()
        return raw.view(np.uint8).view(np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False).reshape(shape)

    def _operator(self, item: Any, codes: list[str]) -> FileOperator:
        code = codes[item.OpcodeIndex()]
        inputs = tuple(item.Inputs(i) for i in self._each(item.InputsLength()))
        outputs = tuple(item.Outputs(i) for i in self._each(item.OutputsLength()))
        inner = tuple(item.Intermediates(i) for i in self._each(item.IntermediatesLength()))
        return FileOperator(code, inputs, outputs, self._options(item, code), inner)

    def _options(self, item: Any, code: str) -> Mapping[str, Any]:
        """Return the fields of the options table; empty when the file has another table or none."""
        import tflite  # noqa: PLC0415 - spares tflite

        kind, fields = OPTIONS.get(code, ("", ()))
        table = item.BuiltinOptions()
        if not kind or table is None or item.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, kind):
            return {}
        options = getattr(tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        return {name: self._field(options, name) for name in fields}

    def _field(self, options: Any, name: str) -> Any:
        length = getattr(options, f"{name}Length", None)
        return (
            getattr(options, name)()
            if length is None
            else tuple(getattr(options, name)(i) for i in self._each(length()))
        )

    @staticmethod
    def _check_numbers(
        count: int, operators: tuple[FileOperator, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        """Refuse tensor numbers that are not there; -1 stands for an absent optional input."""
        read = {number for item in operators for number in (*item.inputs, *item.intermediates) if number != -1}
        written = [number for item in operators for number in item.outputs]
        wrong = sorted(n for n in read.union(written, inputs, outputs) if not 0 <= n < count)
        if wrong:
            raise _DamagedError(f"tensor {wrong[0]} is named, but there are {count}")
        if len(set(written)) < len(written) or set(written) & set(inputs) or len(set(inputs)) < len(inputs):
            raise _DamagedError("a tensor is written twice")
