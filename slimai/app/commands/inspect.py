"""``slimai inspect``: what a model or a finished run consists of, where each node runs, what is proven of its sums."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.app.delivery.finished import FinishedRun, finished_run
from slimai.app.delivery.layer_facts import LayerFacts, layer_facts, memory_json, memory_line
from slimai.app.options import CommandParser
from slimai.app.screen.table import render
from slimai.errors import EXIT_DONE, InputError
from slimai.graph.names import node_names
from slimai.graph.ops import KIND_ALIASES
from slimai.graph.states import with_states
from slimai.metrics.detection.recognize import likely_heads
from slimai.quantizer.layers import layer_steps
from slimai.quantizer.params import S4
from slimai.quantizer.planner import layer_kinds
from slimai.quantizer.quantized_file import is_quantized_file, load_quantized
from slimai.schema.target import TargetSection
from slimai.simulator.arithmetic import NATIVE
from slimai.simulator.cost import node_macs
from slimai.simulator.host_cost import host_macs
from slimai.simulator.proofs.bounds import Reach

if TYPE_CHECKING:
    from slimai.graph.ir import Graph, Node
    from slimai.quantizer.plan import Layer, QuantPlan

PICTURE_CHANNELS = (1, 3, 4)
EPILOG = """examples:
  slimai inspect net.onnx
  slimai inspect kws_int8.tflite --format json
  slimai inspect net.onnx --changes
  slimai inspect slimai_output/kws --presets xi_sym,single
  slimai inspect net.onnx --shape x=1,3,320,320

Float models show what the quantizer would do; quantized ones and runs what is stored, with the bits that the sums of
each layer need, whether they can overflow the accumulator (--format json has an input that does), RAM and tables.
"""


@dataclass(frozen=True)
class Row:
    """One node: its profile name, kind, output shape, parameters, multiply-accumulates and where it runs.

    weights: the type of its integer weights, of quantized models.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    runs: str
    weights: str = ""


@dataclass(frozen=True)
class Inspected:
    """The nodes of a model in order, and what its loading changed (`changes`) or refused to (`refusals`) and why.

    heads: the detector heads that the outputs look like. states: input -> output, as names tell. facts: of integer
    networks. run: the finished run that it is.
    """

    rows: tuple[Row, ...]
    changes: tuple[str, ...]
    refusals: tuple[str, ...]
    heads: tuple[str, ...]
    states: Mapping[str, str] = field(default_factory=dict)
    facts: LayerFacts | None = None
    run: FinishedRun | None = None


def main(argv: Sequence[str]) -> int:
    """Print what the command line asks of the model that it names; return 0."""
    options = _parser().parse_args(list(argv))
    found = inspected(options.model, dict(options.shape), options.cut_outputs, options.presets)
    if options.changes:
        text = _changes_json(found) if options.format == "json" else _changes_text(found)
    else:
        text = _as_json(found) if options.format == "json" else _as_text(found)
    sys.stdout.write(text)
    return EXIT_DONE


def inspected(
    path: Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
    cut_outputs: Sequence[str] = (),
    presets: tuple[str, str] | None = None,
) -> Inspected:
    """Return what there is to say of a model, or of a finished run where `path` is a folder.

    shapes, cut_outputs: as `load_onnx` takes them. presets: two to compare on every weighted layer.

    Raises:
        InputError: it cannot be read, or two presets are named and there are no integers to compare them on.
    """
    if path.is_dir():
        return _of_run(finished_run(path), presets)
    given: dict[str, Any] = {"input_shapes": shapes, "cut_outputs": cut_outputs, "shape_cure": _as_option}
    if is_quantized_file(path, **given):
        target = TargetSection()
        arithmetic = target.native.asym8 if path.suffix == ".tflite" else NATIVE
        return _integer_network(load_quantized(path, **given), target, arithmetic, presets)
    if presets is not None:
        cure = "give a finished run or a quantized model"
        raise InputError.at("--presets", "is about integers, and the model is a float one", str(path), cure=cure)
    from slimai.graph.load import load_onnx  # noqa: PLC0415 - spares onnx

    graph = with_states(load_onnx(path, **given), {})
    return _inspected(graph, _float_rows(graph))


def _of_run(run: FinishedRun, presets: tuple[str, str] | None) -> Inspected:
    plan = load_quantized(run.model)
    run.require_same_weights(plan)
    return replace(_integer_network(plan, run.target, run.arithmetic, presets), run=run)


def _integer_network(
    plan: QuantPlan, target: TargetSection, arithmetic: str, presets: tuple[str, str] | None
) -> Inspected:
    facts = layer_facts(plan, target, arithmetic, presets)
    return replace(_inspected(plan.graph, _quantized_rows(plan)), facts=facts)


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
    rows = [_row(plan.graph, layer.name, layer.kind, layer.node, _place(layer)) for layer in plan.layers]
    return [
        row if layer.weight is None else replace(row, weights=layer.weight.dtype.name)
        for row, layer in zip(rows, plan.layers, strict=True)
    ]


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
    rows, facts = found.rows, found.facts
    memory = {} if facts is None else facts.of_memory()
    cells = [
        (
            row.name, row.kind, "x".join(map(str, row.shape)), f"{row.parameters:,}", f"{row.macs:,}",
            f"{memory[row.name].ram:,}" if row.name in memory else "",
            f"{memory[row.name].flash:,}" if row.name in memory else "",
            *(("", "") if facts is None or row.name not in facts.reach else _reach_cells(facts.reach[row.name])),
            row.runs, row.weights if row.weights == S4.name else "",
        )
        for row in rows
    ]  # fmt: skip
    memory_heads = ("RAM", "flash") if memory else ("", "")
    proof_heads = ("sum bits", "proof") if facts is not None and facts.reach else ("", "")
    weights_head = "weights" if any(row.weights == S4.name for row in rows) else ""
    header = ("node", "kind", "output", "params", "MACs", *memory_heads, *proof_heads, "runs", weights_head)
    lines = [render(header, cells, left=(0, 1, 2, 8, 9, 10), rule=False)]
    total, host = sum(row.macs for row in rows), [row for row in rows if row.runs != "integer"]
    left = sum(row.macs for row in host)
    share = f" ({left:,} of them on the host)" if left else ""
    lines.append(
        f"{len(rows)} nodes, {sum(row.parameters for row in rows):,} parameters, {total:,} MACs an image{share}"
    )
    lines.append(f"{len(host)} on the host" + (": " + ", ".join(row.name for row in host) if host else ""))
    if facts is not None:
        lines += _proof_lines(facts, len(host))
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


def _reach_cells(reach: Reach) -> tuple[str, str]:
    return str(reach.needed), f"{'overflows' if reach.overflows else 'cannot overflow'} {reach.bits} bits"


def _proof_lines(facts: LayerFacts, host: int) -> list[str]:
    """Return the sentences below the table: memory, witnesses, the comparison of presets."""
    lines = [memory_line(facts.memory, host)]
    lines += [f"{item.layer}: {item.verdict}" for item in facts.reach.values() if item.overflows]
    return lines + [f"{item.layer}: {item.verdict}" for item in facts.presets.values()]


def _as_json(found: Inspected) -> str:
    facts = found.facts
    rows = [asdict(row) | ({} if facts is None else facts.row(row.name)) for row in found.rows]
    if found.run is None or facts is None:
        return json.dumps(rows, indent=1) + "\n"
    about = {"network": found.run.name, "arithmetic": found.run.arithmetic, "memory": memory_json(facts.memory)}
    return json.dumps({**about, "layers": rows}, indent=1) + "\n"


def _presets(text: str) -> tuple[str, str]:
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise argparse.ArgumentTypeError(f"should be two presets A,B (got '{text}')")
    return names[0], names[1]


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="slimai inspect",
        description="Show the nodes of a model or a run: shapes, parameters, MACs, integer kernel or host, proofs.",
        epilog=EPILOG,
    )
    parser.add_argument("model", type=Path, metavar="MODEL|RUN_DIR", help=".onnx or .tflite file, or a run's folder")
    parser.add_argument(
        "--changes", action="store_true", help="what loading rewrote, or refused to rewrite, and why; no table"
    )
    parser.add_argument(
        "--presets", type=_presets, metavar="A,B", help="whether two arithmetics can differ on a layer, and a sum where"
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
