"""Einsum of two operands that is a product of matrices: it becomes Transpose, Reshape and MatMul."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from slimai.graph.canonical.context import Context
from slimai.graph.ir import Node


@dataclass(frozen=True)
class _Letters:
    """Axes by what becomes of them: in both operands and the output, in one of them, or summed over."""

    batch: str
    left: str
    right: str
    summed: str

    @classmethod
    def of(cls, a: str, b: str, out: str) -> _Letters:
        both = [letter for letter in a if letter in b]
        return cls(
            "".join(letter for letter in out if letter in both),
            "".join(letter for letter in out if letter in a and letter not in b),
            "".join(letter for letter in out if letter in b and letter not in a),
            "".join(letter for letter in both if letter not in out),
        )


def einsum(context: Context, node: Node) -> tuple[Node, ...]:
    """Return the product of matrices that the equation says, or the node where it says another thing."""
    equation = str(node.attrs["equation"]).replace(" ", "")
    parsed = _parsed(context, node, equation)
    if parsed is None:
        return (node,)
    operands, out, sizes = parsed
    (a, first), (b, second) = operands
    if context.graph.constant(first) is not None:
        (a, first), (b, second) = (b, second), (a, first)
    if context.graph.constant(first) is not None:
        return (node,)
    return _Product(context, node, _Letters.of(a, b, out), sizes).nodes((a, first), (b, second), out)


def _parsed(context: Context, node: Node, equation: str) -> tuple[list[tuple[str, str]], str, dict[str, int]] | None:
    """Return letters and name of both operands, the output's letters, and the size of each letter."""
    terms = equation.partition("->")[0].split(",")
    if len(terms) != 2 or "." in equation or len(node.inputs) != 2:
        return None
    every = "".join(terms)
    out = equation.partition("->")[2] if "->" in equation else "".join(
        sorted(letter for letter in set(every) if every.count(letter) == 1)
    )  # fmt: skip
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.inputs, strict=True):
        shape = context.shape(name)
        if len(set(term)) != len(term) or len(term) != len(shape):
            return None
        if any(sizes.setdefault(letter, size) != size for letter, size in zip(term, shape, strict=True)):
            return None
    alone = [letter for letter in sizes if letter not in out and every.count(letter) == 1]
    if alone or len(set(out)) != len(out) or not set(out) <= set(every):
        return None
    return list(zip(terms, node.inputs, strict=True)), out, sizes


@dataclass
class _Product:
    context: Context
    node: Node
    letters: _Letters
    sizes: dict[str, int]

    def __post_init__(self) -> None:
        self.made: list[Node] = []

    def nodes(self, a: tuple[str, str], b: tuple[str, str], out: str) -> tuple[Node, ...]:
        """Return the nodes; axes of the left side stay apart where no axis is shared, so that a batch stays one."""
        parts = self.letters
        shared, inner = self._shape(parts.batch), prod(self._shape(parts.summed))
        rows = [prod(self._shape(parts.left))] if parts.batch else self._shape(parts.left) or [1]
        columns = prod(self._shape(parts.right))
        left = self._brought(a, parts.batch + parts.left + parts.summed, [*shared, *rows, inner], "left")
        right = self._brought(b, parts.batch + parts.summed + parts.right, [*shared, inner, columns], "right")
        product = parts.batch + parts.left + parts.right
        made = self._tensor("product", [*shared, *rows, columns])
        self.made.append(Node(self.node.name, "MatMul", (left, right), (made,)))
        self._back(made, product, out)
        return tuple(self.made)

    def _shape(self, letters: str) -> list[int]:
        return [self.sizes[letter] for letter in letters]

    def _tensor(self, what: str, shape: list[int]) -> str:
        return self.context.add_tensor(f"{self.node.outputs[0]}_{what}", shape)

    def _brought(self, operand: tuple[str, str], wanted: str, shape: list[int], what: str) -> str:
        """Return the operand with its axes in this order and this shape."""
        letters, name = operand
        perm = tuple(letters.index(letter) for letter in wanted)
        value = self.context.graph.constant(name)
        if value is not None:
            turned = np.ascontiguousarray(value.transpose(perm).reshape(shape))
            return self.context.add_constant(f"{self.node.outputs[0]}_{what}", turned)
        return self._reshaped(self._transposed(name, perm, self._shape(wanted), what), self._shape(wanted), shape, what)

    def _transposed(self, name: str, perm: tuple[int, ...], shape: list[int], what: str) -> str:
        if perm == tuple(range(len(perm))):
            return name
        made = self._tensor(f"{what}_turned", shape)
        self.made.append(Node(made, "Transpose", (name,), (made,), {"perm": perm}))
        return made

    def _reshaped(self, name: str, before: list[int], shape: list[int], what: str) -> str:
        if before == shape:
            return name
        made = self._tensor(f"{what}_matrix", shape)
        self.made.append(Node(made, "Reshape", (name,), (made,), {"shape": tuple(shape)}))
        return made

    def _back(self, product: str, letters: str, out: str) -> None:
        """Let the node's own output be the product in the order of axes that the equation says."""
        y, name = self.node.outputs[0], f"{self.node.outputs[0]}_back"
        perm = tuple(letters.index(letter) for letter in out)
        if perm == tuple(range(len(perm))):
            self.made.append(Node(name, "Reshape", (product,), (y,), {"shape": tuple(self._shape(out))}))
            return
        apart = self._tensor("apart", self._shape(letters))
        self.made.append(Node(apart, "Reshape", (product,), (apart,), {"shape": tuple(self._shape(letters))}))
        self.made.append(Node(name, "Transpose", (apart,), (y,), {"perm": perm}))


RULES = {"Einsum": einsum}
