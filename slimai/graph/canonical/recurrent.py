"""LSTM and GRU: one canonical node a direction, steps first, with constant weights and all inner results named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slimai.graph.canonical.context import Context
from slimai.graph.ir import Array, Node
from slimai.graph.recurrent import GATES, B, C, H, R, Sizes, W, constant_of, input_name, no_kernel_reason, sizes_of


def recurrent(context: Context, node: Node) -> tuple[Node, ...] | None:
    """Return the node as one of one direction each; None where it has no integer kernel."""
    if no_kernel_reason(context.graph, node):
        return None
    return _Rewriter(context, node, sizes_of(context.graph, node)).nodes()


@dataclass
class _Rewriter:
    context: Context
    node: Node
    sizes: Sizes
    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes: split states, the directions, joined outputs."""
        node = self.node
        directions = ["forward", "reverse"] if self.sizes.directions == 2 else [node.attrs.get("direction", "forward")]
        states = [self._states(position) for position in ((H, C) if node.op == "LSTM" else (H,))]
        outputs = [self._outputs(number) for number in range(3 if node.op == "LSTM" else 2)]
        made = []
        for place, direction in enumerate(directions):
            alone = len(directions) == 1
            name = node.name if alone else f"{node.name}_{direction}"
            inputs = [
                node.inputs[0],
                *self._weights(place, direction),
                *self._initial([item[place] for item in states]),
            ]
            results = [item[place] for item in outputs]
            if node.op == "LSTM":
                shape = (self.sizes.steps, 1, self.sizes.batch, self.sizes.units)
                results.append(self.context.add_tensor(f"{name}_cells", shape))
            made.append(Node(name, node.op, tuple(inputs), tuple(results), self._attrs(direction)))
        return (*self.before, *made, *self.after)

    def _attrs(self, direction: str) -> dict[str, Any]:
        attrs: dict[str, Any] = {"direction": direction, "hidden_size": self.sizes.units}
        if self.node.op == "GRU":
            attrs["linear_before_reset"] = int(self.node.attrs.get("linear_before_reset", 0))
        return attrs

    def _weights(self, place: int, direction: str) -> list[str]:
        """Return the names of weights, recurrent weights and biases of a direction; no biases are zeros."""
        names = []
        for position in (W, R, B):
            value, name = constant_of(self.context.graph, self.node, position), input_name(self.node, position)
            if value is None:
                shape = (self.sizes.directions, 2 * GATES[self.node.op] * self.sizes.units)
                value, name = np.zeros(shape, np.float32), f"{self.node.name}_bias"
            elif self.sizes.directions == 1:
                names.append(name)
                continue
            part = np.ascontiguousarray(value[place : place + 1])
            suffix = f"_{direction}" if self.sizes.directions == 2 else ""
            names.append(self.context.add_constant(f"{name}{suffix}", part))
        return names

    def _states(self, position: int) -> list[str]:
        """Return the initial states of each direction at an input position; '' where there is none, or only zeros."""
        name, count = input_name(self.node, position), self.sizes.directions
        if not name:
            return [""] * count
        value = self.context.graph.constant(name)
        if value is not None:
            parts: list[Array] = [np.ascontiguousarray(value[place : place + 1]) for place in range(count)]
            return [self.context.add_constant(f"{name}_{place}", part) if part.any() else ""
                    for place, part in enumerate(parts)]  # fmt: skip
        if count == 1:
            return [name]
        shape = (1, self.sizes.batch, self.sizes.units)
        split = tuple(self.context.add_tensor(f"{name}_{place}", shape) for place in range(count))
        self.before.append(Node(f"{split[0]}_split", "Split", (name,), split, {"axis": 0, "split": (1, 1)}))
        return list(split)

    def _initial(self, states: list[str]) -> list[str]:
        """Return the initial states as inputs: none at the end is absent, and a cell alone gets an output of zeros."""
        if states[-1] and not states[0]:
            zeros = np.zeros((1, self.sizes.batch, self.sizes.units), np.float32)
            states[0] = self.context.add_constant(f"{self.node.name}_h0", zeros)
        while states and not states[-1]:
            states.pop()
        return states

    def _outputs(self, number: int) -> list[str]:
        """Return the tensors that the directions write of Y (0), Y_h (1) or Y_c (2)."""
        steps, batch, count, units = self.sizes
        wanted = self.node.outputs[number] if len(self.node.outputs) > number else ""
        shape = (steps, 1, batch, units) if number == 0 else (1, batch, units)
        if not wanted and number:
            return [""] * count
        stem = wanted or f"{self.node.name}_y"
        if count == 1:
            return [wanted or self.context.add_tensor(stem, shape)]
        parts = [self.context.add_tensor(f"{stem}_{direction}", shape) for direction in ("forward", "reverse")]
        if wanted:
            axis = 1 if number == 0 else 0
            self.after.append(Node(f"{stem}_join", "Concat", tuple(parts), (wanted,), {"axis": axis}))
        return parts


RULES = {"LSTM": recurrent, "GRU": recurrent}
