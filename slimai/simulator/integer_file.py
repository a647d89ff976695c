"""The file of integers of a network, ``<name>_quant.npz``: every table of every layer, and what joins them.

The array ``network`` is a JSON text (UTF-8 bytes) with the topology: grids, shapes, attributes, presets, clamps. With
docs/arithmetic.md and docs/deploy.md it is enough to compute every integer of the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.graph.ops import is_clamp
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer
from slimai.simulator.context import LayerContext
from slimai.simulator.further_tables import further_tables
from slimai.simulator.host import HostSegment
from slimai.simulator.program import IntegerStep, Program, Target
from slimai.simulator.requantize import clamp_limits

Array = NDArray[Any]
NETWORK = "network"
FORMAT = 1
_PACKED = "weight_s4"  # two integers a byte: its values mean nothing
# operators of TFLite's recipes that requantize by their preset; the others do by `gemmlowp`, whatever the preset
_BY_PRESET = ("Conv", "ConvTranspose", "Gemm", "MatMul", "ReduceSum", "Resize")
_T31 = ("SquaredDifference",)  # `gemmlowp` under every preset
_SMALLEST = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")


def integer_file(program: Program, target: Target) -> dict[str, Array]:
    """Return the arrays of a program's file: `Program.table`, further tables, constants of operands, ``network``."""
    tables = program.table()
    layers: list[dict[str, Any]] = []
    for step in program.steps:
        if isinstance(step, HostSegment):
            layers.extend(_host_layer(layer) for layer in step.layers)
            continue
        context = _context(program, step, target)
        own = [key.removeprefix(f"{step.layer.name}/") for key in tables if key.rpartition("/")[0] == step.layer.name]
        added = {name: value for name, value in further_tables(context).items() if name not in own}
        tables |= {f"{step.layer.name}/{name}": value for name, value in added.items()}
        layers.append(_integer_layer(context, own, list(added)))
    graph = program.plan.graph
    constants = {name: graph.constants[name] for name in graph.outputs if name in graph.constants}
    arrays = {key: smallest(value) if not key.endswith(f"/{_PACKED}") else value for key, value in tables.items()}
    arrays |= {f"/{name}": value for name, value in constants.items()}
    text = json.dumps(_network(program, target, layers), allow_nan=False, separators=(",", ":"))
    return {NETWORK: np.frombuffer(text.encode("utf-8"), np.uint8), **arrays}


def stored_tables(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return what `Program.table` gives of a file's arrays."""
    if NETWORK not in arrays:
        return dict(arrays)
    layers = json.loads(arrays[NETWORK].tobytes().decode("utf-8"))["layers"]
    added = {f"{layer['name']}/{name}" for layer in layers for name in layer.get("added", ())}
    return {
        key: value for key, value in arrays.items() if key not in added and key != NETWORK and not key.startswith("/")
    }


def stored_on_device(name: str) -> bool:
    """Return whether an array of a file is one that a device keeps: no description, and no scale of weights."""
    return name != NETWORK and not name.endswith("/weight_scale")


def smallest(values: Array) -> Array:
    """Return integers in the smallest type that holds them, signed before unsigned; doubles as float32 where equal."""
    if values.dtype == np.float64 and np.array_equal(values.astype(np.float32), values):
        return values.astype(np.float32)
    if values.dtype.kind not in "iu" or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    for name in _SMALLEST:
        kind = np.iinfo(name)
        if kind.min <= low and high <= kind.max:
            return values.astype(name, copy=False)
    return values


def _context(program: Program, step: IntegerStep, target: Target) -> LayerContext:
    plan = program.plan
    return LayerContext(
        step.layer, plan.graph, plan.tensors, step.rule, acc_bits=target.acc_bits, overflow=target.acc_overflow
    )


def _network(program: Program, target: Target, layers: list[dict[str, Any]]) -> dict[str, Any]:
    plan = program.plan
    graph = plan.graph
    return {
        "format": FORMAT,
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "states": dict(graph.states),
        "sequences": list(graph.sequences),
        "accumulator": {"bits": target.acc_bits, "overflow": target.acc_overflow},
        "tensors": {
            name: {"shape": list(graph.shape(name)), **_grid(plan.tensors.get(name), graph.tensors[name].dtype)}
            for name in dict.fromkeys((*graph.inputs, *(name for layer in plan.layers for name in layer.outputs)))
            if name
        },
        "layers": layers,
    }


def _grid(params: QParams | None, dtype: str) -> dict[str, Any]:
    if params is None:
        return {"type": dtype}
    return {"type": params.dtype.name, "scale": params.scale, "zero_point": params.zero_point}


def _host_layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "operator": layer.node.op,
        "inputs": list(layer.inputs),
        "outputs": list(layer.outputs),
        "host": layer.note,
    }


def _integer_layer(context: LayerContext, tables: list[str], added: list[str]) -> dict[str, Any]:
    layer = context.layer
    read = {place: name for place, name in enumerate(layer.node.inputs) if name in layer.inputs}
    clamping = layer.node if layer.activation is None and is_clamp(layer.node) else layer.activation
    written = context.tensors.get(layer.outputs[0])
    found = {
        "name": layer.name,
        "operator": "Requantize" if layer.kind == "Requantize" else layer.node.op,
        "preset": context.rule.name,
        "inputs": list(read.values()),
        "places": list(read),
        "outputs": list(layer.outputs),
        "attributes": {key: _plain(value) for key, value in layer.node.attrs.items()},
        "tables": tables,
        "added": added,
    }
    if {"multiplier", "shift"} & {*tables, *added} and "exponent" not in tables:  # ReduceL2 has a rule of its own
        found["requantization"] = _requantization(context, shifts="shift" in (*tables, *added))
    if written is not None:
        found["clamp"] = list(clamp_limits(written, clamping, context.rule.recipe))
    if layer.operands:
        found["operands"] = {str(place): _grid(grid, "") for place, (_, grid) in layer.operands.items()}
    if layer.weight is not None:
        found["weight"] = {"type": layer.weight.dtype.name, "zero_point": layer.weight.zero_point}
    return found


def _requantization(context: LayerContext, *, shifts: bool) -> str:
    """Return by which rule `multiplier` and `shift` of a layer are meant."""
    if not shifts:  # the multiplier is M itself
        return "float32" if context.rule.recipe == "ort" else "float64"
    op = context.layer.node.op
    if op in _T31 or (context.rule.recipe == "tflite" and op not in _BY_PRESET):
        return "gemmlowp"
    return context.rule.name


def _plain(value: Any) -> Any:
    """Return an attribute as JSON holds it: infinities as text."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
