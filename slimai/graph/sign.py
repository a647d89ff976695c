"""Which tensors cannot be negative, by what the operators are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slimai.graph.facts import once_a_graph
from slimai.graph.ir import Graph, Node
from slimai.graph.ops import clamp_range, traits_of


@once_a_graph
def nonnegative_tensors(graph: Graph, inputs: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the activations that cannot be negative, by what the operators are; constants count by their values.

    inputs: network inputs known to be so (pixels without a mean).
    """
    found = {name for name, value in graph.constants.items() if value.size and bool((value >= 0).all())} | {*inputs}
    for node in graph.nodes:
        if _is_nonnegative(node, found):
            found.update(node.outputs)
    return frozenset(name for name in found if name not in graph.constants)


def _is_nonnegative(node: Node, known: set[str]) -> bool:
    traits = traits_of(node)
    if traits is None or traits.sign == "any":
        return False
    if traits.sign == "never_negative":
        return True
    kept = all(name in known for name in node.inputs if name)
    if traits.sign == "kept":
        return kept
    return FORMULAS[node.op](node, kept)


def _clip(node: Node, kept: bool) -> bool:
    low, high = clamp_range(node)
    return high >= 0 and (low >= 0 or kept)


def _pad(node: Node, kept: bool) -> bool:
    return kept and bool(node.attrs["value"] >= 0)


def _pow(node: Node, kept: bool) -> bool:
    exponent = float(node.attrs["exponent"])
    return kept or not exponent.is_integer() or exponent % 2 == 0


def _where(_node: Node, kept: bool) -> bool:
    """The mask counts as never negative, too."""
    return kept


# Of the operators whose row says `formula`: node, whether no input is negative -> whether the output is not.
FORMULAS: Mapping[str, Callable[[Node, bool], bool]] = {"Clip": _clip, "Pad": _pad, "Where": _where, "Pow": _pow}
