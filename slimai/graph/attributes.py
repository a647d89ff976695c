"""What each operator that slimai reads is known to mean: its newest definition, and the attributes of it.

A definition or an attribute that came later may change what the operator computes, and nothing here would notice.
Such a node is refused by name. Operators that are not in the table are handed to ONNX Runtime as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import defs, helper, numpy_helper

from slimai.errors import Diagnostic, UnsupportedError

NEWEST_OPSET = 28


@dataclass(frozen=True)
class Form:
    """The newest operator set that defines an operator anew, as far as it is known here, and its attributes."""

    version: int
    attributes: frozenset[str]


def _form(version: int, *attributes: str) -> Form:
    return Form(version, frozenset(attributes))


# Of operators that a canonicalization rule or a graph pass reads, from operator set 17 on (older ones are converted).
# Without effect on what is computed here: storage_order (indices only), seed, momentum (training only), round_mode and
# saturate (of 8-bit floats only); exclude_outside and cubic_coeff_a (cubic Resize), extrapolation_value (cropping ones)
# belong to forms that stay with ONNX Runtime.
KNOWN: dict[str, Form] = {
    "Abs": _form(13),
    "Add": _form(14),
    "ArgMax": _form(13, "axis", "keepdims", "select_last_index"),
    "AveragePool": _form(
        22, "auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"
    ),
    "BatchNormalization": _form(15, "epsilon", "momentum", "training_mode"),
    "Cast": _form(28, "round_mode", "saturate", "to"),
    "Celu": _form(28, "alpha"),
    "Clip": _form(13),
    "Concat": _form(13, "axis"),
    "Conv": _form(22, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"),
    "ConvTranspose": _form(
        22, "auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"
    ),
    "DepthToSpace": _form(28, "blocksize", "mode"),
    "Div": _form(14),
    "Dropout": _form(22, "seed"),
    "Einsum": _form(28, "equation"),
    "Elu": _form(22, "alpha"),
    "Erf": _form(13),
    "Exp": _form(13),
    "Expand": _form(13),
    "Flatten": _form(25, "axis"),
    "GRU": _form(
        22,
        "activation_alpha",
        "activation_beta",
        "activations",
        "clip",
        "direction",
        "hidden_size",
        "layout",
        "linear_before_reset",
    ),
    "Gather": _form(13, "axis"),
    "Gelu": _form(20, "approximate"),
    "Gemm": _form(13, "alpha", "beta", "transA", "transB"),
    "GlobalAveragePool": _form(22),
    "GlobalMaxPool": _form(22),
    "GroupNormalization": _form(21, "epsilon", "num_groups", "stash_type"),
    "HardSigmoid": _form(22, "alpha", "beta"),
    "HardSwish": _form(22),
    "Identity": _form(25),
    "InstanceNormalization": _form(22, "epsilon"),
    "LSTM": _form(
        22,
        "activation_alpha",
        "activation_beta",
        "activations",
        "clip",
        "direction",
        "hidden_size",
        "input_forget",
        "layout",
    ),
    "LayerNormalization": _form(17, "axis", "epsilon", "stash_type"),
    "LeakyRelu": _form(16, "alpha"),
    "Log": _form(13),
    "LogSoftmax": _form(13, "axis"),
    "LpNormalization": _form(22, "axis", "p"),
    "MatMul": _form(13),
    "Max": _form(13),
    "MaxPool": _form(22, "auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"),
    "Mean": _form(13),
    "Min": _form(13),
    "Mish": _form(22),
    "Mul": _form(14),
    "Neg": _form(13),
    "PRelu": _form(16),
    "Pad": _form(25, "mode"),
    "Pow": _form(15),
    "RMSNormalization": _form(23, "axis", "epsilon", "stash_type"),
    "Reciprocal": _form(13),
    "ReduceL1": _form(18, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceL2": _form(18, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceLogSum": _form(28, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceLogSumExp": _form(28, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMax": _form(20, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMean": _form(18, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMin": _form(20, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceSum": _form(13, "axes", "keepdims", "noop_with_empty_axes"),
    "ReduceSumSquare": _form(18, "axes", "keepdims", "noop_with_empty_axes"),
    "Relu": _form(14),
    "Reshape": _form(25, "allowzero"),
    "Resize": _form(
        19,
        "antialias",
        "axes",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    ),
    "ScatterND": _form(18, "reduction"),
    "Selu": _form(22, "alpha", "gamma"),
    "Shape": _form(25, "end", "start"),
    "Sigmoid": _form(13),
    "Slice": _form(13),
    "Softmax": _form(13, "axis"),
    "Softplus": _form(22),
    "Softsign": _form(22),
    "SpaceToDepth": _form(28, "blocksize", "mode"),
    "Split": _form(18, "axis", "num_outputs"),
    "Sqrt": _form(13),
    "Squeeze": _form(25),
    "Sub": _form(14),
    "Sum": _form(13),
    "Swish": _form(24, "alpha"),
    "Tanh": _form(13),
    "ThresholdedRelu": _form(22, "alpha"),
    "Tile": _form(13),
    "Transpose": _form(25, "perm"),
    "Unsqueeze": _form(25),
    "Where": _form(16),
}


def refuse_unknown_forms(model: onnx.ModelProto, where: str) -> None:
    """Raise UnsupportedError that names every node whose definition or attribute is newer than the table."""
    version = next((item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}), NEWEST_OPSET)
    problems = []
    for node in model.graph.node:
        known = KNOWN.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        if known is None:
            continue
        name = node.name or next(iter(node.output), node.op_type)
        defined = _defined(node.op_type, version)
        if defined > known.version:
            message = f"{node.op_type} as operator set {defined} defines it is newer than the one known here"
            cure = f"export the model with operator set {defined - 1} or older"
            problems.append(Diagnostic(message, name, known.version, cure, where))
        unknown = sorted(item.name for item in node.attribute if item.name not in known.attributes)
        problems += [
            Diagnostic(f"attribute '{item}' of {node.op_type} is not known here", name, file=where) for item in unknown
        ]
    if problems:
        raise UnsupportedError(problems)


def _defined(op: str, version: int) -> int:
    """Return the operator set that defines `op` for models of `version`; that one itself where nobody knows.

    0 where models of `version` have no such operator yet: the checker of ONNX refuses it by name.
    """
    if version > max(NEWEST_OPSET, defs.onnx_opset_version()):
        return version
    if not defs.has(op, version):
        return 0
    return int(defs.get_schema(op, max_inclusive_version=version).since_version)


def attribute_value(item: onnx.AttributeProto) -> Any:
    """Return the value as a plain one: strings decoded, tensors as arrays, lists as tuples."""
    value = helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(entry.decode("utf-8", "replace") if isinstance(entry, bytes) else entry for entry in value)
    return value
