"""Requantize nodes on the edges where one tensor's integers are wanted on another grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from slimai.graph.ir import Graph, Node, TensorInfo
from slimai.graph.names import FreeNames
from slimai.graph.ops import TRAITS, ScaleRule
from slimai.quantizer.assign import Assignment
from slimai.quantizer.layers import Step
from slimai.quantizer.params import QParams
from slimai.quantizer.recurrent import CELL, CELLS, HIDDEN, Y, is_recurrent

REQUANTIZE = "Requantize"


@dataclass
class Network:
    """Steps with Requantize steps between them, and the parameters of every tensor, the new ones too."""

    steps: list[Step] = field(default_factory=list)
    params: dict[str, QParams] = field(default_factory=dict)
    added: dict[str, TensorInfo] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # added tensor -> the float tensor that it holds

    def graph(self, source: Graph) -> Graph:
        """Return `source` with the Requantize nodes in it."""
        if not self.added:
            return source
        nodes = (node for step in self.steps for node in (step.node, step.activation) if node is not None)
        return source.edited(nodes, tensors=self.added.values())


def insert_requantize(given: Assignment) -> Network:
    """Return the layers with each input on the grid that the layer reads it on.

    A layer reads a tensor at its own input width. An operator with tied scales writes the grid that it reads: where
    its output has another one, a Requantize follows; a Concat reads every input on the grid of its output.
    """
    builder = _Builder(given)
    for step in given.steps:
        builder.add(step)
    return builder.network


class _Builder:
    def __init__(self, given: Assignment) -> None:
        self.given = given
        self.network = Network()
        tensors = (name for name in given.graph.activations() if name in given.widths)
        self.network.params = {name: given.params(name) for name in tensors}
        self._made: dict[tuple[str, QParams], str] = {}
        self._names = FreeNames.of(given.graph)

    def add(self, step: Step) -> None:
        """Append `step`, with what has to come before and after it."""
        if not step.integer:
            self.network.steps.append(step)
            return
        if is_recurrent(step):
            self.network.steps.append(self._recurrent(step))
            return
        rule = TRAITS[step.node.op].scale
        bits = self.given.reads[step.name]
        if step.node.op == "Pad" and self._left_apart(step, bits):
            rule = "concat"  # its padding needs the grid of its output
        renamed = {name: self._read(step, name, bits, rule) for name in step.inputs}
        step = _with_inputs(step, renamed)
        if rule == "same":
            self._write_tied(step, self.network.params[step.inputs[0]])
        elif rule == "concat":
            self._write_tied(step, self.given.params(step.outputs[0], bits))
        else:
            self.network.steps.append(step)

    def _recurrent(self, step: Step) -> Step:
        """Return the step with its input and hidden values at its own widths, and initial cells on the cells' grid."""
        node, params = step.node, self.network.params
        bits = {0: self.given.reads[step.name], HIDDEN: params[node.outputs[Y]].dtype.bits}
        inputs = list(node.inputs)
        for position, name in enumerate(node.inputs):
            if name in self.given.graph.constants:
                continue
            if position != CELL:
                inputs[position] = self._read(step, name, bits[position], "free")
            elif params[name] != params[node.outputs[CELLS]]:
                inputs[position] = self._requantized(name, params[node.outputs[CELLS]])
        activations = tuple(name for name in inputs if name not in self.given.graph.constants)
        return replace(step, node=replace(node, inputs=tuple(inputs)), inputs=activations)

    def _left_apart(self, step: Step, bits: int) -> bool:
        """Return whether input and output have one width and could share a scale, but were not tied."""
        source, target = step.inputs[0], step.outputs[0]
        groups, widths = self.given.groups, self.given.widths
        return groups.find(source) != groups.find(target) and widths[source] == widths[target] == bits

    def _read(self, step: Step, tensor: str, bits: int, rule: ScaleRule | None) -> str:
        """Return the tensor that the step reads in place of `tensor`."""
        own = self.network.params[tensor]
        if rule == "concat":
            wanted = self.given.params(step.outputs[0], bits)
        else:
            wanted = own if self.given.widths[tensor] == bits else self.given.params(tensor, bits)
        return tensor if wanted == own else self._requantized(tensor, wanted)

    def _requantized(self, tensor: str, wanted: QParams) -> str:
        """Return the tensor that holds `tensor` on the grid `wanted`; readers that want the same share it."""
        key = (tensor, wanted)
        if key not in self._made:
            count = sum(1 for name, _ in self._made if name == tensor)
            name = self._add_tensor(f"{tensor}__{wanted.dtype.name}_{count}", tensor, wanted)
            self._append(f"{tensor}_{count}", tensor, name)
            self._made[key] = name
        return self._made[key]

    def _write_tied(self, step: Step, grid: QParams) -> None:
        """Append a tied step; outputs that have another grid than `grid` get a Requantize after it."""
        inner = {}
        for name in step.outputs:
            if self.network.params[name] != grid:
                inner[name] = self._add_tensor(f"{name}__tied", name, grid)
        outputs = tuple(inner.get(name, name) for name in step.outputs)
        node_outputs = tuple(inner.get(name, name) for name in step.node.outputs)
        self.network.steps.append(replace(step, node=replace(step.node, outputs=node_outputs), outputs=outputs))
        for name, tied in inner.items():
            self._append(f"{name}_tied", tied, name)

    def _add_tensor(self, wanted: str, like: str, params: QParams) -> str:
        """Return the name of a new tensor that holds the values of `like`."""
        name = self._names.take(wanted)
        self.network.params[name] = params
        self.network.sources[name] = like
        self.network.added[name] = replace(self.given.graph.tensors[like], name=name)
        return name

    def _append(self, label: str, source: str, target: str) -> None:
        node = Node(self._names.take(f"{label}_requantize"), REQUANTIZE, (source,), (target,))
        self.network.steps.append(Step(node, (source,), (target,), REQUANTIZE))


def _with_inputs(step: Step, renamed: dict[str, str]) -> Step:
    """Return the step reading the renamed tensors."""
    inputs = tuple(renamed[name] for name in step.inputs)
    if inputs == step.inputs:
        return step
    node = replace(step.node, inputs=tuple(renamed.get(name, name) for name in step.node.inputs))
    return replace(step, node=node, inputs=inputs)
