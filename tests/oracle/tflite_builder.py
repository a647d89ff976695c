"""Small TFLite models, written with the published flatbuffer schema and run by LiteRT's reference kernels."""

from __future__ import annotations

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

_VERSIONS = {
    "HARD_SWISH": 1,
    "PRELU": 1,
    "DEPTH_TO_SPACE": 1,
    "RESHAPE": 1,
    "SQUEEZE": 1,
    "RELU_N1_TO_1": 1,
    **dict.fromkeys(("ELU", "SQUARE", "POW", "L2_NORMALIZATION", "CUMSUM", "REVERSE_V2", "RELU_0_TO_1", "SHAPE"), 1),
    **dict.fromkeys(("CAST", "FILL", "RANGE", "REDUCE_PROD", "FLOOR_DIV", "CONV_3D", "EXP", "FLOOR", "RANK"), 1),
    **dict.fromkeys(("ADD_N", "SELECT_V2", "CEIL", "ROUND", "SIN", "COS", "NEG"), 1),
    **dict.fromkeys(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"), 1),
    **dict.fromkeys(("EXPAND_DIMS", "SQUARED_DIFFERENCE", "GATHER_ND"), 1),
}  # the others: 2
_TYPES = {
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int16": tflite.TensorType.INT16,
    "int32": tflite.TensorType.INT32,
    "int64": tflite.TensorType.INT64,
    "float32": tflite.TensorType.FLOAT32,
    "float16": tflite.TensorType.FLOAT16,
    "bool": tflite.TensorType.BOOL,
    "resource": tflite.TensorType.RESOURCE,
}


@dataclass
class Tensor:
    """A tensor of the model; `data` makes it a constant. scale and zero_point: one, or one a channel of `axis`.

    signature: the shape with -1 for what the file leaves open.
    variable: a state that the interpreter keeps, zero at first.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: object = None
    zero_point: object = 0
    axis: int = 0
    data: np.ndarray | None = None
    signature: tuple[int, ...] = ()
    variable: bool = False


def _vector(builder, start, values, prepend):
    start(builder, len(values))
    for value in reversed(values):
        prepend(value)
    return builder.EndVector()


def _quantization(builder, tensor: Tensor):
    scale = [float(value) for value in np.atleast_1d(tensor.scale)]
    zero = [int(value) for value in np.broadcast_to(tensor.zero_point, (len(scale),))]
    scales = _vector(builder, tflite.QuantizationParametersStartScaleVector, scale, builder.PrependFloat32)
    zeros = _vector(builder, tflite.QuantizationParametersStartZeroPointVector, zero, builder.PrependInt64)
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zeros)
    tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.axis)
    return tflite.QuantizationParametersEnd(builder)


def _tensor(builder, tensor: Tensor, buffer: int):
    name = builder.CreateString(tensor.name)
    shape = _vector(builder, tflite.TensorStartShapeVector, list(tensor.shape), builder.PrependInt32)
    quantization = _quantization(builder, tensor) if tensor.scale is not None else None
    signature = None
    if tensor.signature:
        signature = _vector(
            builder, tflite.TensorStartShapeSignatureVector, list(tensor.signature), builder.PrependInt32
        )
    tflite.TensorStart(builder)
    if signature is not None:
        tflite.TensorAddShapeSignature(builder, signature)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, _TYPES[tensor.dtype])
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    if tensor.variable:
        tflite.TensorAddIsVariable(builder, True)
    return tflite.TensorEnd(builder)


def _buffer(builder, data):
    content = None
    if data is not None:
        content = builder.CreateByteVector(np.ascontiguousarray(data).tobytes())
    tflite.BufferStart(builder)
    if content is not None:
        tflite.BufferAddData(builder, content)
    return tflite.BufferEnd(builder)


def _options(builder, kind: str, fields: dict):
    """Return the table `<kind>Options` with these fields; a list or tuple becomes an int32 vector, a str a string."""
    if not kind:
        return None
    prefix = f"{kind}Options"
    ready = {}
    for name, value in fields.items():
        is_vector = isinstance(value, (list, tuple))
        start = getattr(tflite, f"{prefix}Start{name}Vector", None)
        ready[name] = _vector(builder, start, list(value), builder.PrependInt32) if is_vector else value
        ready[name] = builder.CreateString(value) if isinstance(value, str) else ready[name]
    getattr(tflite, f"{prefix}Start")(builder)
    for name, value in ready.items():
        getattr(tflite, f"{prefix}Add{name}")(builder, value)
    return getattr(tflite, f"{prefix}End")(builder)


@dataclass
class Step:
    """One operator of a model: BuiltinOperator name, tensor numbers, options table `kind` with `fields`.

    An absent input is -1. intermediates: tensors that tell scales inside an operator.
    """

    operator: str
    inputs: list[int]
    outputs: list[int]
    kind: str = ""
    fields: dict = field(default_factory=dict)
    version: int = 0
    intermediates: list[int] = field(default_factory=list)


def build(
    operator: str, inputs: list[Tensor], outputs: list[Tensor], kind: str = "", version: int = 0, **fields
) -> bytes:
    """Return a model of one builtin `operator` (BuiltinOperator name) with options table `kind` and its fields."""
    reads, count = list(range(len(inputs))), len(inputs) + len(outputs)
    step = Step(operator, reads, list(range(len(inputs), count)), kind, fields, version)
    feeds = [index for index, tensor in enumerate(inputs) if tensor.data is None]
    return build_network([*inputs, *outputs], [step], feeds, step.outputs)


@dataclass
class Subgraph:
    """A further subgraph of a model: its tensors, named by their place, and its operators."""

    tensors: list[Tensor]
    steps: list[Step]


def build_network(
    tensors: list[Tensor], steps: list[Step], inputs: list[int], outputs: list[int], more: tuple[Subgraph, ...] = ()
) -> bytes:
    """Return a model of several operators; tensors are named by their place in `tensors`."""
    builder = flatbuffers.Builder(1024)
    graphs = [Subgraph(tensors, steps), *more]
    buffers = [_buffer(builder, None)]
    buffers += [_buffer(builder, tensor.data) for graph in graphs for tensor in graph.tensors]
    every = [item for graph in graphs for item in graph.steps]
    codes = list(dict.fromkeys((item.operator, item.version or _VERSIONS.get(item.operator, 2)) for item in every))
    first, made = 1, []
    for graph in graphs:
        ends = (inputs, outputs) if not made else ([], [])
        made.append(_subgraph(builder, graph, [name for name, _ in codes], first, *ends))
        first += len(graph.tensors)
    return _finish(builder, codes, made, buffers)


def _subgraph(builder, graph: Subgraph, codes: list[str], first: int, inputs: list[int], outputs: list[int]):
    made = [_tensor(builder, tensor, first + index) for index, tensor in enumerate(graph.tensors)]
    operators = [_step(builder, item, codes.index(item.operator)) for item in graph.steps]
    listed = _vector(builder, tflite.SubGraphStartOperatorsVector, operators, builder.PrependUOffsetTRelative)
    described = _vector(builder, tflite.SubGraphStartTensorsVector, made, builder.PrependUOffsetTRelative)
    graph_ins = _vector(builder, tflite.SubGraphStartInputsVector, inputs, builder.PrependInt32)
    graph_outs = _vector(builder, tflite.SubGraphStartOutputsVector, outputs, builder.PrependInt32)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, described)
    tflite.SubGraphAddInputs(builder, graph_ins)
    tflite.SubGraphAddOutputs(builder, graph_outs)
    tflite.SubGraphAddOperators(builder, listed)
    return tflite.SubGraphEnd(builder)


def _step(builder, item: Step, code: int):
    options = _options(builder, item.kind, item.fields)
    ins = _vector(builder, tflite.OperatorStartInputsVector, item.inputs, builder.PrependInt32)
    outs = _vector(builder, tflite.OperatorStartOutputsVector, item.outputs, builder.PrependInt32)
    inner = _vector(builder, tflite.OperatorStartIntermediatesVector, item.intermediates, builder.PrependInt32)
    tflite.OperatorStart(builder)
    tflite.OperatorAddIntermediates(builder, inner)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, ins)
    tflite.OperatorAddOutputs(builder, outs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, f"{item.kind}Options"))
        tflite.OperatorAddBuiltinOptions(builder, options)
    return tflite.OperatorEnd(builder)


def _finish(builder, codes: list[tuple[str, int]], subgraphs, buffers) -> bytes:
    opcodes = [_code(builder, name, version) for name, version in codes]
    listed = _vector(builder, tflite.ModelStartOperatorCodesVector, opcodes, builder.PrependUOffsetTRelative)
    graphs = _vector(builder, tflite.ModelStartSubgraphsVector, subgraphs, builder.PrependUOffsetTRelative)
    stored = _vector(builder, tflite.ModelStartBuffersVector, buffers, builder.PrependUOffsetTRelative)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, listed)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, stored)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _code(builder, name: str, version: int):
    kind, _, custom = name.partition(" ")  # "CUSTOM Name" is a custom operator
    code = getattr(tflite.BuiltinOperator, kind)
    text = builder.CreateString(custom) if custom else None
    tflite.OperatorCodeStart(builder)
    if text is not None:
        tflite.OperatorCodeAddCustomCode(builder, text)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    tflite.OperatorCodeAddVersion(builder, version)
    return tflite.OperatorCodeEnd(builder)


def run(model: bytes, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of LiteRT's reference kernels."""
    interpreter = reference_interpreter(model)
    every_tensor(interpreter, feeds)
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def run_all(model: bytes, feeds: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Return every tensor that an operator writes, by number, as LiteRT's reference kernels compute it."""
    interpreter = reference_interpreter(model)
    return every_tensor(interpreter, feeds)


def reference_interpreter(model: bytes) -> Interpreter:
    """Return LiteRT with its reference kernels, ready to run, all tensors kept."""
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def every_tensor(interpreter: Interpreter, feeds: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Run the network and return every tensor that an operator writes, by number."""
    for detail, value in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    written = {int(number) for item in interpreter._get_ops_details() for number in item["outputs"]}
    return {number: interpreter.get_tensor(number) for number in sorted(written)}
