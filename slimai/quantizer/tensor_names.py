"""One name for a tensor: the profile name ``<Kind>_<node>__<k>:<i>``, and the other names that it is known by.

Profiles, adjust files, rules, similarity.txt, the report and the graphs all say the profile name. What a person has at
hand may be another one: the tensor's own name in the model, that name as file names spell it, the node or the layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from slimai.graph.ir import Graph
from slimai.graph.names import node_names, profile_names, sanitized
from slimai.quantizer.layers import Step, layer_steps
from slimai.quantizer.plan import QuantPlan


def aliases(plan: QuantPlan) -> dict[str, str]:
    """Return other name -> profile name of the tensors that have parameters; names that two tensors claim are left out.

    A tensor whose operator was folded into a layer (a convolution before its Relu) stands for what that layer writes.
    """
    claims: defaultdict[str, set[str]] = defaultdict(set)
    real = {tensor: name for tensor, name in plan.profile_names.items() if tensor in plan.tensors}
    for tensor, name in real.items():
        for other in (tensor, sanitized(tensor), *_without_zero(name)):
            claims[other].add(name)
    for layer in plan.layers:
        written = [real[name] for name in layer.outputs if name in real]
        if len(written) != 1:
            continue
        nodes = [node.name for node in (layer.node, layer.activation) if node is not None]
        for other in (layer.name, f"{layer.name}:0", *nodes, *layer.node.outputs):
            claims[other].add(written[0])
    taken = set(real.values())
    return {other: next(iter(names)) for other, names in claims.items() if len(names) == 1 and other not in taken}


def _without_zero(name: str) -> Iterator[str]:
    if name.endswith(":0"):
        yield name[:-2]


def layer_names(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return node name -> every name that a rule may call its layer by; the first is the one that is shown.

    They are the profile names of what the layer writes, then those of its nodes, its nodes' own and its tensors'.
    """
    steps = layer_steps(graph)
    kinds = {step.name: step.kind for step in steps}
    profile, bases = profile_names(graph, kinds), node_names(graph, kinds)
    return {step.name: tuple(dict.fromkeys(_names_of(step, profile, bases))) for step in steps}


def _names_of(step: Step, profile: Mapping[str, str], bases: Mapping[str, str]) -> Iterable[str]:
    nodes = [node for node in (step.activation, step.node) if node is not None]
    tensors = [*step.outputs, *(name for node in nodes for name in node.outputs if name)]
    yield from (profile[name] for name in tensors if name in profile)
    for node in nodes:
        yield from (node.name, bases[node.name])
    for name in tensors:
        yield from (name, sanitized(name))
