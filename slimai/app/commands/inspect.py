"""``slimai inspect``: what a model consists of and where each node runs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimai.app.screen.table import shorten
from slimai.errors import EXIT_DONE
from slimai.graph.names import node_names
from slimai.graph.ops import KIND_ALIASES
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.planner import layer_kinds
from slimai.quantizer.quantized_file import load_quantized, quantized_graph
from slimai.simulator.cost import node_macs

if TYPE_CHECKING:
    from slimai.graph.ir import Graph, Node
    from slimai.quantizer.plan import Layer, QuantPlan

EPILOG = """examples:
  slimai inspect net.onnx
  slimai inspect kws_int8.tflite --format json

Float models show what the quantizer would do; quantized ones what is stored.
"""
_NAME_WIDTH = 48  # of the text table; json has whole names


@dataclass(frozen=True)
class Row:
    """One node: its profile name, kind, output shape, parameters, multiply-accumulates and where it runs."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    runs: str


def main(argv: Sequence[str]) -> int:
    """Print the table of the model that the command line names; return 0."""
    options = _parser().parse_args(list(argv))
    rows = rows_of(options.model)
    sys.stdout.write(_as_json(rows) if options.format == "json" else _as_text(rows))
    return EXIT_DONE


def rows_of(path: Path) -> list[Row]:
    """Return the nodes of the model in order. Raises InputError when it cannot be read."""
    if path.suffix == ".tflite" or quantized_graph(path) is not None:
        return _quantized_rows(load_quantized(path))
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares onnx

    return _float_rows(load_onnx(path))


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
    output = node.outputs[0]
    shape = graph.shape(output) if output in graph.tensors else ()
    parameters = sum(math.prod(graph.shape(item)) for item in dict.fromkeys(node.inputs) if item in graph.constants)
    return Row(name, kind, shape, parameters, node_macs(graph, node.op, node.inputs, output), runs)


def _as_text(rows: Sequence[Row]) -> str:
    cells = [
        (
            shorten(row.name, _NAME_WIDTH),
            row.kind,
            "x".join(map(str, row.shape)),
            f"{row.parameters:,}",
            f"{row.macs:,}",
            row.runs,
        )
        for row in rows
    ]
    header = ("node", "kind", "output", "params", "MACs", "runs")
    widths = [max(len(item[column]) for item in (header, *cells)) for column in range(len(header))]
    lines = [_line(item, widths) for item in (header, *cells)]
    total, host = sum(row.macs for row in rows), [row for row in rows if row.runs != "integer"]
    lines.append(f"{len(rows)} nodes, {sum(row.parameters for row in rows):,} parameters, {total:,} MACs an image")
    lines.append(f"{len(host)} on the host" + (": " + ", ".join(row.name for row in host) if host else ""))
    kinds = {row.kind.split(" ")[0] for row in rows}
    aliases = [f"{alias} = {kind}" for alias, kind in KIND_ALIASES.items() if kind in kinds]
    if aliases:
        lines.append("vendor kind names for rules: " + ", ".join(aliases))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line: text to the left, the two numbers to the right."""
    parts = [
        cell.rjust(width) if column in {3, 4} else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def _as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimai inspect",
        description="Show the nodes of a model: shapes, parameters, MACs, integer kernel or host.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=".onnx or .tflite file")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    return parser
