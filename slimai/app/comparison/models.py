"""Two quantized networks: what they are built of, and where they part on seeded inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimai.app.comparison.board import first_case
from slimai.app.comparison.subject import Network
from slimai.errors import InputError
from slimai.quantizer.plan_difference import PlanDifference, paired_layers, plan_differences
from slimai.simulator.divergence import cases

Array = NDArray[Any]
SHOWN = 40


@dataclass
class ModelsReport:
    """differences: of layers and constants. first: the first node whose integers part; compared: tensors looked at."""

    differences: list[PlanDifference]
    compared: int
    apart: int
    first: dict[str, Any] | None

    @property
    def same(self) -> bool:
        """Whether both are built of the same numbers and compute the same integers."""
        return not self.differences and self.first is None

    def to_json(self) -> dict[str, Any]:
        """Return what ``--format json`` prints."""
        differences = [{"where": item.where, "what": item.what} for item in self.differences]
        return {
            "kind": "models",
            "same": self.same,
            "differences": differences,
            "compared": self.compared,
            "apart": self.apart,
            "first": self.first,
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [f"{item.where}: {item.what}" for item in self.differences[:SHOWN]]
        if len(self.differences) > SHOWN:
            lines.append(f"and {len(self.differences) - SHOWN} more (--format json has all)")
        if self.first is None:
            return [*lines, f"no integer differs in {self.compared} tensors, on seeded noise"]
        told = self.first
        lines.append(f"on seeded noise {self.apart} of {self.compared} tensors differ")
        lines.append(f"first difference: {told['tensor']}, written by {told['node']}")
        lines.append(f"  {told['differs']}; at {told['at']} {told['expected']} and {told['found']}")
        return lines + [f"  {item['text']}" for item in told["explanations"]]


def compare_models(first: Network, second: Network, seed: int = 0) -> ModelsReport:
    """Return what two quantized networks differ in; both are given the same seeded noise.

    Raises:
        InputError: they have no layer in common, or other inputs.
    """
    mine, theirs = first.program.plan, second.program.plan
    differences = plan_differences(mine, theirs)
    shapes = [[plan.graph.shape(name) for name in plan.graph.inputs] for plan in (mine, theirs)]
    if shapes[0] != shapes[1]:
        raise InputError.at(theirs.graph.name, f"its inputs are not of the shapes {shapes[0]}", shapes[1])
    feeds, again = _noise(first, second, seed)
    pairs = {
        one: other
        for layer, twin in paired_layers(mine, theirs)
        for one, other in zip(layer.outputs, twin.outputs, strict=False)
        if _comparable(first, one, second, other)
    }
    made = second.program.run(again, capture=list(pairs.values()))
    twin_tensors: Mapping[str, Array] = {one: made[other] for one, other in pairs.items()}
    found, apart = None, 0
    for case in cases(first.program, feeds, twin_tensors):
        found = first_case(first, feeds, case) if found is None else found
        apart += 1
    return ModelsReport(differences, len(pairs), apart, found)


def _comparable(first: Network, one: str, second: Network, other: str) -> bool:
    mine, theirs = first.program.plan, second.program.plan
    grids = mine.tensors.get(one), theirs.tensors.get(other)
    if grids[0] is None or grids[1] is None or grids[0].dtype != grids[1].dtype:
        return False
    return mine.graph.shape(one) == theirs.graph.shape(other)


def _noise(first: Network, second: Network, seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return inputs of both: the same integers where their parameters are equal, else the same real values."""
    rng, plan, other = np.random.default_rng(seed), first.program.plan, second.program.plan
    feeds: dict[str, Array] = {}
    again: dict[str, Array] = {}
    for name, twin in zip(plan.graph.inputs, other.graph.inputs, strict=True):
        params, shape = plan.tensors.get(name), plan.graph.shape(name)
        if params is None:
            feeds[name] = again[twin] = rng.normal(0, 1, shape).astype(plan.graph.tensors[name].dtype)
            continue
        feeds[name] = rng.integers(params.dtype.low, params.dtype.high + 1, shape).astype(params.dtype.numpy)
        again[twin] = feeds[name] if other.tensors.get(twin) == params else params.dequantize(feeds[name])
    return feeds, again
