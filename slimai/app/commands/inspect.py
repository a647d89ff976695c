"""``slimai inspect``: what a model consists of and where each node runs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.options import CommandParser
from slimai.app.screen.table import render
from slimai.errors import EXIT_DONE
from slimai.graph.names import node_names
from slimai.graph.ops import KIND_ALIASES
from slimai.graph.states import with_states
from slimai.metrics.detection.recognize import likely_heads
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.planner import layer_kinds
from slimai.quantizer.quantized_file import is_quantized_file, load_quantized
from slimai.simulator.cost import node_macs
from slimai.simulator.host_cost import host_macs

if TYPE_CHECKING:
    from slimai.graph.ir import Graph, Node
    from slimai.quantizer.plan import Layer, QuantPlan

PICTURE_CHANNELS = (1, 3, 4)
EPILOG = """examples:
  slimai inspect net.onnx
  slimai inspect kws_int8.tflite --format json
  slimai inspect net.onnx --changes
  slimai inspect net.onnx --shape x=1,3,320,320

Float models show what the quantizer would do; quantized ones what is stored.
"""


@dataclass(frozen=True)
class Row:
    """One node: its profile name, kind, output shape, parameters, multiply-accumulates and where it runs."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    runs: str


@dataclass(frozen=True)
class Inspected:
    """The nodes of a model in order, and what its loading changed (`changes`) or refused to (`refusals`) and why.

    heads: the detector heads that the outputs look like. states: input -> output, as their names tell.
    """

    rows: tuple[Row, ...]
    changes: tuple[str, ...]
    refusals: tuple[str, ...]
    heads: tuple[str, ...]
    states: Mapping[str, str] = field(default_factory=dict)


def main(argv: Sequence[str]) -> int:
    """Print what the command line asks of the model that it names; return 0."""
    options = _parser().parse_args(list(argv))
    found = inspected(options.model, dict(options.shape), options.cut_outputs)
    if options.changes:
        text = _changes_json(found) if options.format == "json" else _changes_text(found)
    else:
        text = _as_json(found.rows) if options.format == "json" else _as_text(found)
    sys.stdout.write(text)
    return EXIT_DONE


def inspected(
    path: Path, shapes: Mapping[str, Sequence[int]] | None = None, cut_outputs: Sequence[str] = ()
) -> Inspected:
    """Return what there is to say of the model. Raises InputError when it cannot be read.

    shapes, cut_outputs: as `load_onnx` takes them.
    """
    given: dict[str, Any] = {"input_shapes": shapes, "cut_outputs": cut_outputs, "shape_cure": _as_option}
    if is_quantized_file(path, **given):
        plan = load_quantized(path, **given)
        return _inspected(plan.graph, _quantized_rows(plan))
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares onnx

    graph = with_states(load_onnx(path, **given), {})
    return _inspected(graph, _float_rows(graph))


def _as_option(name: str, sizes: Sequence[str]) -> str:
    """Return how the command line gives the shape of an input."""
    return f"give its shape: --shape {name}={','.join(sizes)}"


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return (input, sizes) of ``x=1,3,224,224``."""
    name, _, sizes = text.rpartition("=")
    try:
        found = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        found = ()
    if not name or not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no shape; write NAME=1,3,224,224")
    return name, found


def _inspected(graph: Graph, rows: list[Row]) -> Inspected:
    return Inspected(tuple(rows), graph.history, graph.refusals, _heads(graph), graph.states)


def _heads(graph: Graph) -> tuple[str, ...]:
    """Return the detector heads that a network of one picture looks like."""
    pictures = [graph.shape(name) for name in graph.inputs if len(graph.shape(name)) == 4]
    size = None
    if len(pictures) == 1:
        _, *sides = pictures[0]
        channels_last = sides[-1] in PICTURE_CHANNELS and sides[0] not in PICTURE_CHANNELS
        size = (sides[1], sides[0]) if channels_last else (sides[2], sides[1])
    return likely_heads([graph.shape(name) for name in graph.outputs], size)


def _quantized_rows(plan: QuantPlan) -> list[Row]:
    return [_row(plan.graph, layer.name, layer.kind, layer.node, _place(layer)) for layer in plan.layers]


def _place(layer: Layer) -> str:
    return "integer" if layer.mode == "integer" else f"host: {layer.note}"


def _float_rows(graph: Graph) -> list[Row]:
    names = node_names(graph, layer_kinds(graph))
    rows = []
    for step in layer_steps(graph):
        clamp = "" if step.activation is None else f" + {step.activation.op}"
        place = "integer" if step.integer else f"host: {step.host}"
        rows.append(_row(graph, names[step.name], step.kind + clamp, step.node, place))
    return rows


def _row(graph: Graph, name: str, kind: str, node: Node, runs: str) -> Row:
    output = next(name for name in node.outputs if name)
    shape = graph.shape(output) if output in graph.tensors else ()
    parameters = sum(math.prod(graph.shape(item)) for item in dict.fromkeys(node.inputs) if item in graph.constants)
    macs = node_macs(graph, node.op, node.inputs, output) if runs == "integer" else host_macs(graph, node)
    return Row(name, kind, shape, parameters, macs, runs)


def _as_text(found: Inspected) -> str:
    rows = found.rows
    cells = [
        (row.name, row.kind, "x".join(map(str, row.shape)), f"{row.parameters:,}", f"{row.macs:,}", row.runs)
        for row in rows
    ]
    lines = [render(("node", "kind", "output", "params", "MACs", "runs"), cells, left=(0, 1, 2, 5), rule=False)]
    total, host = sum(row.macs for row in rows), [row for row in rows if row.runs != "integer"]
    left = sum(row.macs for row in host)
    share = f" ({left:,} of them on the host)" if left else ""
    lines.append(
        f"{len(rows)} nodes, {sum(row.parameters for row in rows):,} parameters, {total:,} MACs an image{share}"
    )
    lines.append(f"{len(host)} on the host" + (": " + ", ".join(row.name for row in host) if host else ""))
    if found.states:
        lines.append("states: " + ", ".join(f"{name} takes over {output}" for name, output in found.states.items()))
    if found.heads:
        lines.append("the outputs look like " + ", or ".join(found.heads))
    kinds = {row.kind.split(" ")[0] for row in rows}
    aliases = [f"{alias} = {kind}" for alias, kind in KIND_ALIASES.items() if kind in kinds]
    if aliases:
        lines.append("vendor kind names for rules: " + ", ".join(aliases))
    lines += [f"refused: {line}" for line in found.refusals]
    if found.changes:
        lines.append(f"rewrites while loading: {len(found.changes)} (--changes shows them)")
    return "\n".join(lines) + "\n"


def _changes_text(found: Inspected) -> str:
    """Return a line for each rewrite, the refused ones last."""
    lines = [*found.changes, *(f"refused: {line}" for line in found.refusals)]
    return "\n".join(lines or ["the network runs as it stands in the file"]) + "\n"


def _changes_json(found: Inspected) -> str:
    return json.dumps({"changes": found.changes, "refusals": found.refusals}, indent=1, ensure_ascii=False) + "\n"


def _as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai inspect",
        description="Show the nodes of a model: shapes, parameters, MACs, integer kernel or host.",
        epilog=EPILOG,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=".onnx or .tflite file")
    parser.add_argument(
        "--changes", action="store_true", help="what loading rewrote, or refused to rewrite, and why; no table"
    )
    parser.add_argument(
        "--shape",
        action="append",
        type=_shape,
        default=[],
        metavar="NAME=SIZES",
        help="shape of an input that the model leaves open, as x=1,3,224,224; again for others",
    )
    parser.add_argument(
        "--cut-outputs",
        nargs="+",
        default=(),
        metavar="TENSOR",
        help="end the network at these tensors, as network.cut_outputs does",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    return parser
