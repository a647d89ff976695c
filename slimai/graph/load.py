"""The way from an ONNX file to a `Graph`: read, check, fix shapes, optimize, canonicalize.

What is shared with other doors to the onnx package stands in `fixed_batch`, `infer`, `limits`, `qlinear`, `save`,
`single_precision`, `spelling`, `steps_first` and `upgrade`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import checker, external_data_helper, helper, numpy_helper
from onnx.inliner import inline_local_functions

from slimai.errors import Diagnostic, InputError, UnsupportedError
from slimai.graph.attributes import attribute_value, refuse_unknown_forms
from slimai.graph.batch import with_batch
from slimai.graph.canonical import canonicalize, canonicalize_again
from slimai.graph.cut import cut_at
from slimai.graph.damage import damage_refused
from slimai.graph.fixed_batch import pictures_of_one, require_apart
from slimai.graph.group_norm import with_spelled_groups
from slimai.graph.infer import all_static, inferred_types, static_types
from slimai.graph.input_shapes import ShapeCure, fix_input_shapes, in_configuration
from slimai.graph.ir import Array, Graph, Node, TensorInfo
from slimai.graph.limits import LARGEST_BYTES, refuse_absurd_numbers
from slimai.graph.not_finite import refuse_not_finite
from slimai.graph.optimize import first_line, optimize_offline
from slimai.graph.parameter_check import require_fitting_parameters
from slimai.graph.passes import BASIC_PASSES, FLOAT_BASIC_PASSES, PASSES, run_passes
from slimai.graph.qlinear import expanded
from slimai.graph.resize_shape import with_settled_sizes
from slimai.graph.single_precision import in_single_precision
from slimai.graph.spelling import plainly_spelled, with_foreign_shapes
from slimai.graph.steps_first import with_steps_first
from slimai.graph.tflite.floats.load import history_of, onnx_of_tflite, states_of
from slimai.graph.upgrade import OLDEST_OPSET, opset_of, upgraded

_LIBRARY_ERRORS = (
    checker.ValidationError,
    DecodeError,
    EncodeError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    MemoryError,
)


@damage_refused("ONNX model")
def load_onnx(
    path: str | Path,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    name: str | None = None,
    optimize: bool = True,
    batch_of_one: bool = False,
    pictures: Container[str] = (),
    cut_outputs: Sequence[str] = (),
    shape_cure: ShapeCure = in_configuration,
) -> Graph:
    """Return the network in the file as a canonical graph with static shapes at batch 1.

    Args:
        path: ONNX model, opset 7 or later, below 2 GB in memory, external data in its folder; or a float *.tflite.
        input_shapes: input name -> whole shape, for inputs whose dimensions the file leaves open.
        name: name of the graph; default the file's stem.
        batch_of_one: a given shape's first axis is a batch, held as 1, where the model leaves it open or says 1; where
            the model has another size, or one axis, it is the model's own.
        pictures: inputs that hold pictures, [N, ., ., .]: a batch that the model fixes is taken as 1, which is refused
            where operators depend on it.
        cut_outputs: tensors that the network ends at, as its outputs in this order; empty = the whole network.
        shape_cure: says how a shape is given, for inputs that the file leaves open.
        optimize: False takes an already quantized model as it is: nothing is fused, inputs may be integers.

    Raises:
        InputError: the file cannot be read, is no valid model, or leaves a dimension open.
        UnsupportedError: the model uses something that slimai does not run; every instance is named.
    """
    where = str(path)
    tflite = Path(path).suffix.lower() == ".tflite"
    told: tuple[str, ...] = ()
    states: dict[str, str] = {}
    if tflite:
        model = onnx_of_tflite(path, input_shapes, cut_outputs)
        told, states = history_of(model), states_of(model)
    else:
        model = plainly_spelled(_read(Path(path), where))
        told = in_single_precision(model) if optimize else ()
        model = cut_at(model, cut_outputs, where) if cut_outputs else model
    given = pictures_of_one(model, pictures) if pictures else {}
    fixed = {name: size for name, size in given.items() if name not in (input_shapes or {})}
    shapes = {**{name: (1, *shape[1:]) for name, shape in fixed.items()}, **(input_shapes or {})}
    fix_input_shapes(model, shapes, where, batch_of_one=batch_of_one, shape_cure=shape_cure)
    model = _checked(model, where)
    _number_equal_names(model)  # before the conversion, which runs the model, and after it, which adds nodes
    model = with_steps_first(upgraded(with_steps_first(model), where))
    refuse_unknown_forms(model, where)
    _number_equal_names(model)
    model = model if optimize else expanded(model)
    model = with_settled_sizes(with_spelled_groups(model, where), where)
    inferred_types(model, where)  # refuses impossible sizes before native code meets them
    graph = _to_graph(_optimized(model, where, fuse=optimize), name or Path(path).stem, where)
    if optimize:
        _require_float_inputs(graph, where)
    graph, _ = run_passes(canonicalize(graph), FLOAT_BASIC_PASSES if optimize else BASIC_PASSES)
    graph = canonicalize_again(graph)
    require_fitting_parameters(graph, where)
    refuse_not_finite(graph, where)
    graph, _ = run_passes(graph, PASSES if optimize else ())
    graph = with_batch(graph)
    require_apart(graph, fixed, where)
    return replace(graph, history=(*told, *graph.history), states=states)


def _optimized(model: onnx.ModelProto, where: str, *, fuse: bool) -> onnx.ModelProto:
    """Return the model as ONNX Runtime rewrites it.

    It writes operators out that are functions of others (GroupNormalization) after it has inferred shapes and folded
    constants, so what computes their shapes is folded in a second turn only.
    """
    found = onnx.load_model_from_string(optimize_offline(_serialized(model, where), where, fuse=fuse))
    if not fuse or all_static(found, static_types(found, where)):
        return found
    return onnx.load_model_from_string(optimize_offline(_serialized(found, where), where, fuse=fuse))


def _read(path: Path, where: str) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError.at(where, f"the model file cannot be read: {first_line(error)}") from error
    if not path.is_file():
        raise InputError.at(where, "this is not a file", cure="name an ONNX file")
    if size > LARGEST_BYTES:
        raise InputError.at(where, "the model file is 2 GB or larger", size, cure="store its weights as external data")
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
        if not model.ir_version or not model.HasField("graph") or not model.graph.node:
            raise InputError.at(where, "this is no ONNX model, or only a part of one", cure="export the model again")
        _load_external_data(model, path.resolve().parent, where)
        _check_opsets(model, where)
    except OSError as error:
        raise InputError.at(where, f"the model file cannot be read: {first_line(error)}") from error
    except _LIBRARY_ERRORS as error:
        raise _invalid(error, where) from error
    return model


def _invalid(error: Exception, where: str) -> InputError:
    cure = "export the model again, or copy the whole file"
    return InputError.at(where, f"this is no valid ONNX model: {first_line(error)}", cure=cure)


def _checked(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model without functions, after the ONNX checker; output shapes are left to inference."""
    tensors = [output.type.tensor_type for output in model.graph.output if output.type.HasField("tensor_type")]
    for tensor in tensors:
        tensor.shape.SetInParent()  # the checker wants a shape, which many exporters leave out
    try:
        refuse_absurd_numbers(model, where)
        checker.check_model(model)
        for tensor in tensors:
            tensor.ClearField("shape")
        return inline_local_functions(model) if model.functions else model
    except _LIBRARY_ERRORS as error:
        raise _invalid(error, where) from error


def _load_external_data(model: onnx.ModelProto, folder: Path, where: str) -> None:
    outside, missing = [], []
    total = model.ByteSize()
    for tensor in model.graph.initializer:
        if not external_data_helper.uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        target = folder / location
        if not location or PurePosixPath(location).is_absolute() or not target.resolve().is_relative_to(folder):
            outside.append((tensor.name, location))
        elif not target.is_file():
            missing.append((tensor.name, location))
        else:
            total += int(np.prod(tensor.dims, dtype=np.int64)) * 4
    problems = [
        Diagnostic("external data outside the model's folder is refused", name, location, "move the file", where)
        for name, location in outside
    ] + [Diagnostic("the external data file is missing", name, location, "", where) for name, location in missing]
    if problems:
        raise InputError(problems)
    if total > LARGEST_BYTES:
        raise InputError.at(where, "the model and its external data are 2 GB or larger", total)
    external_data_helper.load_external_data_for_model(model, str(folder))


def _check_opsets(model: onnx.ModelProto, where: str) -> None:
    version = opset_of(model)
    if version < OLDEST_OPSET:
        raise InputError.at(
            where,
            f"operator set {OLDEST_OPSET} or later is needed",
            version,
            cure="export the model again",
            key="opset",
        )


def _number_equal_names(model: onnx.ModelProto) -> None:
    """Give nodes of one name numbers from 2, as ONNX Runtime refuses equal names; nameless nodes stay so."""
    taken = {node.name for node in model.graph.node}
    seen: set[str] = set()
    for node in model.graph.node:
        if node.name in seen:
            node.name = _free(node.name, taken)
            taken.add(node.name)
        if node.name:
            seen.add(node.name)


def _free(base: str, taken: set[str]) -> str:
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def _serialized(model: onnx.ModelProto, where: str) -> bytes:
    try:
        data: bytes = model.SerializeToString()
    except _LIBRARY_ERRORS as error:
        raise InputError.at(where, f"the model cannot be held in memory: {first_line(error)}") from error
    return data


def _to_graph(model: onnx.ModelProto, name: str, where: str) -> Graph:
    """Return the ONNX graph as values; operators still in their ONNX form."""
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    constants |= {node.output[0]: _constant_value(node, where) for node in graph.node if node.op_type == "Constant"}
    nodes = tuple(_nodes(graph, where))
    types = static_types(model, where)
    known = {key for key, kind in types.items() if _info(key, kind)}
    if not all(known.issuperset(filter(None, node.outputs)) for node in nodes):
        types = static_types(with_foreign_shapes(model, known, where), where)
    tensors = {key: info for key, kind in types.items() if (info := _info(key, kind))}
    tensors |= {key: TensorInfo(key, tuple(value.shape), value.dtype.name) for key, value in constants.items()}
    _require_static(nodes, tensors, where)
    domains = {node.domain for node in nodes}
    versions = {"" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import}
    result = Graph(
        name=name,
        nodes=nodes,
        inputs=tuple(item.name for item in graph.input if item.name not in constants),
        outputs=tuple(item.name for item in graph.output),
        tensors=tensors,
        constants=constants,
        opsets={domain: versions[domain] for domain in ("", *sorted(domains - {""})) if domain in versions},
    )
    return result.edited(nodes)


def _nodes(graph: onnx.GraphProto, where: str) -> Iterator[Node]:
    taken: set[str] = set()
    problems = []
    for proto in graph.node:
        if proto.op_type == "Constant" and proto.domain in {"", "ai.onnx"}:
            continue
        name = _free(proto.name or next((item for item in proto.output if item), proto.op_type), taken)
        taken.add(name)
        attrs = {item.name: attribute_value(item) for item in proto.attribute}
        if any(isinstance(value, onnx.GraphProto) for value in attrs.values()):
            problems.append(Diagnostic(f"{proto.op_type} (control flow) is not supported", name, file=where))
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        yield Node(name, proto.op_type, tuple(proto.input), tuple(proto.output), attrs, domain)
    if problems:
        raise UnsupportedError(problems)


def _constant_value(node: onnx.NodeProto, where: str) -> Array:
    item = node.attribute[0]
    value = attribute_value(item)
    if isinstance(value, np.ndarray):
        return value
    if item.name in {"value_int", "value_ints"}:
        return np.asarray(value, dtype=np.int64)
    if item.name in {"value_float", "value_floats"}:
        return np.asarray(value, dtype=np.float32)
    raise UnsupportedError.at(where, f"a Constant given as '{item.name}' is not supported", key=node.output[0])


def _info(name: str, kind: onnx.TypeProto) -> TensorInfo | None:
    tensor = kind.tensor_type
    if not tensor.elem_type or not tensor.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorInfo(name, tuple(dim.dim_value for dim in tensor.shape.dim), np.dtype(dtype).name)


def _require_static(nodes: Sequence[Node], tensors: Mapping[str, TensorInfo], where: str) -> None:
    """Refuse the tensors whose shape depends on data; only the first of a chain is named."""
    open_tensors: set[str] = set()
    problems = []
    for node in nodes:
        missing = [name for name in node.outputs if name and name not in tensors]
        if missing and open_tensors.isdisjoint(node.inputs):
            message = f"the shape of this output of {node.op} '{node.name}' is not fixed"
            cure = "cut the model before this operator, or give fixed input sizes"
            problems.append(Diagnostic(message, missing[0], suggestion=cure, file=where))
        open_tensors.update(missing)
    if problems:
        raise UnsupportedError(problems)


def _require_float_inputs(graph: Graph, where: str) -> None:
    message, cure = "inputs must be float32, int32 or int64", "export the model in float32"
    problems = [
        Diagnostic(message, name, graph.tensors[name].dtype, cure, where)
        for name in graph.inputs
        if graph.tensors[name].dtype not in ("float32", "int32", "int64")
    ]
    if problems:
        raise UnsupportedError(problems)
