"""What is known of the layers of an integer network without running it: reach of sums, where presets differ, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slimai.codegen.arena import LayerMemory, MemoryPlan, memory_plan
from slimai.quantizer.plan import QuantPlan
from slimai.schema.target import TargetSection
from slimai.simulator.program import Program, compile_plan, integer_contexts
from slimai.simulator.proofs.bounds import Reach, Witness, reaches
from slimai.simulator.proofs.presets import Comparison, compare_presets

_NAMED = 3  # layers of the peak that the sentence names


@dataclass(frozen=True)
class LayerFacts:
    """The facts of a network, each by layer name. memory: None where layers run on the host."""

    reach: Mapping[str, Reach]
    presets: Mapping[str, Comparison]
    memory: MemoryPlan | None

    def of_memory(self) -> Mapping[str, LayerMemory]:
        """Return the memory of each layer by name."""
        return {} if self.memory is None else {layer.name: layer for layer in self.memory.layers}

    def row(self, layer: str) -> dict[str, Any]:
        """Return what JSON holds for a layer; keys that do not apply to it are None."""
        reach, memory, pair = self.reach.get(layer), self.of_memory().get(layer), self.presets.get(layer)
        found: dict[str, Any] = {
            "sum_bits": None if reach is None else reach.needed,
            "acc_bits": None if reach is None else reach.bits,
            "least": None if reach is None else reach.least,
            "most": None if reach is None else reach.most,
            "overflow": None if reach is None else reach.verdict,
            "witness": None if reach is None or reach.witness is None else witness_json(reach.witness),
            "ram": None if memory is None else memory.ram,
            "flash": None if memory is None else memory.flash,
        }
        if self.presets:
            found["presets"] = None if pair is None else comparison_json(pair)
        return found


def layer_facts(
    plan: QuantPlan,
    target: TargetSection,
    arithmetic: str,
    presets: tuple[str, str] | None = None,
    program: Program | None = None,
) -> LayerFacts:
    """Return the facts of an integer network; program: the plan compiled under this arithmetic, where it is at hand.

    Raises:
        InputError: an unknown preset, or layers that the arithmetic cannot express.
    """
    pairs = () if presets is None else compare_presets(plan, target, *presets)
    found = reaches(plan, integer_contexts(plan, target, arithmetic))
    host = any(layer.mode == "host" for layer in plan.layers)
    memory = None if host else memory_plan(program or compile_plan(plan, target, arithmetic=arithmetic), target)
    return LayerFacts({item.layer: item for item in found}, {item.layer: item for item in pairs}, memory)


def proof_table(facts: LayerFacts) -> dict[str, Any]:
    """Return by layer what the report tells of its sums."""
    return {
        name: {"needed": item.needed, "bits": item.bits, "overflows": item.overflows, "verdict": item.verdict}
        for name, item in facts.reach.items()
    }


def memory_table(memory: MemoryPlan | None) -> dict[str, Any] | None:
    """Return `memory_json` with a row a layer; None where there is no plan."""
    whole = memory_json(memory)
    if memory is None or whole is None:
        return None
    return {**whole, "layers": [asdict(layer) for layer in memory.layers]}


def witness_json(item: Witness) -> dict[str, Any]:
    """Return a witness as JSON: the patch of the input, what the input holds elsewhere, the output and its sum."""
    return {
        "input": item.tensor,
        "shape": list(item.shape),
        "start": list(item.start),
        "values": item.values.tolist(),
        "elsewhere": item.fill,
        "output": list(item.output),
        "sum": item.total,
    }


def comparison_json(item: Comparison) -> dict[str, Any]:
    """Return the comparison of two presets on a layer as JSON; sum and outputs are None where they agree."""
    step = item.example
    return {
        "differ": None if item.refused else step is not None,
        "verdict": item.verdict,
        "bits": item.bits,
        "channels": item.channels,
        "differing_channels": item.differing,
        "channel": None if step is None else step.channel,
        "sum": None if step is None else step.total,
        "outputs": None if step is None else {item.presets[0]: step.first, item.presets[1]: step.second},
    }


def memory_json(memory: MemoryPlan | None) -> dict[str, Any] | None:
    """Return the whole network's memory as JSON, bytes; None where there is no plan."""
    if memory is None:
        return None
    return {"arena": memory.arena, "flash": memory.flash, "peak": list(memory.peak)}


def memory_line(memory: MemoryPlan | None, host: int) -> str:
    """Return the sentence that says what a network needs; host: how many layers run there."""
    if memory is None:
        return f"no memory plan: {host} layers run on the host"
    text = f"arena {memory.arena:,} bytes at batch 1, inputs and outputs apart; tables {memory.flash:,} bytes"
    if memory.peak:
        more = len(memory.peak) - _NAMED
        text += f"; peak at {', '.join(memory.peak[:_NAMED])}" + (f" and {more} more" if more > 0 else "")
    planned = [layer.name for layer in memory.layers if layer.planned]
    return text + (f"; without a C kernel, planned from their tensors: {', '.join(planned)}" if planned else "")
