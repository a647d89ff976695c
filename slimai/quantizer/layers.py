"""The float graph as layers: main operators with their activation folded in, and where each one runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slimai.graph.facts import once_a_graph
from slimai.graph.ir import Graph, Node
from slimai.graph.ops import TRAITS, channel_axis, has_bias_slot, is_clamp, kind_of
from slimai.quantizer.support import host_reason

ONLY_HOST = "it moves what only the host computes with"


@dataclass(frozen=True)
class Step:
    """One layer to be: its main node, the folded clamp, and why it runs on the host (empty: it does not).

    inputs: activations read, in input order, each once a position. outputs: what other layers may read.
    """

    node: Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str
    activation: Node | None = None
    host: str = ""

    @property
    def integer(self) -> bool:
        """Whether it has an integer kernel."""
        return not self.host

    @property
    def name(self) -> str:
        """Name of the main node."""
        return self.node.name


@once_a_graph
def layer_steps(graph: Graph) -> tuple[Step, ...]:
    """Return the layers of `graph` in order; a clamp that folds into its producer is no layer of its own."""
    folded = {node.name: clamp for node in graph.nodes if (clamp := folded_clamp(graph, node)) is not None}
    absorbed = {clamp.name for clamp in folded.values()}
    steps = tuple(_step(graph, node, folded.get(node.name)) for node in graph.nodes if node.name not in absorbed)
    left = _host_moves(graph, steps)
    return tuple(replace(step, host=ONLY_HOST) if step.name in left else step for step in steps)


def _host_moves(graph: Graph, steps: tuple[Step, ...]) -> set[str]:
    """Return the nodes that only move what comes from outside or the host to the host: it stays float on the way.

    Their outputs are read by the host alone, or are what a state takes over; they read inputs of the network, or what
    the host gives.
    """
    host = {step.name for step in steps if not step.integer}
    if not host:
        return set()
    by_output = {name: step.name for step in steps for name in step.outputs}
    handed_on = set(graph.states.values())
    found = {
        step.name
        for step in steps
        if step.integer and step.activation is None and TRAITS[step.node.op].family == "move"
    }

    def stays(step: Step) -> bool:
        known = host | found
        fed = all(name in graph.inputs or by_output.get(name) in known for name in step.inputs)
        for name in step.outputs:
            readers = graph.consumers.get(name, ())
            if (name in graph.outputs and name not in handed_on) or not (readers or name in handed_on):
                return False
            fed = fed and all(reader.name in known for reader in readers)
        return fed

    while gone := {step.name for step in steps if step.name in found and not stays(step)}:
        found -= gone
    return found


def folded_clamp(graph: Graph, node: Node) -> Node | None:
    """Return the Relu or Clip that becomes the clamp of `node`, or None.

    It must be the only reader of the node's output, which is no network output.
    """
    if host_reason(graph, node) or TRAITS[node.op].clamp != "takes":
        return None
    reader = graph.only_consumer(node.outputs[0])
    if reader is None or not is_clamp(reader) or host_reason(graph, reader):
        return None
    return reader


def _step(graph: Graph, node: Node, clamp: Node | None) -> Step:
    inputs = tuple(name for name in node.inputs if name and name not in graph.constants)
    outputs = clamp.outputs if clamp is not None else tuple(name for name in node.outputs if name)
    return Step(node, inputs, outputs, kind_of(graph, node), clamp, host_reason(graph, node))


def quantized_tensors(graph: Graph, steps: tuple[Step, ...] | None = None) -> tuple[str, ...]:
    """Return the activations that get integer parameters, in graph order.

    They are the float32 tensors that an integer layer reads or writes (so what only host layers see, and the
    index output of ArgMax, are left out). These are the tensors that calibration has to look at.
    """
    steps = layer_steps(graph) if steps is None else steps
    touched = {name for step in steps if step.integer for name in (*step.inputs, *step.outputs)}
    return tuple(name for name in graph.activations() if name in touched and graph.tensors[name].dtype == "float32")


def weighted_inputs(graph: Graph) -> dict[str, int]:
    """Return the activations whose channel means bias correction wants -> the axis of their channels.

    They are what integer layers with a place for a bias multiply by weights. Where two readers take different axes for
    channels the first one's is given.
    """
    found: dict[str, int] = {}
    for step in layer_steps(graph):
        if step.integer and step.inputs and has_bias_slot(step.node):
            found.setdefault(step.inputs[0], channel_axis(step.node, len(graph.shape(step.inputs[0]))))
    return found
