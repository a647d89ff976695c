"""The network as Graphviz text, in the stages that mixed precision is decided on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from slimai.artifacts.atomic import write_text
from slimai.graph.ir import Graph
from slimai.graph.names import sanitized
from slimai.quantizer.insert_requantize import REQUANTIZE
from slimai.quantizer.params import QParams
from slimai.quantizer.plan import Layer, QuantPlan


def write_dot_stages(folder: Path, graph: Graph, plan: QuantPlan) -> list[Path]:
    """Write the stages of a network as .dot files and return their paths.

    They are the float network, its layers, and the layers with types and scales: the last, which people write rules
    from, ends in ``_before_requantization.dot`` and has no Requantize layers.
    """
    name = sanitized(graph.name)
    stages = {
        f"{name}_0_float.dot": graph_dot(graph),
        f"{name}_1_layers.dot": plan_dot(plan, typed=False),
        f"{name}_2_before_requantization.dot": plan_dot(plan, typed=True),
    }
    for file, text in stages.items():
        write_text(folder / file, text)
    return [folder / file for file in stages]


def graph_dot(graph: Graph) -> str:
    """Return the float network: a box a node with its name and operator, an arrow a tensor."""
    writers = {name: node.name for node in graph.nodes for name in node.outputs if name}
    boxes = [(node.name, [node.name, node.op]) for node in graph.nodes]
    arrows = [(name, node.name) for node in graph.nodes for name in node.inputs if name not in graph.constants]
    return _text(graph, boxes, arrows, writers)


def plan_dot(plan: QuantPlan, *, typed: bool) -> str:
    """Return the layers, without Requantize; `typed` adds the types read and written, and the scales."""
    shown = [layer for layer in plan.layers if layer.kind != REQUANTIZE]
    behind = {layer.outputs[0]: layer.inputs[0] for layer in plan.layers if layer.kind == REQUANTIZE}
    writers = {name: layer.node.name for layer in shown for name in layer.outputs}
    boxes = [(layer.node.name, _label(plan, layer, typed=typed)) for layer in shown]
    arrows = [(_source(name, behind), layer.node.name) for layer in shown for name in layer.inputs]
    kept = {name: _source(name, behind) for name in plan.graph.outputs}
    return _text(plan.graph, boxes, arrows, writers, kept)


def _source(tensor: str, behind: Mapping[str, str]) -> str:
    while tensor in behind:
        tensor = behind[tensor]
    return tensor


def _label(plan: QuantPlan, layer: Layer, *, typed: bool) -> list[str]:
    shown = plan.profile_names.get(layer.outputs[0], layer.name)
    lines = [layer.node.name, layer.kind + (f" + {layer.activation.op}" if layer.activation else ""), shown]
    if not typed:
        return lines
    if layer.mode == "host":
        return [*lines, f"float (host): {layer.note}"]
    reads, writes = (_types(plan, names) for names in (layer.inputs, layer.outputs))
    lines.append(f"in {reads}")
    if layer.weight is not None:
        granularity = (
            f"{layer.weight.scale.size} scales" if layer.weight.per_channel else f"{layer.weight.scale[0]:.6g}"
        )
        lines.append(f"weights {layer.weight.dtype.name} ({granularity})")
    return [*lines, f"out {writes}"]


def _types(plan: QuantPlan, names: Iterable[str]) -> str:
    return ", ".join(_type(plan.tensors.get(name)) for name in names) or "none"


def _type(params: QParams | None) -> str:
    if params is None:
        return "float"
    return f"{params.dtype.name} {params.scale:.6g}" + (f" zero {params.zero_point}" if params.zero_point else "")


def _text(
    graph: Graph,
    boxes: list[tuple[str, list[str]]],
    arrows: list[tuple[str, str]],
    writers: Mapping[str, str],
    outputs: Mapping[str, str] | None = None,
) -> str:
    """Return the digraph; tensors without a writer are network inputs, outputs get a box of their own."""
    lines = [f"digraph {_quoted(graph.name)} {{", "  node [shape=box];"]
    lines += [f"  {_quoted(f'input {name}')} [shape=ellipse];" for name in graph.inputs]
    lines += [f"  {_quoted(name)} [label={_quoted(chr(10).join(label))}];" for name, label in boxes]
    for tensor, reader in arrows:
        source = writers.get(tensor, f"input {tensor}")
        if tensor:
            lines.append(f"  {_quoted(source)} -> {_quoted(reader)};")
    for name in graph.outputs:
        kind = "constant" if name in graph.constants else "input"
        source = writers.get((outputs or {}).get(name, name), f"{kind} {name}")
        lines.append(f"  {_quoted(f'output {name}')} [shape=ellipse];")
        lines.append(f"  {_quoted(source)} -> {_quoted(f'output {name}')};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
