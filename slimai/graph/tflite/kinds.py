"""What keeps a whole file from being read: its kind (dynamic range, quantized, float), operators without a rule."""

from __future__ import annotations

from collections.abc import Container, Iterator

from slimai.errors import Diagnostic
from slimai.graph.tflite.file import FileModel, FileOperator

CUT = "end the network before it: network.cut_outputs: [{}]"
_WEIGHTED = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "CONV_3D": 1, "TRANSPOSE_CONV": 1, "FULLY_CONNECTED": 1, "BATCH_MATMUL": 1,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 1, "BIDIRECTIONAL_SEQUENCE_LSTM": 1, "UNIDIRECTIONAL_SEQUENCE_RNN": 1, "SVDF": 1,
    "EMBEDDING_LOOKUP": 1, "LSTM": 1, "RNN": 1,
}  # fmt: skip
_QUANTIZED = frozenset({"int8", "uint8", "int16"})
_SUBGRAPHS = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"})


def dynamic_range(model: FileModel, where: str) -> list[Diagnostic]:
    """Return the one mistake of a network whose weights are integers and whose activations are float."""
    found = [op for op in model.operators if _mixed(model, op)]
    if not found:
        return []
    message = (
        f"a dynamic-range network: {len(found)} operators multiply float activations by integer weights, "
        "which neither a float nor an integer network does"
    )
    cure = (
        "convert it again without optimizations (network.model_type: float), or with a representative data set to "
        "full 8 bit (quantized)"
    )
    return [Diagnostic(message, key="network.model_type", suggestion=cure, file=where)]


def _mixed(model: FileModel, op: FileOperator) -> bool:
    place = _WEIGHTED.get(op.code)
    if place is None or len(op.inputs) <= place or op.inputs[place] < 0:
        return False
    weight = model.tensors[op.inputs[place]]
    integers = weight.dtype.removeprefix("sparse ").startswith(("int4", "int8", "uint8", "int16"))
    stored = weight.data is not None or weight.dtype.endswith("constant") or weight.dtype.startswith("sparse")
    return integers and stored and any(model.tensors[number].dtype == "float32" for number in op.outputs)


def is_float(model: FileModel) -> bool:
    """Return whether a network computes float tensors and no quantized one."""
    kinds = {model.tensors[number].dtype for op in model.operators for number in op.outputs if number >= 0}
    return "float32" in kinds and kinds.isdisjoint(_QUANTIZED)


def all_float(model: FileModel, where: str) -> list[Diagnostic]:
    """Return the one mistake of a network that was not quantized at all."""
    if not is_float(model):
        return []
    computed = {number for op in model.operators for number in op.outputs if number >= 0}
    message = f"a float network: none of the {len(computed)} tensors that it computes is quantized"
    cure = "set network.model_type: float, or quantize it fully to 8 bit"
    return [Diagnostic(message, key="network.model_type", suggestion=cure, file=where)]


def all_quantized(model: FileModel, where: str) -> list[Diagnostic]:
    """Return the one mistake of a network that is quantized where a float one is expected."""
    numbers = dict.fromkeys(n for op in model.operators for n in (*op.inputs[:1], *op.outputs) if n >= 0)
    used = [model.tensors[number] for number in numbers if model.tensors[number].data is None]
    integers = [item for item in used if item.dtype in _QUANTIZED and item.scale.size]
    if not integers or 2 * len(integers) < len(used):
        return []
    message = f"a quantized network: {len(integers)} of the {len(used)} tensors that its operators pass on are integers"
    return [Diagnostic(message, "network.model_type", suggestion="set network.model_type: quantized", file=where)]


def unsupported(model: FileModel, rules: Container[str], where: str, told: Container[int] = ()) -> Iterator[Diagnostic]:
    """Yield one diagnostic for each kind of operator without a rule, with what its nodes write.

    told: ids of operators that are told in another place.
    """
    found: dict[str, list[FileOperator]] = {}
    for op in model.operators:
        if op.code not in rules and id(op) not in told:
            found.setdefault(op.code, []).append(op)
    for code, ops in found.items():
        names = ", ".join(model.tensors[number].name for op in ops for number in op.outputs[:1])
        yield Diagnostic(f"{_reason(code)}: {names}", code, suggestion=_cure(model, code, ops), file=where)


def _reason(code: str) -> str:
    if code in _SUBGRAPHS:
        return "control flow (other subgraphs) is not supported"
    return "operator is not supported"


def _cure(model: FileModel, code: str, ops: list[FileOperator]) -> str:
    """Return how a network ends before custom operators of one kind: with the computed tensors that they read."""
    if not code.startswith("CUSTOM "):
        return ""
    own = {number for op in ops for number in op.outputs}
    read = [number for op in ops for number in op.inputs if number >= 0 and number not in own]
    names = [model.tensors[number].name for number in read if model.tensors[number].data is None]
    return CUT.format(", ".join(dict.fromkeys(names))) if names else ""
